// codegen/plan_operators.cpp -- which kernels an operator launches, in which order, and what feeds their parameters.
//
// The stages (pre_project_fwd, coeffs_fwd, pre_big_fuse) and the whole (pre_fwd, post_pre_fwd) launch the same kernels: a
// whole keeps between them in its workspace what the stages keep in the caller's tensors.
#include <algorithm>
#include <cassert>

#include "codegen/plan_backward.hpp"
#include "codegen/tuning.hpp"

namespace mhc::codegen {
namespace {

using jit::operation;

/// A projection's sums in the workspace: proj [S, T, rows], then sqsum [S, T], with a split for each slice.
struct sums_in_workspace {
    std::int64_t proj, sqsum, end;  ///< where each begins, in bytes a token
    std::int64_t fixed;             ///< bytes before them: a copy of fn

    sums_in_workspace(const facts& f, std::int64_t rows, std::int64_t begin, std::int64_t fixed_bytes = 0)
        : proj(begin), sqsum(proj + f.project_slices() * rows * 4), end(sqsum + f.project_slices() * 4), fixed(fixed_bytes)
    {
    }
    void add_to(feeds& from) const
    {
        from.push_back({slot::proj, slot::workspace, proj, fixed});
        from.push_back({slot::sqsum, slot::workspace, sqsum, fixed});
    }
};

/// Where the copy of fn is, if there is one: at the begin.
constexpr feed first_in_workspace{.parameter = slot::arranged_fn, .what = slot::workspace};

/// Coefficients and layer_input from a projection; `sum_from`: what the sum of the streams is fed besides.
void add_mix(const facts& f, operator_plan& made, feeds from, const feeds& sum_from = {})
{
    // One kernel for both adds the streams by the coefficients that it has just made.
    if (f.has_pre_mix() && sum_from.empty()) return made.kernels.push_back(plan_pre_mix(f, from, made.kernels.empty()));
    made.kernels.push_back(plan_coefficients(f, "coefficients", from));
    from.insert(from.end(), sum_from.begin(), sum_from.end());
    made.kernels.push_back(plan_apply_mix(f, from, true));
}

/// One kernel more, which is launched instead of all others where streams can be told to the copy engine.
void add_one_pass(operator_plan& made, kernel_plan kernel)
{
    for (kernel_plan& k : made.kernels) k.launches = part_of::several_passes;
    made.kernels.push_back(std::move(kernel));
    made.kernels.back().launches = part_of::one_pass;
    made.one_pass_tokens = 1;
}

/// Projection, coefficients and layer_input; `from` says where x is and where pre, post and mix go.
void add_pre(const facts& f, operator_plan& made, feeds from, const feeds& sum_from = {})
{
    const sums_in_workspace sums(f, f.m, 0, projection_bytes(f, f.m));
    sums.add_to(from);
    made.workspace_bytes_per_token = sums.end;
    made.workspace_bytes_fixed = sums.fixed;
    add_projection(f, made, from, first_in_workspace, f.m);
    add_mix(f, made, from, sum_from);
}

void add_post_pre(const facts& f, operator_plan& made)
{
    made.kernels.push_back(plan_post(f));
    add_pre(f, made,
            {{slot::x, slot::out},
             {slot::x_token_stride, slot::out_token_stride},
             {slot::x_stream_stride, slot::out_stream_stride},
             {slot::pre, slot::next_pre},
             {slot::post, slot::next_post},
             {slot::mix, slot::next_mix}});
    if (f.has_one_pass()) add_one_pass(made, plan_post_pre_one_pass(f));
}

/// A head of the streams x that `from` says, or of those that post makes; its workspace begins at `begin` bytes a token.
void add_head(const facts& f, operator_plan& made, feeds from, bool is_of_post = false, std::int64_t begin = 0)
{
    const sums_in_workspace sums(f, f.n, begin, projection_bytes(f, f.n));
    from.push_back({slot::pre, slot::workspace, sums.end, sums.fixed});
    sums.add_to(from);
    made.workspace_bytes_per_token = sums.end + f.n * 4;
    made.workspace_bytes_fixed = sums.fixed;
    if (is_of_post)
        made.kernels.push_back(plan_project(f, "project_post", from));
    else
        add_projection(f, made, from, first_in_workspace, f.n);
    made.kernels.push_back(plan_coefficients(f, "head_coefficients", from, f.n));
    made.kernels.push_back(is_of_post ? plan_apply_post(f, from) : plan_apply_mix(f, from, true));
}

/// Up to 8 streams are made again where they are read: 2n + 3 rows are moved instead of the 4n + 2 of streams that are
/// stored between. More streams would cost a wave more sums than that saves. Matrix units read streams from memory, and
/// their sums' bits are head_fwd's; and beside a copy of fn, which is float, the bias would be read as float too.
void add_post_head(const facts& f, operator_plan& made)
{
    if (f.n <= 8 && !f.has_tiles && !f.has_wide && !f.arranges_fn()) return add_head(f, made, {}, true);
    const feed streams{slot::out, slot::workspace, 0, projection_bytes(f, f.n)};
    const feeds dense_out = {
        streams, {slot::out_token_stride, slot::dense_token_stride}, {slot::out_stream_stride, slot::dense_stream_stride}};
    made.kernels.push_back(plan_post(f, dense_out));
    add_head(f, made,
             {{slot::x, slot::workspace, 0, streams.bytes_fixed},
              {slot::x_token_stride, slot::dense_token_stride},
              {slot::x_stream_stride, slot::dense_stream_stride}},
             false, round_up(f.n * f.C * size_of(f.spec.dtype), 4));
    if (f.has_one_pass()) add_one_pass(made, plan_post_head_one_pass(f));
}

void add_static_layer(const facts& f, operator_plan& made)
{
    made.workspace_bytes_fixed = f.m * 4;  // on every target: whether null is refused is not to depend on it
    if (has_static_layer(f)) return made.kernels.push_back(plan_static_layer(f));
    made.kernels.push_back(plan_static_coefficients(f));
    made.kernels.push_back(plan_layer(f, false));
}

/// The workspace begins with the coefficients [T, n*n + 2n], where the layer's kernel does not make them.
void add_dynamic_layer(const facts& f, operator_plan& made)
{
    const bool is_one = has_dynamic_layer(f);
    const sums_in_workspace sums(f, f.m, is_one ? 0 : f.m * 4);
    feeds from;
    sums.add_to(from);
    made.workspace_bytes_per_token = sums.end;
    add_project(f, made, "project_three", from, f.m);
    if (is_one) {
        made.kernels.push_back(plan_dynamic_layer(f, from));
    } else {
        made.kernels.push_back(plan_coefficients(f, "dynamic_coefficients", from));
        made.kernels.push_back(plan_layer(f, true));
    }
    if (f.has_layer_one_pass()) add_one_pass(made, plan_layer_one_pass(f));
}

/// With as many splits as the caller asks for. Where kernels make slices alone, their sums are in the workspace first.
void add_project_stage(const facts& f, operator_plan& made)
{
    made.workspace_bytes_fixed = projection_bytes(f, f.m);
    if (!f.has_wide_groups()) return add_projection(f, made, {}, first_in_workspace, f.m);
    const sums_in_workspace sums(f, f.m, 0, made.workspace_bytes_fixed);
    feeds from;
    sums.add_to(from);
    made.workspace_bytes_per_token = sums.end;
    add_projection(f, made, from, first_in_workspace, f.m);
    made.kernels.push_back(plan_sum_slices(f, {{slot::sums, slot::workspace, sums.proj, sums.fixed}}));
}

void add_kernels(const facts& f, operator_plan& made)
{
    switch (made.op) {
        case operation::sinkhorn_fwd:
            return made.kernels.push_back(plan_sinkhorn(f));
        case operation::rmsnorm_fwd:
            return made.kernels.push_back(plan_rmsnorm(f));
        case operation::rmsnorm_matmul_fwd:
            return made.kernels.push_back(plan_rmsnorm_matmul(f));
        case operation::apply_mix_fwd:
            return made.kernels.push_back(plan_apply_mix(f, {}, false));
        case operation::expand_fwd:
            return made.kernels.push_back(plan_expand(f));
        case operation::post_fwd:
            return made.kernels.push_back(plan_post(f));
        case operation::pre_fwd:
            add_pre(f, made, {});
            if (f.has_one_pass()) add_one_pass(made, plan_pre_one_pass(f));
            return;
        case operation::broadcast_pre_fwd:  // of strides that repeat a row, where it is several passes
            add_pre(f, made, {});
            if (f.has_one_pass()) add_one_pass(made, plan_broadcast_one_pass(f));
            return;
        case operation::delayed_pre_fwd:
            add_pre(f, made, {}, {{slot::pre, slot::previous_pre}});
            if (f.has_one_pass()) add_one_pass(made, plan_pre_one_pass(f, true));
            return;
        case operation::static_layer_fwd:
            return add_static_layer(f, made);
        case operation::dynamic_layer_fwd:
            return add_dynamic_layer(f, made);
        case operation::post_pre_fwd:
            return add_post_pre(f, made);
        case operation::head_fwd:
            add_head(f, made, {});
            if (f.has_one_pass()) add_one_pass(made, plan_head_one_pass(f));
            return;
        case operation::multilayer_recompute:  // of one layer: a call launches it for each
            return made.kernels.push_back(plan_recompute(f));
        case operation::post_head_fwd:
            return add_post_head(f, made);
        case operation::pre_project_fwd:
            return add_project_stage(f, made);
        case operation::split_mixes_fwd:
            return made.kernels.push_back(plan_coefficients(f, "split_mixes", {}));
        case operation::coeffs_fwd:
            return made.kernels.push_back(plan_coefficients(f, "coefficients", {}));
        case operation::pre_big_fuse:
            return add_mix(f, made, {});
        default:
            assert(false && "an operator without kernels");
    }
}

}  // namespace

jit::result<operator_plan> plan(const jit::layer_spec& spec, const target& on, jit::operation op, const jit::tuning& tuned)
{
    if (auto ok = validate(spec); !ok) return ok.error();
    if (auto ok = check_tuning(tuned, on); !ok) return ok.error();
    jit::layer_spec of_op = spec;
    if (!jit::operations_with_layer_input_quant.contains(op)) of_op.layer_input_quant = jit::layer_input_quant::none;
    const facts f(of_op, on, tuned);
    operator_plan made{.op = op, .on = on, .kernels = {}, .slices = f.project_slices(), .steps = {}};
    if (!add_gradient_kernels(f, made)) add_kernels(f, made);
    made.runs_without_tokens =
        std::any_of(made.kernels.begin(), made.kernels.end(), [](const kernel_plan& k) { return k.runs_without_tokens; });
    add_chunks(f, made);
    return made;
}

}  // namespace mhc::codegen
