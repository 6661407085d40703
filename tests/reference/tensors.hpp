// tests/reference/tensors.hpp -- what the references take (float32 arrays, strided rows) and return (float64 with its
// terms).
//
// Every dtype of the library (bf16, fp16, fp32) is a subset of float32, so inputs are float32 arrays that already hold the
// rounded values; they are widened to float64 where they are read.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace mhc::reference {

/// T tokens of n streams of C channels.
struct shape {
    std::int64_t tokens = 0;
    std::int64_t n_streams = 1;
    std::int64_t hidden_dim = 1;

    std::int64_t coefficients() const { return n_streams * n_streams + 2 * n_streams; }  ///< rows of `fn`
    std::int64_t flat_dim() const { return n_streams * hidden_dim; }                     ///< K = n*C
};

/// A [T, n, C] tensor in memory: channels contiguous, strides in elements, 0 repeats.
struct strided_rows {
    const float* data = nullptr;
    std::int64_t token_stride = 0;
    std::int64_t stream_stride = 0;

    const float* row(std::int64_t token, std::int64_t stream) const
    {
        return data + token * token_stride + stream * stream_stride;
    }
};

/// Coefficients of each token; token_stride 0 when they are static, the same for every token.
struct token_rows {
    const float* data = nullptr;
    std::int64_t token_stride = 0;

    const float* row(std::int64_t token) const { return data + token * token_stride; }
};

/// A dense result.
struct tensor {
    std::vector<double> value;  ///< the formula in float64
    std::vector<double> terms;  ///< the same formula with the absolute value of every term: what rounding errors scale with
    /// What a result may differ by because an intermediate that the formula rounds to bf16 lies so near the middle of two
    /// bf16 numbers that float32 sums may fall on either side (reference_rounding; fp8), or because the exponential of a
    /// float32 z has the error of |z| units (Sinkhorn's gradient). Empty elsewhere.
    std::vector<double> rounding_doubt;

    tensor() = default;
    explicit tensor(std::int64_t size) : value(static_cast<std::size_t>(size)), terms(static_cast<std::size_t>(size)) {}
};

}  // namespace mhc::reference
