// runtime/compilers/backend.hpp -- one compiler of the worker.
#pragma once

#include <memory>

#include "runtime/compile_protocol.hpp"

namespace mhc::runtime::compilers {

/// Loads what it needs at the first call. Not thread-safe: a worker does one job at a time.
class backend {
public:
    virtual ~backend() = default;
    /// Loads it now: before a job's memory is limited.
    virtual void prepare() = 0;
    /// What it is; where it cannot be used, `why_not`.
    virtual backend_info info() = 0;
    /// Source to a linked code object. Sets all of the reply but times and memory.
    virtual void compile(const compile_job& job, protocol::compile_reply* reply) = 0;
    /// Assembly text of a code object; empty: `why`.
    virtual std::string disassemble(std::string_view target, std::string_view code, std::string* why)
    {
        static_cast<void>(target), static_cast<void>(code);
        *why = "this compiler has no disassembler";
        return {};
    }
};

std::unique_ptr<backend> make_clang_backend();
std::unique_ptr<backend> make_hiprtc_backend();
std::unique_ptr<backend> make_nvrtc_backend();

}  // namespace mhc::runtime::compilers
