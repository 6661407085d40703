// codegen/plan_areas.hpp -- where the kernels of a gradient leave what they make, and the sums over tokens.
#pragma once

#include <string>
#include <vector>

#include "codegen/plan_gradients.hpp"
#include "codegen/plan_parts.hpp"

namespace mhc::codegen {

/// Hands out the workspace of an operator, in areas that begin at multiples of 16 bytes.
class areas {
public:
    areas(const facts& f, operator_plan& made) : f_(f), made_(made) {}

    /// `floats` numbers for each token.
    feed of_tokens(slot parameter, std::int64_t floats) { return take(parameter, floats * 4, 0); }
    feed once(slot parameter, std::int64_t floats) { return take(parameter, 0, floats * 4); }
    /// `floats` numbers for every so many tokens.
    feed of_sums(slot parameter, std::int64_t floats, std::int64_t tokens)
    {
        return take(parameter, ceil_div(floats * 4, tokens), floats * 4);
    }
    /// The copy of fn, of no bytes where there is none, and what else of it a projection takes.
    feed arranged(std::int64_t rows, bool is_for_projection)
    {
        feed made = take(slot::arranged_fn, 0, is_for_projection ? projection_bytes(f_, rows) : arranged_bytes(f_, rows));
        made.is_f32 = true;
        return made;
    }
    /// fn and the gradient of a projection on it as matrix units take them.
    feed factors(std::int64_t rows)
    {
        const factor_bytes room = tile_factor_bytes(f_, rows);
        feed made = take(slot::arranged_fn, ceil_div(room.chunk, room.chunk_tokens), room.once + room.chunk);
        made.is_f32 = true;
        return made;
    }
    /// A tensor [T, n, C] of the data's type, or of floats.
    feed streams(slot parameter, bool is_f32)
    {
        feed made = take(parameter, f_.n * f_.C * (is_f32 ? 4 : size_of(f_.spec.dtype)), 0);
        made.is_f32 = is_f32;
        return made;
    }

private:
    feed take(slot parameter, std::int64_t per_token, std::int64_t fixed)
    {
        const feed made{parameter, slot::workspace, made_.workspace_bytes_per_token, made_.workspace_bytes_fixed};
        made_.workspace_bytes_per_token += round_up(per_token, 16);
        made_.workspace_bytes_fixed += round_up(fixed, 16);
        return made;
    }

    const facts& f_;
    operator_plan& made_;
};

/// The gradient of a projection that the workspace holds is that of the sum over the splits.
inline constexpr feed one_split{.parameter = slot::splits, .what = slot::zero, .bytes_fixed = 1};

/// The same place for a parameter of another name.
inline feed as(slot parameter, feed of)
{
    of.parameter = parameter;
    return of;
}

/// Rows [C], one for every tokens_of_weight_sum tokens, summed into a weight's gradient.
void add_weight_sums(const facts& f, operator_plan& made, const feed& rows, slot to);

/// The gradients of mHC.cu's layer.
void add_static_layer_gradient(const facts& f, operator_plan& made, areas& space);
void add_dynamic_layer_gradient(const facts& f, operator_plan& made, areas& space);

}  // namespace mhc::codegen
