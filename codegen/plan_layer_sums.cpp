// codegen/plan_layer_sums.cpp -- what the gradients of mHC.cu's layer with coefficients of each token sum up: over the
// channels of a token, and over all tokens.
#include <fmt/format.h>

#include "codegen/plan_gradients.hpp"
#include "codegen/plan_parts.hpp"

namespace mhc::codegen {

kernel_plan plan_dynamic_sums(const facts& f, const feeds& from)
{
    constexpr std::int64_t tokens = 8;  // of a work-group, whose lanes share their numbers
    kernel_plan k = start(f, "dynamic_sums", arguments_of("dynamic_sums", from), 256);
    k.grid.tokens_per_unit = tokens;
    add(k, {{"hidden_dim", fmt::to_string(f.C)},
            {"layout", std::string(to_string(f.spec.options.layout))},
            {"together", fmt::to_string(tokens)},
            {"lds_floats", fmt::to_string(tokens * row_products(f))},
            {"norm_eps", real(f.norm_eps())}});
    finish(f, k, true);
    return k;
}

kernel_plan plan_finish_layer(const facts& f, const feeds& from, std::int64_t weight_tokens)
{
    const std::int32_t block = f.is_host ? 1 : 256;
    kernel_plan k = start(f, "finish_layer", arguments_of("finish_layer", from), block);
    k.grid.items_per_group = f.is_host ? 4096 : block;
    k.grid.ignores_tokens = k.runs_without_tokens = true;
    k.grid.items_per_unit = f.m * f.n * f.C + f.C + f.m + 3;
    add(k, {{"hidden_dim", fmt::to_string(f.C)},
            {"weight_dtype", std::string(to_string(f.spec.weight_dtype))},
            {"tokens_per_sum", fmt::to_string(tokens_of_matrix_sum)},
            {"tokens_per_weight_sum", fmt::to_string(weight_tokens)},
            {"tokens_per_affine_sum", fmt::to_string(tokens_of_sum)}});
    finish(f, k, true, true, f.spec.weight_dtype);
    return k;
}

}  // namespace mhc::codegen
