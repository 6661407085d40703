// mhc/jit/floor.hpp -- a kernel with an operator's memory traffic and nothing else: the time no operator can be much below.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include <mhc/jit/layer.hpp>
#include <mhc/jit/result.hpp>
#include <mhc/jit/spec.hpp>

namespace mhc::jit {

class engine;

/// Reads `rows_in` and writes `rows_out` rows of C channels a token: out[t,k,c] = sum_j in[t,j,c] for every k, summed in
/// float in the order of j and rounded once. `post_fwd` with n streams moves as much as n + 1 rows in and n out, `pre_fwd`
/// as n in and 1 out; 1 in and 1 out is a copy. Compiled, cached and loaded as the kernels of a layer are.
///
/// Cheap to copy; safe to share between threads.
class floor_kernel {
public:
    /// rows_in and rows_out: 1 to 64. hidden_dim: C, 1 to 2^24. type: of both tensors.
    /// Errors: as `layer`: bad_spec, unsupported_target, not_prebuilt, compile_failed, load_failed.
    static result<floor_kernel> make(engine& on, std::int64_t rows_in, std::int64_t rows_out, std::int64_t hidden_dim,
                                     dtype type);

    /// in [tokens, rows_in, C] and out [tokens, rows_out, C], dense, at multiples of `alignment_bytes`, not overlapping;
    /// tokens >= 0, and 0 launches nothing. `stream` as in `compiled_layer`: the target's, ignored on `host`.
    /// Errors: launch_failed, naming the argument, its value and what is allowed; nothing was launched then.
    result<void> launch(const void* in, void* out, std::int64_t tokens, void* stream = nullptr) const;

    /// Bytes that one launch must move: (rows_in + rows_out) * C * size_of(type) a token.
    std::int64_t traffic_bytes(std::int64_t tokens) const noexcept;

    /// What `in` and `out` are multiples of: 16 bytes, or less where rows of C channels are a multiple of less.
    std::int32_t alignment_bytes() const noexcept;

    std::int64_t rows_in() const noexcept;
    std::int64_t rows_out() const noexcept;
    std::int64_t hidden_dim() const noexcept;
    dtype type() const noexcept;

    const std::string& symbol() const noexcept;  ///< mhc_floor_5to4_c4096_bf16_<8 hex of key>
    origin from() const noexcept;                ///< where the kernel came from when it was made

    struct impl;  ///< the library's own

private:
    explicit floor_kernel(std::shared_ptr<const impl> made) : impl_(std::move(made)) {}
    std::shared_ptr<const impl> impl_;
};

}  // namespace mhc::jit
