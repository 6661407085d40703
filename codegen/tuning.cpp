// codegen/tuning.cpp -- which choices of a plan are open, and tables of them.
#include "codegen/tuning.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>

#include "codegen/plan.hpp"

namespace mhc::codegen {

using jit::tuning, jit::tuning_choice, jit::tuned_row;

jit::result<void> check_tuning(const tuning& choices, const target& on)
{
    for (const tuning_choice& choice : jit::tuning_choices) {
        const std::int32_t value = choices.*choice.value;
        const bool is_block = choice.value == &tuning::block;
        const std::int32_t step = is_block ? on.wave_size : 1;
        const std::int32_t max = is_block && on.kind == target_kind::host ? 1 : choice.max;
        if (value >= 0 && value <= max && value % step == 0) continue;
        const std::string multiple =
            step == 1 ? "" : fmt::format(" and a multiple of {}, the wave of {}", step, on.processor);
        return jit::failure{jit::errc::bad_spec, fmt::format("{} = {}: allowed is 0, the plan's own, or {} to {}{}",
                                                             choice.name, value, step, max, multiple)};
    }
    return {};
}

namespace {

/// In the order they are measured in. Blocks and vectors decide how much of a row a work-group asks for at once; a grid that
/// fits the GPU walks over the tokens instead of beginning a work-group for each.
std::vector<tuning> possible(const target& on)
{
    std::vector<tuning> all = {{}};
    if (on.kind == target_kind::host) {  // a work-group is a task of the thread pool
        for (const std::int32_t vectors : {16, 32, 64, 128, 256}) all.push_back({.vectors = vectors});
        for (const std::int32_t groups : {4, 16, 64, 256}) all.push_back({.groups = groups});
        for (const std::int32_t vectors : {32, 128}) all.push_back({.vectors = vectors, .groups = 16});
        return all;
    }
    for (const std::int32_t vectors : {1, 2})
        for (const std::int32_t block : {64, 128, 256, 512}) all.push_back({.block = block, .vectors = vectors});
    for (const std::int32_t groups : {1024, 4096}) all.push_back({.groups = groups});
    for (const std::int32_t resident : {1, 2, 3, 4, 5}) all.push_back({.resident = resident});
    return all;
}

bool is_same(const kernel_plan& a, const kernel_plan& b)
{
    return a.family == b.family && a.bindings == b.bindings && a.lds_bytes == b.lds_bytes &&
           a.grid.items_per_unit == b.grid.items_per_unit && a.grid.groups_max == b.grid.groups_max;
}

bool is_same(const operator_plan& a, const operator_plan& b)
{
    return std::equal(a.kernels.begin(), a.kernels.end(), b.kernels.begin(), b.kernels.end(),
                      [](const kernel_plan& x, const kernel_plan& y) { return is_same(x, y); });
}

}  // namespace

jit::result<std::vector<tuning>> candidates(const jit::layer_spec& spec, const target& on, jit::operation op)
{
    constexpr std::size_t count_max = 16;
    std::vector<tuning> list;
    std::vector<operator_plan> plans;
    for (const tuning& next : possible(on)) {
        auto planned = plan(spec, on, op, next);
        if (!planned) return planned.error();
        const bool is_new =
            std::none_of(plans.begin(), plans.end(), [&](const operator_plan& other) { return is_same(other, *planned); });
        if (!is_new || list.size() == count_max) continue;
        plans.push_back(std::move(*planned));
        list.push_back(next);
    }
    return list;
}

bool is_gradient(jit::operation op) noexcept { return jit::to_string(op).ends_with("_bwd"); }

std::string tuned_name(const target& on) { return on.kind == target_kind::host ? "host" : on.processor; }

void tuned_table::add(const std::vector<tuned_row>& rows)
{
    std::copy_if(rows.begin(), rows.end(), std::back_inserter(rows_),
                 [this](const tuned_row& row) { return row.target == target_; });
}

tuning tuned_table::find(jit::operation op, const jit::layer_spec& spec) const
{
    const auto found = std::find_if(rows_.rbegin(), rows_.rend(), [&](const tuned_row& row) {
        return row.op == op && row.n_streams == spec.n_streams && row.hidden_dim == spec.hidden_dim &&
               row.dtype == spec.dtype;
    });
    return found == rows_.rend() ? tuning{} : found->choices;
}

}  // namespace mhc::codegen

namespace mhc::jit {

std::string to_text(const tuning& choices)
{
    std::string text;
    for (const tuning_choice& choice : tuning_choices)
        if (const std::int32_t value = choices.*choice.value; value != 0)
            text += fmt::format("{}{}={}", text.empty() ? "" : " ", choice.name, value);
    return text.empty() ? "default" : text;
}

}  // namespace mhc::jit
