// codegen/plan_backward.cpp -- which kernels the gradient of an operator launches, and where they leave what they make.
//
// Gradients of what tokens share are sums over the tokens in a promised order: kernels before leave sums of some tokens, and
// a last one adds these. Where the caller does not ask for such a gradient its kernels are not launched.
#include "codegen/plan_backward.hpp"

#include "codegen/plan_areas.hpp"

namespace mhc::codegen {

void add_weight_sums(const facts& f, operator_plan& made, const feed& rows, slot to)
{
    made.kernels.push_back(plan_finish_columns(f, {as(slot::sums, rows), {slot::d_vector, to}}, tokens_of_weight_sum, f.C));
    made.kernels.back().only_if = to;
}

namespace {

using jit::operation;

/// A gradient that is some columns of a sum over the tokens.
struct column_range {
    slot to;
    std::int64_t first, length;
    slot only_if = to;
};

/// `width` numbers of each token in `rows`, summed into the gradients of `parts`.
void add_sums(const facts& f, operator_plan& made, areas& space, const feed& rows, std::int64_t width, slot only_if,
              const std::vector<column_range>& parts)
{
    const feed totals = space.of_sums(slot::totals, width, tokens_of_sum);
    made.kernels.push_back(plan_sum_rows(f, {as(slot::sums, rows), totals}, 1, width));
    made.kernels.back().only_if = only_if;
    for (const column_range& part : parts) {
        made.kernels.push_back(
            plan_finish(f, {totals, {slot::d_vector, part.to}}, {tokens_of_sum, width, part.first, part.length}));
        made.kernels.back().only_if = part.only_if;
    }
}

void add_apply_mix(const facts& f, operator_plan& made, areas& space)
{
    const feed rows = space.of_tokens(slot::sums, f.n);
    made.kernels.push_back(plan_apply_mix_bwd(f, {rows}));
    add_sums(f, made, space, rows, f.n, slot::pre_is_static,
             {{.to = slot::d_pre, .first = 0, .length = f.n, .only_if = slot::pre_is_static}});
}

/// Sums of the coefficients that all tokens share, of each token's in `rows`.
void add_shared_coefficients(const facts& f, operator_plan& made, areas& space, const feed& rows)
{
    add_sums(f, made, space, rows, f.n + f.n * f.n, slot::statics_are_wanted,
             {{.to = slot::d_post, .first = 0, .length = f.n, .only_if = slot::post_is_static},
              {.to = slot::d_mix, .first = f.n, .length = f.n * f.n, .only_if = slot::mix_is_static}});
}

/// post_bwd, and the sums of coefficients and of a bias that all tokens share.
void add_post(const facts& f, operator_plan& made, areas& space, feeds from)
{
    const feed rows = space.of_tokens(slot::sums, f.n + f.n * f.n);
    const feed bias = space.of_sums(slot::sums, f.C, tokens_of_weight_sum);
    from.push_back(rows);
    made.kernels.push_back(plan_post_bwd(f, from));
    add_shared_coefficients(f, made, space, rows);
    from.back() = bias;
    made.kernels.push_back(plan_bias_sums(f, from));
    made.kernels.back().only_if = slot::d_bias;
    add_weight_sums(f, made, bias, slot::d_bias);
}

/// The gradients of post and, of `rows` rows of fn, of x through the pre after it.
void add_transition(const facts& f, operator_plan& made, areas& space, feeds from, std::int64_t rows)
{
    const feed products = space.of_tokens(slot::totals, transition_parts(f) * f.n * (f.n + 1));
    const feed coefficients = space.of_tokens(slot::sums, f.n + f.n * f.n);
    const feed bias = space.of_sums(slot::d_row, f.C, tokens_of_weight_sum);
    from.insert(from.end(), {products, bias});
    made.kernels.push_back(plan_stream_tiles(f, "transition_tiles_bwd", from, rows));
    made.kernels.push_back(plan_transition_sums(f, {products, coefficients}));
    add_shared_coefficients(f, made, space, coefficients);
    add_weight_sums(f, made, bias, slot::d_bias);
}

void add_sinkhorn(const facts& f, operator_plan& made, areas& space)
{
    made.kernels.push_back(plan_sinkhorn_bwd(f, {space.of_tokens(slot::history, history_floats(f))}));
}

void add_rmsnorm(const facts& f, operator_plan& made, areas& space)
{
    const bool is_once = reads_norm_once(f);
    const feed norm = space.of_tokens(slot::norm, is_once ? 0 : 2);
    const feed sums = space.of_sums(slot::sums, f.C, tokens_of_weight_sum);
    if (is_once) {
        made.kernels.push_back(plan_rmsnorm_once(f, {sums}));
    } else {
        made.kernels.push_back(plan_rmsnorm_terms(f, {norm}));
        made.kernels.push_back(plan_rmsnorm_bwd(f, {norm, sums}));
    }
    add_weight_sums(f, made, sums, slot::d_weight);
}

/// The norm's gradient from that of its row, which is not rounded between; the weight's from the row as it is made again.
void add_rmsnorm_matmul(const facts& f, operator_plan& made, areas& space)
{
    const feed norm = space.of_tokens(slot::norm, 2), sums = space.of_sums(slot::sums, f.C, tokens_of_weight_sum);
    feed d_row = space.of_tokens(slot::d_row, f.C);
    d_row.is_f32 = true;
    const feed by{slot::weight, slot::norm_weight};
    made.kernels.push_back(plan_matmul_input_bwd(f, {d_row}));
    made.kernels.push_back(plan_rmsnorm_terms(f, {as(slot::d_y, d_row), by, norm}));
    made.kernels.push_back(plan_rmsnorm_bwd(f, {as(slot::d_y, d_row), by, norm, sums}));
    add_weight_sums(f, made, sums, slot::d_norm_weight);
    made.kernels.push_back(plan_matmul_weight_bwd(f, {norm}));
    made.kernels.back().only_if = slot::d_weight;
}

/// d_x from d_proj by the kernel `input`_input_bwd, to which `weight_sums` are fed, and where the sums are that d_fn is made
/// of. `given_factors`: those that fn's and d_proj's are in by now.
feed add_inputs(const facts& f, operator_plan& made, areas& space, feeds from, const std::string& input, std::int64_t rows,
                const feeds& weight_sums = {}, const feed* given_factors = nullptr)
{
    const feed sums = space.of_sums(slot::sums, rows * f.n * f.C, tokens_of_matrix_sum);
    feeds with_weight_sums = from;
    with_weight_sums.insert(with_weight_sums.end(), weight_sums.begin(), weight_sums.end());
    if (has_gradient_tiles(f)) {  // one kernel, which d_x is always asked of
        if (f.spec.norm_weight && input != "project") {
            feed d_row = space.of_tokens(slot::d_row, f.C);
            d_row.is_f32 = true;
            with_weight_sums.push_back(d_row);
            made.kernels.push_back(plan_row_bwd(f, "pre_row_bwd", with_weight_sums));
            from.push_back(as(slot::d_layer_input, d_row));
        }
        from.push_back(sums);
        if (given_factors) {
            from.push_back(*given_factors);
        } else if (input != "project") {
            from.push_back(space.factors(rows));
            made.kernels.push_back(plan_tile_factors(f, "tile_factors", from, rows));
        }
        if (input == "transition")
            add_transition(f, made, space, from, rows);
        else
            made.kernels.push_back(plan_gradient_tiles(f, input + "_tiles_bwd", from, rows));
    } else {
        made.kernels.push_back(plan_input_bwd(f, input + "_input_bwd", with_weight_sums));
        from.push_back(sums);
        made.kernels.push_back(plan_matrix_sums(f, from, rows));
        made.kernels.back().only_if = f.arranges_fn() ? slot::fn_is_wanted : slot::d_fn;
    }
    return as(slot::totals, sums);
}

/// d_fn in order, and that of its norm's weight.
void add_arranged_fn(const facts& f, operator_plan& made, const feed& sums)
{
    made.kernels.push_back(plan_finish_fn(f, {sums}));
    made.kernels.back().only_if = slot::fn_is_wanted;
}

void add_affine(const facts& f, operator_plan& made, const feed& sums, const affine_part& part)
{
    made.kernels.push_back(plan_finish_affine(f, {sums}, part));
    made.kernels.back().only_if = slot::affine_is_wanted;
}

/// pre_bwd and head_bwd: `rows` rows of fn. `from` says where x is and where d_x goes; `input` begins the name of
/// the last kernel.
void add_pre(const facts& f, operator_plan& made, areas& space, feeds from, bool is_head, const std::string& input)
{
    const std::int64_t rows = is_head ? f.n : f.m, scales = scales_of(is_head);
    const feed pre = space.of_tokens(slot::pre, f.n);
    const bool is_at_once = has_group_projection(f);
    const std::int64_t slices = is_at_once ? group_slices(f) : f.project_slices();
    const feed proj = space.of_tokens(slot::proj, slices * rows), sqsum = space.of_tokens(slot::sqsum, slices);
    const feed d_sqsum = space.of_tokens(slot::d_sqsum, 1);
    const affine_part part{rows, scales, is_at_once ? tokens_of_slices : matrix_tokens(f)};
    const feed affine = space.of_sums(slot::sums, rows + scales, part.tokens_per_row);
    const feed history = space.of_tokens(slot::history, is_head ? 0 : history_floats(f));
    const feed factors = is_at_once ? space.factors(rows) : feed{};
    from.insert(from.end(), {pre, proj, sqsum, d_sqsum});
    const auto with = [&](std::initializer_list<feed> more) {
        feeds list = from;
        list.insert(list.end(), more);  // of two feeds of a parameter the later counts
        return list;
    };

    const feed arranged = space.arranged(rows, !is_at_once);
    if (!is_at_once) add_projection(f, made, from, arranged, rows);
    if (is_at_once && f.arranges_fn()) made.kernels.push_back(plan_arrange_fn(f, {arranged}));
    if (f.arranges_fn()) from.push_back(as(slot::fn, arranged));
    if (is_at_once) {
        const feed products = space.of_tokens(slot::sums, slices * f.n);
        const feed splits{.parameter = slot::splits, .what = slot::zero, .bytes_fixed = slices};
        made.kernels.push_back(plan_fn_factors(f, "fn_factors", with({factors}), rows));
        made.kernels.push_back(plan_project_products(f, input == "transition" ? "transition_products" : "project_products",
                                                     with({products, factors}), rows));
        made.kernels.push_back(plan_slices_bwd(f, is_head ? "head_slices_bwd" : "pre_slices_bwd",
                                               with({splits, products, history, factors, as(slot::totals, affine)}), rows));
    } else {
        const feed d_pre = space.of_tokens(slot::d_coefficients, f.n), norm = space.of_tokens(slot::norm, 2);
        const feed d_proj = space.of_tokens(slot::d_proj, rows);
        made.kernels.push_back(plan_coefficients(f, "head_coefficients", from, rows));
        from.insert(from.end(), {norm, d_proj});
        made.kernels.push_back(plan_pre_products(f, with({d_pre})));
        made.kernels.push_back(plan_coefficients_bwd(f, is_head ? "head_coefficients_bwd" : "coefficients_bwd",
                                                     with({as(slot::d_pre, d_pre), affine, history}), false));
    }
    const feed weight_sums = space.of_sums(slot::sums, f.spec.norm_weight ? f.C : 0, tokens_of_weight_sum);
    const feed fn_sums =
        add_inputs(f, made, space, with({one_split}), input, rows, {weight_sums}, is_at_once ? &factors : nullptr);
    if (f.arranges_fn()) {
        add_arranged_fn(f, made, fn_sums);
        add_affine(f, made, affine, part);
    } else {
        made.kernels.push_back(plan_finish_pre(f, {fn_sums, affine}, part));
        made.kernels.back().only_if = slot::pre_is_wanted;
    }
    if (f.spec.norm_weight) add_weight_sums(f, made, weight_sums, slot::d_norm_weight);
}

/// post_pre_bwd and post_head_bwd. Where they are not made at once the residual is made again, and its gradient, which
/// nobody asks for, stays in float.
void add_after_post(const facts& f, operator_plan& made, areas& space, bool is_head)
{
    // The streams before a head and its coefficients are no outputs.
    feeds from =
        is_head ? feeds{{slot::d_out, slot::zero},
                        {slot::d_out_token_stride, slot::dense_token_stride},
                        {slot::d_out_stream_stride, slot::dense_stream_stride},
                        {slot::d_pre, slot::zero}}
                : feeds{{slot::d_pre, slot::d_next_pre}, {slot::d_post, slot::d_next_post}, {slot::d_mix, slot::d_next_mix}};
    if (makes_transition(f)) return add_pre(f, made, space, from, is_head, "transition");
    const feed out = space.streams(slot::out, false), d_out = space.streams(slot::d_x, true);
    const feed dense_out[] = {{slot::out_token_stride, slot::dense_token_stride},
                              {slot::out_stream_stride, slot::dense_stream_stride}};
    made.kernels.push_back(plan_post(f, {out, dense_out[0], dense_out[1]}));
    from.insert(from.end(), {as(slot::x, out),
                             {slot::x_token_stride, slot::dense_token_stride},
                             {slot::x_stream_stride, slot::dense_stream_stride},
                             d_out,
                             {slot::d_x_token_stride, slot::dense_token_stride},
                             {slot::d_x_stream_stride, slot::dense_stream_stride}});
    add_pre(f, made, space, from, is_head, "post_pre");
    add_post(f, made, space,
             {as(slot::d_out, d_out),
              {slot::d_out_token_stride, slot::dense_token_stride},
              {slot::d_out_stream_stride, slot::dense_stream_stride}});
}

void add_project(const facts& f, operator_plan& made, areas& space)
{
    const feed arranged = space.arranged(f.m, false);
    if (f.arranges_fn()) made.kernels.push_back(plan_arrange_fn(f, {arranged}));
    const feed sums = add_inputs(f, made, space, f.arranges_fn() ? feeds{as(slot::fn, arranged)} : feeds{}, "project", f.m);
    if (f.arranges_fn()) return add_arranged_fn(f, made, sums);
    made.kernels.push_back(
        plan_finish(f, {sums, {slot::d_vector, slot::d_fn}}, {tokens_of_matrix_sum, 0, 0, f.m * f.n * f.C}));
    made.kernels.back().only_if = slot::d_fn;
}

/// split_mixes_bwd and coeffs_bwd.
void add_coefficients(const facts& f, operator_plan& made, areas& space, const std::string& family)
{
    const affine_part part{f.m, scales_of(false), matrix_tokens(f)};
    const feed affine = space.of_sums(slot::sums, part.rows + part.scales, part.tokens_per_row);
    const bool has_history = family == "coefficients_bwd";
    const feed history = space.of_tokens(slot::history, has_history ? history_floats(f) : 0);
    made.kernels.push_back(plan_coefficients_bwd(f, family, {affine, history}, true));
    add_affine(f, made, affine, part);
}

}  // namespace

bool add_gradient_kernels(const facts& of, operator_plan& made)
{
    // The gradients of a layer with reference_rounding are those of the layer without it.
    jit::layer_spec exact = of.spec;
    exact.options.reference_rounding = false;
    const facts f(exact, of.on);
    areas space(f, made);
    switch (made.op) {
        case operation::sinkhorn_bwd:
            return add_sinkhorn(f, made, space), true;
        case operation::rmsnorm_bwd:
            return add_rmsnorm(f, made, space), true;
        case operation::rmsnorm_matmul_bwd:
            return add_rmsnorm_matmul(f, made, space), true;
        case operation::apply_mix_bwd:
            return add_apply_mix(f, made, space), true;
        case operation::expand_bwd:
            return made.kernels.push_back(plan_expand_bwd(f)), true;
        case operation::post_bwd:
            return add_post(f, made, space, {}), true;
        case operation::pre_bwd:
            return add_pre(f, made, space, {}, false, "pre"), true;
        case operation::head_bwd:
            return add_pre(f, made, space, {}, true, "pre"), true;
        case operation::post_pre_bwd:
            return add_after_post(f, made, space, false), true;
        case operation::post_head_bwd:
            return add_after_post(f, made, space, true), true;
        case operation::pre_project_bwd:
            return add_project(f, made, space), true;
        case operation::split_mixes_bwd:
            return add_coefficients(f, made, space, "split_mixes_bwd"), true;
        case operation::coeffs_bwd:
            return add_coefficients(f, made, space, "coefficients_bwd"), true;
        case operation::static_layer_bwd:
            return add_static_layer_gradient(f, made, space), true;
        case operation::dynamic_layer_bwd:
            return add_dynamic_layer_gradient(f, made, space), true;
        default:
            return false;
    }
}

}  // namespace mhc::codegen
