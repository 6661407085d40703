// codegen/plan_chunks.cpp -- how many tokens an operator's kernels take at a time, so that what one kernel has moved is
// still in the last-level cache when the next one asks for it.
//
// A token's result does not depend on its neighbours (batch invariance), so neither do the bits.
#include <algorithm>
#include <optional>
#include <set>

#include "codegen/plan_kernels.hpp"
#include "codegen/plan_parts.hpp"

namespace mhc::codegen {
namespace {

/// Chunks are whole tiles of every kernel; shorter ones than this leave most of a GPU idle.
constexpr std::int64_t chunk_unit = 64, chunk_tokens_min = 256;

/// What all tokens share.
bool is_shared(slot what)
{
    using enum slot;
    constexpr slot list[] = {workspace, fn,      scale,    base,    weight,    norm_weight, fn_norm_weight,
                             bias,      phi_pre, phi_post, phi_res, alpha_pre, alpha_post,  alpha_res,
                             b_pre,     b_post,  b_res,    h_pre,   h_post,    h_res,       num_valid_tokens};
    return std::find(std::begin(list), std::end(list), what) != std::end(list);
}

/// The stride that a kernel with these arguments reads `arg` by, and what a token has of it where there is none.
std::optional<token_step> step_of(const facts& f, const kernel_plan& k, const argument& arg)
{
    using enum slot;
    const std::int64_t element_bytes = arg.element == element::data ? size_of(f.spec.dtype) : 4;
    const auto strided = [&](slot parameter, std::int64_t dense) -> token_step {
        for (const argument& other : k.args)
            if (other.parameter == parameter) return {arg.what, element_bytes, other.what};
        return {arg.what, element_bytes * dense, tokens};
    };
    switch (arg.parameter) {
        case x:
            return strided(x_token_stride, f.n * f.C);
        case out:
            return strided(out_token_stride, f.n * f.C);
        case y:
        case layer_input:
            return token_step{arg.what, element_bytes * f.C, tokens};
        case pre:
            return strided(pre_token_stride, f.n);
        case post:
            return strided(post_token_stride, f.n);
        case mix:
            return strided(mix_token_stride, f.n * f.n);
        default:
            return std::nullopt;
    }
}

/// Whether every kernel's tensors are known, which are then in `made.steps`.
bool add_steps(const facts& f, operator_plan& made)
{
    std::set<slot> seen;
    for (const kernel_plan& k : made.kernels)
        for (const argument& arg : k.args) {
            if (arg.access == access::scalar || is_shared(arg.what) || !seen.insert(arg.what).second) continue;
            const std::optional<token_step> step = step_of(f, k, arg);
            if (!step) return false;
            made.steps.push_back(*step);
        }
    return true;
}

/// Rows of channels that a call moves for each token, at most, and the numbers that go with them.
std::int64_t bytes_of_token(const facts& f, const operator_plan& made)
{
    std::int64_t rows = 0;
    for (const token_step& step : made.steps) {
        if (step.what == slot::x || step.what == slot::out) rows += f.n;
        if (step.what == slot::y || step.what == slot::layer_input) ++rows;
    }
    return rows * f.C * size_of(f.spec.dtype) + made.workspace_bytes_per_token;
}

}  // namespace

void add_chunks(const facts& f, operator_plan& made)
{
    // One kernel reads a row again at once, if at all; a gradient's sums are over all tokens.
    const auto of_tokens =
        std::count_if(made.kernels.begin(), made.kernels.end(), [](const kernel_plan& k) { return !k.grid.ignores_tokens; });
    if (f.on.last_level_bytes == 0 || of_tokens < 2 || made.runs_without_tokens || !add_steps(f, made)) {
        made.steps.clear();
        return;
    }
    // A quarter of the cache is left to the weights, and to what its sets cannot hold of the rest.
    const std::int64_t own = f.on.last_level_bytes / partitions_of(f.on);
    const std::int64_t fitting = own / 4 * 3 / bytes_of_token(f, made) / chunk_unit * chunk_unit;
    if (fitting >= chunk_tokens_min)
        made.chunk_tokens_max = fitting;
    else
        made.steps.clear();
}

std::int64_t operator_plan::chunk_tokens(std::int64_t tokens) const noexcept
{
    if (chunk_tokens_max == 0 || tokens <= chunk_tokens_max) return tokens;
    return round_up(ceil_div(tokens, ceil_div(tokens, chunk_tokens_max)), chunk_unit);
}

}  // namespace mhc::codegen
