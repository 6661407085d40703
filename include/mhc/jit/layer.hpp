// mhc/jit/layer.hpp -- the entry point: mhc::jit::layer(spec) makes one compiled mHC layer. Start here.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <mhc/jit/args.hpp>
#include <mhc/jit/fused_args.hpp>
#include <mhc/jit/fused_gradient_args.hpp>
#include <mhc/jit/gradient_args.hpp>
#include <mhc/jit/result.hpp>
#include <mhc/jit/spec.hpp>

namespace mhc::jit {

class engine;

/// Where a kernel came from when its layer was made.
enum class origin { memory, user, prebuilt, compiled };
const char* to_string(origin from) noexcept;  ///< "memory", "user", "prebuilt", "compiled"

/// One kernel of a layer, for logs and tools.
struct kernel_info {
    operation op = operation::pre_fwd;
    std::string symbol;  ///< readable in profilers: mhc_<family>_n4_c4096_bf16_<8 hex of key>
    std::string key;     ///< 64 hex digits
    origin from = origin::compiled;
    std::string compiler;   ///< what compiled it, such as "clang 19.1.7"
    double compile_ms = 0;  ///< wall time of its compilation, whenever that was
};

/// Kernels for one `layer_spec` on one target. Cheap to copy; safe to share between threads.
///
/// An operator's method enqueues its kernels on `stream` (hipStream_t or CUstream; ignored on `host`, where the call
/// returns when the work is done) and never compiles, allocates or synchronises a device.
/// Errors of every method: launch_failed, naming the argument, its value and what is allowed; nothing was launched then.
class compiled_layer {
public:
    result<void> sinkhorn_fwd(const sinkhorn_fwd_args& args, void* stream = nullptr) const;
    result<void> rmsnorm_fwd(const rmsnorm_fwd_args& args, void* stream = nullptr) const;
    result<void> apply_mix_fwd(const apply_mix_fwd_args& args, void* stream = nullptr) const;
    result<void> expand_fwd(const expand_fwd_args& args, void* stream = nullptr) const;
    result<void> post_fwd(const post_fwd_args& args, void* stream = nullptr) const;
    result<void> pre_fwd(const pre_fwd_args& args, void* stream = nullptr) const;
    result<void> static_layer_fwd(const static_layer_fwd_args& args, void* stream = nullptr) const;
    result<void> dynamic_layer_fwd(const dynamic_layer_fwd_args& args, void* stream = nullptr) const;
    result<void> post_pre_fwd(const post_pre_fwd_args& args, void* stream = nullptr) const;
    result<void> head_fwd(const head_fwd_args& args, void* stream = nullptr) const;
    result<void> pre_project_fwd(const pre_project_fwd_args& args, void* stream = nullptr) const;
    result<void> split_mixes_fwd(const split_mixes_fwd_args& args, void* stream = nullptr) const;
    result<void> coeffs_fwd(const coeffs_fwd_args& args, void* stream = nullptr) const;
    result<void> pre_big_fuse(const pre_big_fuse_args& args, void* stream = nullptr) const;
    result<void> broadcast_pre_fwd(const broadcast_pre_fwd_args& args, void* stream = nullptr) const;
    result<void> delayed_pre_fwd(const delayed_pre_fwd_args& args, void* stream = nullptr) const;
    result<void> post_head_fwd(const post_head_fwd_args& args, void* stream = nullptr) const;
    result<void> rmsnorm_matmul_fwd(const rmsnorm_matmul_fwd_args& args, void* stream = nullptr) const;
    result<void> multilayer_recompute(const multilayer_recompute_args& args, void* stream = nullptr) const;

    // Gradients: tensors and formulas in <mhc/jit/gradient_args.hpp> and <mhc/jit/fused_gradient_args.hpp>.
    result<void> sinkhorn_bwd(const sinkhorn_bwd_args& args, void* stream = nullptr) const;
    result<void> rmsnorm_bwd(const rmsnorm_bwd_args& args, void* stream = nullptr) const;
    result<void> apply_mix_bwd(const apply_mix_bwd_args& args, void* stream = nullptr) const;
    result<void> expand_bwd(const expand_bwd_args& args, void* stream = nullptr) const;
    result<void> post_bwd(const post_bwd_args& args, void* stream = nullptr) const;
    result<void> pre_bwd(const pre_bwd_args& args, void* stream = nullptr) const;
    result<void> static_layer_bwd(const static_layer_bwd_args& args, void* stream = nullptr) const;
    result<void> dynamic_layer_bwd(const dynamic_layer_bwd_args& args, void* stream = nullptr) const;
    result<void> post_pre_bwd(const post_pre_bwd_args& args, void* stream = nullptr) const;
    result<void> head_bwd(const head_bwd_args& args, void* stream = nullptr) const;
    result<void> pre_project_bwd(const pre_project_bwd_args& args, void* stream = nullptr) const;
    result<void> split_mixes_bwd(const split_mixes_bwd_args& args, void* stream = nullptr) const;
    result<void> coeffs_bwd(const coeffs_bwd_args& args, void* stream = nullptr) const;
    result<void> post_head_bwd(const post_head_bwd_args& args, void* stream = nullptr) const;
    result<void> rmsnorm_matmul_bwd(const rmsnorm_matmul_bwd_args& args, void* stream = nullptr) const;

    /// The same kernels; but a launch may start when the kernel ahead of it in the stream has not yet ended: it gets ready,
    /// loads parameters, and waits before it reads or writes anything else. Worth some microseconds to few tokens, where
    /// the kernel ahead is one of this library's too; NVIDIA from sm_90 on, elsewhere it changes nothing. Results are the
    /// same, if the caller knows of the kernel ahead that it
    /// - writes none of this layer's parameters (fn and phi, scale, base, alpha, b, biases and weights of norms), and
    /// - did not itself start early without waiting; this library's kernels all wait.
    /// An operator given `num_valid_tokens` is launched as ever, for the kernel ahead may write that. A kernel of somebody
    /// else's that is launched so behind one of these has to wait too, as CUDA asks.
    compiled_layer overlapping() const;

    /// Bytes of scratch memory `op` needs for `tokens`; 0 for operators without a workspace argument, and for tokens <= 0.
    std::int64_t workspace_bytes(operation op, std::int64_t tokens) const;

    const layer_spec& spec() const;
    const std::string& target() const;  ///< such as "host" or "gfx942"
    const std::vector<kernel_info>& kernels() const;

    struct impl;  ///< the library's own
    explicit compiled_layer(std::shared_ptr<const impl> made) : impl_(std::move(made)) {}

private:
    std::shared_ptr<const impl> impl_;
};

/// Compiles a layer, or finds it compiled: in memory (about 100 ns), in the user's or a prebuilt database, else by the
/// compiler (some 100 ms a kernel, side by side). Concurrent calls for one spec compile once; a broken or read-only
/// cache is logged, never an error.
/// Errors: bad_spec, unsupported_target, not_prebuilt, compile_failed (message ends with the compiler's log), load_failed.
result<compiled_layer> layer(const layer_spec& spec, engine& on);

/// The same on the default engine, which is made from the environment at the first call and never destroyed.
result<compiled_layer> layer(const layer_spec& spec);

}  // namespace mhc::jit
