// codegen/plan_layer_gradients.cpp -- which kernels the gradients of mHC.cu's layer launch.
#include "codegen/plan_areas.hpp"

namespace mhc::codegen {

/// One kernel for all tokens, and one for the sums over them.
static void add_static_layer_ahead(const facts& f, operator_plan& made, areas& space)
{
    const feed coefficients = space.of_sums(slot::d_coefficients, f.m, tokens_of_weight_sum);
    const feed sums = space.of_sums(slot::sums, f.C, tokens_of_weight_sum);
    const feed jacobian = space.once(slot::totals, f.n * f.n * f.n * f.n);
    const feed history = space.once(slot::history, static_history_floats(f));
    made.kernels.push_back(plan_static_ahead(f, {coefficients, sums, jacobian, history}));
    made.kernels.push_back(plan_finish_static(f, {coefficients, sums, jacobian}));
}

void add_static_layer_gradient(const facts& f, operator_plan& made, areas& space)
{
    if (has_static_ahead(f)) return add_static_layer_ahead(f, made, space);
    const bool is_once = reads_layer_once(f);
    const feed coefficients = space.once(slot::coefficients, f.m);
    const feed norm = space.of_tokens(slot::norm, is_once ? 0 : 2),
               d_coefficients = space.of_tokens(slot::d_coefficients, f.m);
    const feed sums = space.of_sums(slot::sums, f.C, tokens_of_weight_sum);
    const feed totals = space.of_sums(slot::totals, f.m, tokens_of_sum);
    const feed history = space.once(slot::history, history_floats(f));
    made.kernels.push_back(plan_static_coefficients(f, {as(slot::workspace, coefficients)}));
    if (is_once) {
        made.kernels.push_back(plan_layer_once(f, "static_once_bwd", {coefficients, d_coefficients, sums}));
    } else {
        made.kernels.push_back(plan_layer_products(f, {coefficients, norm, d_coefficients}));
        made.kernels.push_back(plan_input_bwd(f, "static_input_bwd", {coefficients, norm, sums}));
    }
    made.kernels.push_back(plan_sum_rows(f, {as(slot::sums, d_coefficients), totals}, 1, f.m));
    made.kernels.push_back(plan_static_coefficients_bwd(f, {totals, history}));
    add_weight_sums(f, made, sums, slot::d_weight);
}

namespace {

/// What the kernels of a layer with coefficients of each token leave each other.
struct dynamic_feeds {
    feed coefficients, norm, d_sqsum, history, matrix;
};

/// Where the rows are read twice: for the projection and all products, and for d_x and the parameters' sums.
void add_layer_groups(const facts& f, operator_plan& made, areas& space, const dynamic_feeds& of)
{
    const std::int64_t slices = group_slices(f);
    const feed proj = space.of_tokens(slot::proj, slices * f.m), sqsum = space.of_tokens(slot::sqsum, slices);
    const feed products = space.of_tokens(slot::sums, slices * row_products(f)), factors = space.factors(f.m);
    const feed splits{.parameter = slot::splits, .what = slot::zero, .bytes_fixed = slices};
    const feed weight_sums = space.of_sums(slot::totals, f.C, tokens_of_matrix_sum);
    const feed affine = space.of_sums(slot::sums, f.m + 3, tokens_of_slices);
    made.kernels.push_back(plan_fn_factors(f, "dynamic_fn_factors", {factors}, f.m));
    made.kernels.push_back(plan_project_products(f, "dynamic_products", {factors, proj, sqsum, products}, f.m));
    made.kernels.push_back(plan_slices_bwd(
        f, "dynamic_slices_bwd",
        {splits, proj, sqsum, products, of.history, of.coefficients, of.norm, factors, of.d_sqsum, as(slot::totals, affine)},
        f.m));
    made.kernels.push_back(plan_stream_tiles(f, "dynamic_row_tiles_bwd",
                                             {of.norm, of.coefficients, of.d_sqsum, factors, of.matrix, weight_sums}, f.m));
    made.kernels.push_back(plan_finish_layer(f, {as(slot::totals, of.matrix), as(slot::d_row, weight_sums), affine},
                                             tokens_of_matrix_sum, tokens_of_slices));
}

}  // namespace

void add_dynamic_layer_gradient(const facts& f, operator_plan& made, areas& space)
{
    const dynamic_feeds of = {.coefficients = space.of_tokens(slot::coefficients, f.m),
                              .norm = space.of_tokens(slot::norm, 2),
                              .d_sqsum = space.of_tokens(slot::d_sqsum, 1),
                              .history = space.of_tokens(slot::history, history_floats(f)),
                              .matrix = space.of_sums(slot::sums, f.m * f.n * f.C, tokens_of_matrix_sum)};
    if (has_layer_groups(f)) return add_layer_groups(f, made, space, of);
    const feed proj = space.of_tokens(slot::proj, f.project_slices() * f.m),
               sqsum = space.of_tokens(slot::sqsum, f.project_slices());
    const feed affine = space.of_sums(slot::sums, f.m + 3, matrix_tokens(f));
    const feed d_coefficients = space.of_tokens(slot::d_coefficients, f.m), d_proj = space.of_tokens(slot::d_proj, f.m);
    const feed weight_sums = space.of_sums(slot::sums, f.C, tokens_of_weight_sum);
    made.kernels.push_back(plan_project(f, "project_three", {proj, sqsum}));
    made.kernels.push_back(
        plan_coefficients(f, "dynamic_coefficients", {proj, sqsum, as(slot::workspace, of.coefficients)}));
    const bool has_tiles = has_gradient_tiles(f), is_once = has_tiles && reads_layer_once(f);
    const feed d_row = space.of_tokens(slot::d_row, has_tiles ? f.C : 0);
    if (is_once)
        made.kernels.push_back(plan_layer_once(f, "layer_once_bwd", {of.coefficients, d_coefficients, weight_sums, d_row}));
    else
        made.kernels.push_back(plan_layer_products(f, {of.coefficients, of.norm, d_coefficients}));
    made.kernels.push_back(plan_coefficients_bwd(
        f, "dynamic_coefficients_bwd", {proj, sqsum, d_coefficients, of.history, d_proj, of.d_sqsum, affine}, false));
    if (has_tiles) {
        if (!is_once)
            made.kernels.push_back(plan_row_bwd(f, "layer_row_bwd", {of.coefficients, of.norm, weight_sums, d_row}));
        const feed factors = space.factors(f.m);
        made.kernels.push_back(plan_tile_factors(f, "dynamic_tile_factors", {d_proj, factors}, f.m));
        made.kernels.push_back(
            plan_gradient_tiles(f, "dynamic_tiles_bwd", {d_row, of.coefficients, of.d_sqsum, factors, of.matrix}, f.m));
    } else {
        made.kernels.push_back(
            plan_input_bwd(f, "dynamic_input_bwd", {of.coefficients, of.norm, d_proj, of.d_sqsum, weight_sums}));
        made.kernels.push_back(plan_matrix_sums(f, {d_proj, of.matrix, one_split}, f.m));
    }
    made.kernels.push_back(plan_finish_layer(f, {as(slot::totals, of.matrix), as(slot::d_row, weight_sums), affine},
                                             tokens_of_weight_sum, matrix_tokens(f)));
}

}  // namespace mhc::codegen
