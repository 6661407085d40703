// tests/host/operands.cpp -- where numbers lie in memory, and operands by name and by token.
#include "tests/host/operands.hpp"

#include <algorithm>
#include <limits>
#include <stdexcept>
#include <utility>

namespace mhc::testing {

std::int64_t placement::extent() const
{
    if (tokens == 0) return 0;
    return (tokens - 1) * token_stride + (streams - 1) * stream_stride + width;
}

std::vector<float> placed(const std::vector<float>& dense, const placement& place)
{
    // Gaps hold NaN: a kernel that computes with what lies between rows cannot hide it.
    std::vector<float> memory(static_cast<std::size_t>(place.extent()), std::numeric_limits<float>::quiet_NaN());
    for (std::int64_t t = 0; t < place.tokens; ++t) {
        for (std::int64_t i = 0; i < place.streams; ++i) {
            const auto from = dense.begin() + (t * place.streams + i) * place.width;
            std::copy(from, from + place.width, memory.begin() + place.row(t, i));
        }
    }
    return memory;
}

std::vector<float> operand::dense() const
{
    std::vector<float> made;
    made.reserve(static_cast<std::size_t>(place.size()));
    for (std::int64_t t = 0; t < place.tokens; ++t) {
        for (std::int64_t i = 0; i < place.streams; ++i) {
            const auto from = values.begin() + place.row(t, i);
            made.insert(made.end(), from, from + place.width);
        }
    }
    return made;
}

const operand* operands::find(std::string_view name) const
{
    const auto found = std::find_if(list.begin(), list.end(), [&](const operand& of) { return of.name == name; });
    return found == list.end() ? nullptr : &*found;
}

const operand& operands::at(std::string_view name) const
{
    const operand* found = find(name);
    if (found == nullptr) throw std::out_of_range("no operand " + std::string(name));
    return *found;
}

operand& operands::at(std::string_view name) { return const_cast<operand&>(std::as_const(*this).at(name)); }

std::string of_layer(std::string_view name, std::int64_t layer)
{
    return layer == 0 ? std::string(name) : std::string(name) + "@" + std::to_string(layer);
}

operands valid_part(const operands& of)
{
    operands part = of;
    if (of.valid_tokens < 0) return part;
    part.tokens = std::min(of.tokens, of.valid_tokens);
    for (operand& each : part.list)
        if (each.is_per_token) each.place.tokens = part.tokens;
    return part;
}

operands select_tokens(const operands& from, const jit::layer_spec& spec, const std::vector<std::int64_t>& tokens,
                       stride_kind x_strides, stride_kind out_strides)
{
    operands made = from;
    made.tokens = static_cast<std::int64_t>(tokens.size());
    made.x_strides =
        strides_of(forward_of(from.op) == jit::operation::expand_fwd ? out_strides : x_strides, spec, made.tokens);
    if (from.op == jit::operation::broadcast_pre_fwd) made.x_strides = from.x_strides;  // a row for all streams
    made.out_strides = strides_of(out_strides, spec, made.tokens);
    for (operand& of : made.list) {
        if (!of.is_per_token) continue;
        const std::vector<float> all = of.is_output ? std::vector<float>() : of.dense();
        const std::int64_t token_size = of.place.streams * of.place.width;
        of.place.tokens = made.tokens;
        if (of.is_streams) {
            const bool is_out = of.name.starts_with("out") || of.name.starts_with("d_");
            const jit::strides& strides = is_out ? made.out_strides : made.x_strides;
            of.place.token_stride = strides.token;
            of.place.stream_stride = strides.stream;
        } else if (of.place.streams > 1) {
            of.place.stream_stride = made.tokens * of.place.width;  // [S, T, ...]
        }
        if (of.is_output) continue;
        std::vector<float> chosen;
        for (const std::int64_t t : tokens)
            chosen.insert(chosen.end(), all.begin() + t * token_size, all.begin() + (t + 1) * token_size);
        of.values = placed(chosen, of.place);
    }
    return made;
}

}  // namespace mhc::testing
