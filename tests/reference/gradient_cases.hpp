// tests/reference/gradient_cases.hpp -- small shapes and options for which composed gradients are checked.
#pragma once

#include <string>
#include <vector>

#include "tests/reference/options.hpp"
#include "tests/reference/tensors.hpp"

namespace mhc::testing {

struct gradient_case {
    jit::layer_options options;
    reference::shape of;
    bool norm_weight = false, fn_norm_weight = false;
    float spread = 1;  ///< standard deviation of what is added to the logits
    std::string name;
};

/// Every preset with every n, C and T of short lists, the other options in rotation: each pair of values occurs.
/// n*C <= 512, T <= 3.
std::vector<gradient_case> gradient_cases();

}  // namespace mhc::testing
