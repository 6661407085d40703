// runtime/compilers/dynamic_library.hpp -- compilers that are found with dlopen: their first library, its functions.
#pragma once

#include <dlfcn.h>

#include <string>

namespace mhc::runtime::compilers {

/// The first of `names` that is there and holds `symbol`; null: none. It stays loaded: compilers cannot be unloaded safely.
template <class Names>
void* open_first(const Names& names, const char* symbol)
{
    for (const char* const name : names) {
        void* const library = ::dlopen(name, RTLD_NOW | RTLD_LOCAL);
        if (library != nullptr && ::dlsym(library, symbol) != nullptr) return library;
    }
    return nullptr;
}

template <class Function>
bool find_function(void* library, const char* name, Function* into)
{
    *into = reinterpret_cast<Function>(::dlsym(library, name));
    return *into != nullptr;
}

/// What a size function and a copy function of such a library give together; empty: it failed.
template <class Program, class Size, class Copy>
std::string text_of(Program of, Size size, Copy copy)
{
    std::size_t bytes = 0;
    if (size(of, &bytes) != 0 || bytes == 0) return {};
    std::string text(bytes + 1, '\0');  // one more: some versions count a log without its end, and write it
    if (copy(of, text.data()) != 0) return {};
    text.resize(bytes);
    return text;
}

}  // namespace mhc::runtime::compilers
