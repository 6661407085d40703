// tools/mhc-bench/operand_sets.hpp -- the tensors that a benchmark calls an operator with.
#pragma once

#include <cstdint>
#include <vector>

#include <mhc/jit/counters.hpp>

#include "tools/common/invoke.hpp"
#include "tools/common/problem.hpp"
#include "tools/mhc-bench/measure.hpp"

namespace mhc::tools {

/// An operator's tensors: one set of what tokens have, as often as the rotation needs; parameters and workspace once.
class operand_sets {
public:
    /// Fails with exit code 2 where the host has not the memory.
    operand_sets(bench_target& on, const bench_case& what, const jit::compiled_layer& layer, random_source& random,
                 std::int64_t sets);

    std::size_t count() const { return by_set_.size(); }
    /// Where the parameters lie that all tokens share, gradients of them too.
    std::vector<jit::memory_range> shared() const;
    void call(const jit::compiled_layer& layer, std::size_t set, void* stream) const;

private:
    void* make(jit::device& on, const operand& one, const jit::layer_spec& spec, random_source& random);

    jit::layer_spec spec_;
    problem problem_;
    std::vector<buffer> buffers_;
    std::vector<pointers> by_set_;
    void* workspace_ = nullptr;
};

}  // namespace mhc::tools
