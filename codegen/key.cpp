// codegen/key.cpp -- the canonical text of a key.
#include "codegen/key.hpp"

#include <fmt/format.h>

#include "codegen/compile_options.hpp"

namespace mhc::codegen {

std::string key_text::canonical() const
{
    std::string text = "mhc-jit-key/1\n";
    for (const auto& [name, value] : fields) text += fmt::format("{}:{}{}:{}\n", name.size(), name, value.size(), value);
    return text;
}

key_text key_of(const kernel_plan& k, const target& on, std::string_view source_digest)
{
    key_text key;
    auto& f = key.fields;
    f["abi"] = fmt::to_string(abi_version);
    f["family"] = k.family;
    for (const auto& [name, value] : k.bindings) f["plan." + name] = value;
    f["target"] = on.name;
    f["target.processor"] = on.processor;
    f["target.features"] = fmt::format("{}", fmt::join(on.features, ","));
    for (const std::string_view backend : compilers_of(on.kind))
        f[fmt::format("options.{}", backend)] = fmt::format("{}", fmt::join(compile_options(backend, on), "\n"));
    f["source"] = source_digest;
    return key;
}

}  // namespace mhc::codegen
