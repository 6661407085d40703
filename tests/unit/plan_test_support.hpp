// tests/unit/plan_test_support.hpp -- plans of a spec with every operator, for tests of plans, sources and keys.
#pragma once

#include <string>
#include <vector>

#include "codegen/key.hpp"
#include "codegen/plan_kernels.hpp"
#include "runtime/object_source.hpp"

namespace mhc::testing {

inline jit::layer_spec spec_of(std::int32_t n, std::int64_t C)
{
    jit::layer_spec s;
    s.n_streams = n;
    s.hidden_dim = C;
    s.wanted = jit::operations::all();
    return s;
}

inline codegen::operator_plan plan_of(const jit::layer_spec& s, const char* target, jit::operation op)
{
    return codegen::plan(s, codegen::parse_target(target).value(), op).value();
}

/// Those of its kernels, in order.
inline std::vector<std::string> families(const jit::layer_spec& s, const char* target, jit::operation op)
{
    std::vector<std::string> all;
    for (const codegen::kernel_plan& k : plan_of(s, target, op).kernels) all.push_back(k.family);
    return all;
}

inline std::string key_text_of(const codegen::kernel_plan& k, const char* target)
{
    return codegen::key_of(k, codegen::parse_target(target).value(), runtime::source_digest(k)).canonical();
}

}  // namespace mhc::testing
