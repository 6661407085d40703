// codegen/plan_layer_gradients.cpp -- which kernels the gradients of mHC.cu's layer launch.
#include "codegen/plan_areas.hpp"

namespace mhc::codegen {

void add_static_layer_gradient(const facts& f, operator_plan& made, areas& space)
{
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
    add_sums(f, made, space, sums, tokens_of_weight_sum, f.C, slot::d_weight,
             {{.to = slot::d_weight, .first = 0, .length = f.C, .is_weight = true}});
}

void add_dynamic_layer_gradient(const facts& f, operator_plan& made, areas& space)
{
    const feed coefficients = space.of_tokens(slot::coefficients, f.m);
    const feed norm = space.of_tokens(slot::norm, 2), d_coefficients = space.of_tokens(slot::d_coefficients, f.m);
    const feed proj = space.of_tokens(slot::proj, f.project_slices() * f.m),
               sqsum = space.of_tokens(slot::sqsum, f.project_slices());
    const feed d_proj = space.of_tokens(slot::d_proj, f.m), d_sqsum = space.of_tokens(slot::d_sqsum, 1);
    const feed affine = space.of_tokens(slot::sums, f.m + 3), history = space.of_tokens(slot::history, history_floats(f));
    const feed weight_sums = space.of_sums(slot::sums, f.C, tokens_of_weight_sum);
    const feed matrix = space.of_sums(slot::sums, f.m * f.n * f.C, tokens_of_matrix_sum);
    made.kernels.push_back(plan_project(f, "project_three", {proj, sqsum}));
    made.kernels.push_back(plan_coefficients(f, "dynamic_coefficients", {proj, sqsum, as(slot::workspace, coefficients)}));
    const bool has_tiles = has_gradient_tiles(f), is_once = has_tiles && reads_layer_once(f);
    const feed d_row = space.of_tokens(slot::d_row, has_tiles ? f.C : 0);
    if (is_once)
        made.kernels.push_back(plan_layer_once(f, "layer_once_bwd", {coefficients, d_coefficients, weight_sums, d_row}));
    else
        made.kernels.push_back(plan_layer_products(f, {coefficients, norm, d_coefficients}));
    made.kernels.push_back(plan_coefficients_bwd(f, "dynamic_coefficients_bwd",
                                                 {proj, sqsum, d_coefficients, history, d_proj, d_sqsum, affine}, false));
    if (has_tiles) {
        if (!is_once) made.kernels.push_back(plan_row_bwd(f, "layer_row_bwd", {coefficients, norm, weight_sums, d_row}));
        const feed factors = space.factors(f.m);
        made.kernels.push_back(plan_tile_factors(f, "dynamic_tile_factors", {d_proj, factors}, f.m));
        made.kernels.push_back(
            plan_gradient_tiles(f, "dynamic_tiles_bwd", {d_row, coefficients, d_sqsum, factors, matrix}, f.m));
    } else {
        made.kernels.push_back(plan_input_bwd(f, "dynamic_input_bwd", {coefficients, norm, d_proj, d_sqsum, weight_sums}));
        made.kernels.push_back(plan_matrix_sums(f, {d_proj, matrix, one_split}, f.m));
    }
    const feed affine_sums = add_first_sums(f, made, space, affine, 1, f.m + 3, slot::tokens);
    const feed totals = add_first_sums(f, made, space, weight_sums, tokens_of_weight_sum, f.C, slot::d_weight);
    made.kernels.push_back(
        plan_finish_layer(f, {as(slot::totals, matrix), as(slot::d_row, totals), as(slot::sums, affine_sums)},
                          tokens_of_weight_sum * rows_of_sum));
}

}  // namespace mhc::codegen
