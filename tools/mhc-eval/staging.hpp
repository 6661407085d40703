// tools/mhc-eval/staging.hpp -- arrays into a target's memory as the operator takes them, and results back.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include <mhc/jit/args.hpp>
#include <mhc/jit/spec.hpp>

#include "tools/common/device.hpp"
#include "tools/mhc-eval/operands.hpp"

namespace mhc::tools {

/// The strides asked for, for every [T,n,C] tensor; -1 for the dense ones.
jit::strides parse_strides(const std::optional<std::string>& token_stride, const std::optional<std::string>& stream_stride);

/// Refuses, with exit code 2, strides that cannot be for this problem: no [T,n,C] tensor, too long, output rows that
/// overlap.
void check_strides(const problem& what, const jit::strides& given);

/// The largest of 16, 4 and 2 bytes that the rows of all tensors keep with these strides.
std::int32_t best_alignment(const jit::layer_spec& spec, const jit::strides& given);

/// Refuses, with exit code 2, strides that do not keep the spec's alignment.
void check_alignment(const jit::layer_spec& spec, const jit::strides& given);

/// One tensor in a target's memory.
class staged_tensor {
public:
    /// Inputs are rounded to their type and laid out; everything else, outputs and the gaps between rows, is NaN.
    /// Fails with exit code 2 when rows of an input share elements and their values differ.
    staged_tensor(device_memory& where, const operand& what, const jit::layer_spec& spec, const jit::strides& given);

    void* pointer() const { return pointer_; }

    /// An output's values, widened. Fails when something was written outside its rows.
    std::vector<float> read_back(device_memory& where) const;

private:
    /// Rows of `length` elements at (token, stream); a dense tensor is one row.
    struct layout {
        std::int64_t tokens = 1, streams = 1, length = 0, token_stride = 0, stream_stride = 0;
        std::int64_t extent() const;  ///< elements from the first to behind the last
    };
    template <class Row>
    void for_each_row(Row row) const;
    void check_shared(const operand& what, const std::vector<std::byte>& staged) const;

    std::string name_;
    jit::dtype type_ = jit::dtype::fp32;
    std::int64_t element_bytes_ = 4;
    layout layout_;
    std::size_t bytes_ = 0;
    void* pointer_ = nullptr;
};

}  // namespace mhc::tools
