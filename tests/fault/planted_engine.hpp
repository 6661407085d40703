// tests/fault/planted_engine.hpp -- engines for the look-alike gfx942 whose compiler is planted: milliseconds, no LLVM.
#pragma once

#include <sys/mman.h>

#include <atomic>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <mhc/jit/engine.hpp>

#include "tests/unit/cache_test_support.hpp"

namespace mhc::testing {

/// A variable of the environment, for as long as this lives; children inherit it.
class environment_variable {
public:
    environment_variable(const char* name, const std::string& value) : name_(name) { setenv(name, value.c_str(), 1); }
    ~environment_variable() { unsetenv(name_); }
    environment_variable(const environment_variable&) = delete;
    environment_variable& operator=(const environment_variable&) = delete;

private:
    const char* name_;
};

/// Counts that forked children add to.
template <class T>
class shared {
public:
    shared() : at_(mmap(nullptr, sizeof(T), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0))
    {
        REQUIRE(at_ != MAP_FAILED);
        new (at_) T();
    }
    ~shared() { munmap(at_, sizeof(T)); }
    shared(const shared&) = delete;
    shared& operator=(const shared&) = delete;
    T* operator->() const { return static_cast<T*>(at_); }

private:
    void* at_;
};

/// Options of an engine on the look-alike's device 0, without a log.
jit::engine_options planted_options(const std::string& cache_dir);

/// Loads the look-alike in this process if it is not yet, as new.
void load_look_alike();

/// The next loads of a module fail, until `load_look_alike`.
void refuse_every_module();

/// An engine with these options. A test must have called `load_look_alike` before it forks or asks.
std::unique_ptr<jit::engine> planted_engine(jit::engine_options options);

/// A layer of one kernel; each number has a key of its own.
jit::layer_spec one_kernel(int number);

/// The hash under which an engine with a compiler stores that kernel.
cache::digest key_of(const jit::compiled_layer& layer);

/// A log of the planted worker, or of a test's children: the words of each line.
std::vector<std::vector<std::string>> words_of_lines(const std::string& path);

/// How many jobs the log tells of.
std::size_t jobs_in(const std::string& path);

}  // namespace mhc::testing
