// tests/support/catalogue_rows.hpp -- what of the catalogue's gradients is compiled, executed and covered for every
// architecture.
#pragma once

#include <algorithm>
#include <vector>

#include <mhc/jit/describe.hpp>
#include <mhc/jit/prebuild.hpp>

namespace mhc::testing {

/// Level 1 without what level 2 has.
inline std::vector<jit::prebuild_item> all_gradients()
{
    std::vector<jit::prebuild_item> items = jit::catalogue(1).value();
    for (jit::prebuild_item& item : items) {
        jit::operations gradients;
        for (int i = 0; i < jit::operation_count; ++i) {
            const auto op = static_cast<jit::operation>(i);
            if (jit::operator_of_gradient(op) && item.spec.wanted.contains(op)) gradients = gradients | jit::operations{op};
        }
        item.spec.wanted = gradients;
    }
    return items;
}

/// Of those the first rows, n = 4 and C = 1280 in bf16, and the layers' of n = 8, whose kernels want the most registers.
inline std::vector<jit::prebuild_item> some_gradients()
{
    const std::vector<jit::prebuild_item> all = all_gradients();
    std::vector<jit::prebuild_item> items(all.begin(), all.begin() + 2);
    const auto is_full = [](const jit::prebuild_item& item) {
        return item.spec.n_streams == 8 && item.spec.hidden_dim == 4096 &&
               item.spec.wanted.contains(jit::operation::dynamic_layer_bwd);
    };
    items.push_back(*std::find_if(all.begin(), all.end(), is_full));
    return items;
}

}  // namespace mhc::testing
