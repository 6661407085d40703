// tests/reference/gradient_cases.cpp -- lists of coprime lengths, walked together.
#include "tests/reference/gradient_cases.hpp"

namespace mhc::testing {

std::vector<gradient_case> gradient_cases()
{
    constexpr jit::preset presets[] = {jit::preset::paper, jit::preset::mhc_cu, jit::preset::deepseek, jit::preset::liger,
                                       jit::preset::aiter_triton};
    constexpr std::int64_t streams[] = {1, 2, 3, 4};
    constexpr std::int64_t hidden_dims[] = {1, 7, 20};
    std::vector<gradient_case> cases;
    // 5, 4 and 3 are coprime: 60 steps meet every triple. Bits of the step number, shifted by the round, take the rest.
    for (std::size_t i = 0; i < 60; ++i) {
        gradient_case made;
        made.options = reference::options_of(presets[i % 5]);
        made.of = {.tokens = static_cast<std::int64_t>(1 + (i + i / 3) % 3),
                   .n_streams = streams[i % 4],
                   .hidden_dim = hidden_dims[i % 3]};
        const std::size_t bits = i / 5 + i % 5;
        made.norm_weight = (bits & 1) != 0;
        made.fn_norm_weight = (bits & 2) != 0;
        made.spread = (bits & 4) != 0 ? 6.0F : 1.0F;
        if ((bits & 8) != 0) {
            made.options.norm_eps = 0.3F;
            made.options.pre_eps = 0.25F;
            made.options.post_mult = 1.5F;
            made.options.sinkhorn_iters = 3;
            made.options.rms_eps = 0.1F;
        }
        // A norm over one channel, or copies of it, gives its sign, a step without gradient unless eps is of its size.
        if (made.of.hidden_dim == 1) made.options.norm_eps = made.options.rms_eps = 0.3F;
        cases.push_back(made);
    }
    gradient_case wide = cases.front();
    wide.of = {.tokens = 2, .n_streams = 8, .hidden_dim = 64};
    wide.options = reference::options_of(jit::preset::deepseek);
    wide.norm_weight = wide.fn_norm_weight = true;
    cases.push_back(wide);
    for (gradient_case& made : cases) {
        made.name = "case " + std::to_string(&made - cases.data()) + " n=" + std::to_string(made.of.n_streams) +
                    " C=" + std::to_string(made.of.hidden_dim) + " T=" + std::to_string(made.of.tokens) +
                    " norm=" + std::to_string(made.norm_weight) + " fn_norm=" + std::to_string(made.fn_norm_weight) +
                    " spread=" + std::to_string(made.spread);
    }
    return cases;
}

}  // namespace mhc::testing
