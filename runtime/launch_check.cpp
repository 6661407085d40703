// runtime/launch_check.cpp -- the rules of include/mhc/jit/args.hpp.
#include "runtime/launch_check.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>

namespace mhc::runtime {

using codegen::slot;

namespace {

/// Alignments are powers of two. A dozen of these are in a launch: divisions would be a good part of it.
bool is_multiple(std::uint64_t value, std::int32_t alignment)
{
    return (value & (static_cast<std::uint64_t>(alignment) - 1)) == 0;
}

}  // namespace

launch_check::launch_check(const jit::compiled_layer::impl& layer, jit::operation op, std::int64_t tokens)
    : layer_(layer), op_(op), tokens_(tokens)
{
    if (tokens < 0 || tokens > (std::int64_t{1} << 40)) fail("tokens", fmt::to_string(tokens), "0 to 2^40");
    number(slot::tokens, tokens);
    number(slot::num_valid_tokens, 0);  // what only some launches give
    number(slot::bias, 0);
}

void launch_check::fail(std::string_view argument, const std::string& value, const std::string& allowed)
{
    if (failure_) return;
    failure_ = {jit::errc::launch_failed,
                fmt::format("{}: {} = {}: allowed is {}", to_string(op_), argument, value, allowed)};
}

void launch_check::pointer(slot what, const void* p, std::int32_t align)
{
    const auto address = reinterpret_cast<std::uintptr_t>(p);
    values_[static_cast<std::size_t>(what)] = address;
    if (p == nullptr) {
        if (tokens_ != 0) fail(name_of(what), "null", "a pointer (the tensor is not optional here)");
    } else if (!is_multiple(address, align)) {
        fail(name_of(what), fmt::format("{}", p),
             fmt::format("a multiple of {} bytes; a spec with a smaller alignment_bytes takes it", align));
    }
}

void launch_check::workspace(void* p)
{
    const codegen::operator_plan& plan = layer_.operators[static_cast<std::size_t>(op_)]->plan;
    if (p == nullptr && plan.workspace_bytes_fixed + plan.workspace_bytes_per_token == 0) return number(slot::workspace, 0);
    pointer(slot::workspace, p, 16);
}

void launch_check::parameter(slot what, float* p)
{
    if (p == nullptr) fail(name_of(what), "null", "a pointer (the tensor is not optional here)");
    f32(what, p);
}

void launch_check::weight_parameter(slot what, void* p)
{
    if (p == nullptr) fail(name_of(what), "null", "a pointer (the tensor is not optional here)");
    weight(what, p);
}

void launch_check::optional_weight(slot what, const void* p)
{
    if (p != nullptr) return pointer(what, p, layer_.weight_align);
    values_[static_cast<std::size_t>(what)] = 0;
}

void launch_check::optional_f32(slot what, const float* p)
{
    if (p != nullptr) return f32(what, p);
    values_[static_cast<std::size_t>(what)] = 0;
}

void launch_check::optional_data(slot what, const void* p)
{
    if (p != nullptr) return data_in(what, p);
    values_[static_cast<std::size_t>(what)] = 0;
}

void launch_check::must_be_null(slot what, const void* p, const char* allowed)
{
    if (p != nullptr) fail(name_of(what), fmt::format("{}", p), allowed);
}

void launch_check::weight_of_norm(slot what, const void* p, bool is_on, const char* otherwise)
{
    if (is_on) return weight(what, p);
    must_be_null(what, p, otherwise);
    number(what, 0);
}

void launch_check::weight_gradient_of_norm(slot what, void* p, bool is_on, const char* otherwise)
{
    if (is_on) return optional_weight(what, p);
    must_be_null(what, p, otherwise);
    number(what, 0);
}

constexpr const char* without_norm_weight = "null: the spec's norm_weight is off";
constexpr const char* without_fn_norm_weight = "null: the spec's fn_norm_weight is off";

void launch_check::norm_weight(const void* p)
{
    weight_of_norm(slot::norm_weight, p, layer_.spec.norm_weight, without_norm_weight);
}

void launch_check::norm_weight_gradient(void* p)
{
    weight_gradient_of_norm(slot::d_norm_weight, p, layer_.spec.norm_weight, without_norm_weight);
}

void launch_check::layer_input_scale(float* p)
{
    if (layer_.spec.layer_input_quant != jit::layer_input_quant::none) return f32(slot::layer_input_scale, p);
    must_be_null(slot::layer_input_scale, p, "null: the spec's layer_input_quant is none");
}

void launch_check::fn_norm_weight(const void* p)
{
    weight_of_norm(slot::fn_norm_weight, p, layer_.spec.fn_norm_weight, without_fn_norm_weight);
}

void launch_check::fn_norm_weight_gradient(void* p)
{
    weight_gradient_of_norm(slot::d_fn_norm_weight, p, layer_.spec.fn_norm_weight, without_fn_norm_weight);
}

void launch_check::gradient(const jit::accumulation& accumulate)
{
    number(slot::accumulate_inputs, accumulate.d_x ? 1 : 0);
    number(slot::accumulate_parameters, accumulate.parameters ? 1 : 0);
    dense_streams();
    number(slot::zero, 0);
}

void launch_check::projection(std::int64_t rows)
{
    number(slot::rows, rows);
    number(slot::fn_size, rows * layer_.spec.n_streams * layer_.spec.hidden_dim);
    number(slot::splits, layer_.operators[static_cast<std::size_t>(op_)]->plan.slices);
}

void launch_check::rows(std::int64_t given)
{
    const std::int64_t n = layer_.spec.n_streams, rows_max = n * n + 2 * n;
    if (given < 0 || given > rows_max)
        fail(name_of(slot::rows), fmt::to_string(given), fmt::format("1 to {0} (n*n+2n), or 0 for {0}", rows_max));
    const std::int64_t rows = given == 0 ? rows_max : given;
    number(slot::rows, rows);
    number(slot::fn_size, rows * n * layer_.spec.hidden_dim);
}

void launch_check::rows_of_weight(std::int64_t given)
{
    if (given < 1 || given > (1 << 24)) fail(name_of(slot::rows), fmt::to_string(given), "1 to 2^24");
    number(slot::rows, given);
}

void launch_check::splits(std::int64_t given)
{
    constexpr std::int64_t splits_max = 64;
    if (given < 1 || given > splits_max) {
        const std::int64_t slices = layer_.operators[static_cast<std::size_t>(op_)]->plan.slices;
        fail(name_of(slot::splits), fmt::to_string(given),
             fmt::format("1 to {}, of which {} can be other than zero here", splits_max, slices));
    }
    number(slot::splits, given);
}

bool launch_check::rows_overlap(std::int64_t token, std::int64_t stream) const
{
    const std::int64_t n = layer_.spec.n_streams, C = layer_.spec.hidden_dim;
    const std::int64_t tokens = std::max<std::int64_t>(tokens_, 1);
    // The two nestings everyone uses.
    const bool streams_inside = (n == 1 || stream >= C) && (tokens == 1 || token >= (n - 1) * stream + C);
    if (streams_inside) return false;
    const bool tokens_inside = (tokens == 1 || token >= C) && (n == 1 || stream / tokens >= token);
    if (tokens_inside) return false;
    // Any other: rows (dt, ds) apart are closer than C. For each ds the nearest dt decides.
    if (tokens > 1 && token < C) return true;
    for (std::int64_t ds = 1; ds < n; ++ds) {
        const std::int64_t distance = ds * stream;
        const std::int64_t below = tokens == 1 ? 0 : std::min(distance / token, tokens - 1);
        const std::int64_t above = std::min(below + 1, tokens - 1);
        if (distance - below * token < C) return true;
        if (tokens > 1 && std::abs(above * token - distance) < C) return true;
    }
    return false;
}

bool launch_check::out_meets_x() const
{
    const std::int64_t n = layer_.spec.n_streams, C = layer_.spec.hidden_dim, element = size_of(layer_.spec.dtype);
    const std::int64_t x_token = value_of(slot::x_token_stride), x_stream = value_of(slot::x_stream_stride),
                       token = value_of(slot::out_token_stride), stream = value_of(slot::out_stream_stride);
    const auto x = static_cast<std::uint64_t>(value_of(slot::x)), out = static_cast<std::uint64_t>(value_of(slot::out));
    const auto bytes = [&](std::int64_t token_stride, std::int64_t stream_stride) {
        return static_cast<std::uint64_t>(((tokens_ - 1) * token_stride + (n - 1) * stream_stride + C) * element);
    };
    if (x + bytes(x_token, x_stream) <= out || out + bytes(token, stream) <= x) return false;
    if (tokens_ > 1 && token != x_token) return true;  // as far as can be told without going through the tokens
    const std::int64_t distance = static_cast<std::int64_t>(out - x) / element;
    for (std::int64_t i = 0; i < n; ++i)
        for (std::int64_t j = 0; j < n; ++j) {
            // Rows of one token difference k are distance + k * token apart: the two k nearest to 0 decide.
            const std::int64_t apart = distance + j * stream - i * x_stream;
            const std::int64_t most = tokens_ - 1,
                               k = token == 0 ? 0 : std::clamp<std::int64_t>(-apart / token, -most, most);
            for (const std::int64_t near : {k - 1, k, k + 1})
                if (std::abs(near) <= most && std::abs(apart + near * token) < C) return true;
        }
    return false;
}

void launch_check::out_beside_x(bool may_be_x)
{
    if (!is_ok() || tokens_ == 0 || !out_meets_x()) return;
    constexpr std::int32_t streams_in_place = 8;  // which a kernel reads before it writes the first
    const bool is_x = value_of(slot::out) == value_of(slot::x) &&
                      (tokens_ == 1 || value_of(slot::out_token_stride) == value_of(slot::x_token_stride)) &&
                      (layer_.spec.n_streams == 1 || value_of(slot::out_stream_stride) == value_of(slot::x_stream_stride));
    if (is_x && may_be_x && layer_.spec.n_streams <= streams_in_place) return;
    fail(name_of(slot::out), fmt::format("{:#x}, whose rows overlap those of x", value_of(slot::out)),
         may_be_x
             ? fmt::format("memory apart from x, or, with up to {} streams, x itself with its strides", streams_in_place)
             : "memory apart from x");
}

void launch_check::streams(slot token_slot, slot stream_slot, const jit::strides& given, bool is_output)
{
    const std::int64_t n = layer_.spec.n_streams, C = layer_.spec.hidden_dim, element = size_of(layer_.spec.dtype);
    const std::int64_t stream = given.stream == jit::dense ? C : given.stream;
    const std::int64_t token = given.token == jit::dense ? n * C : given.token;
    number(token_slot, token);
    number(stream_slot, stream);

    const std::int64_t limit = std::int64_t{1} << 31;
    std::int64_t reach = 0;
    if (stream < 0 || __builtin_mul_overflow(stream, n - 1, &reach) || reach > limit - C)
        return fail(
            name_of(stream_slot), fmt::to_string(stream),
            fmt::format("0 to {} elements ((n-1) * stride + C <= 2^31)", (limit - C) / std::max<std::int64_t>(n - 1, 1)));
    std::int64_t span = 0;
    if (token < 0 || __builtin_mul_overflow(token, std::max<std::int64_t>(tokens_, 1) * element, &span))
        return fail(name_of(token_slot), fmt::to_string(token), "0 or more elements, and tokens * stride in 64 bits");
    const auto is_aligned = [&](std::int64_t stride) {
        return is_multiple(static_cast<std::uint64_t>(stride * element), layer_.row_align);
    };
    if (n > 1 && !is_aligned(stream))
        return fail(name_of(stream_slot), fmt::to_string(stream),
                    fmt::format("a multiple of {} elements; a spec with a smaller alignment_bytes takes it",
                                layer_.row_align / element));
    if (tokens_ > 1 && !is_aligned(token))
        return fail(name_of(token_slot), fmt::to_string(token),
                    fmt::format("a multiple of {} elements; a spec with a smaller alignment_bytes takes it",
                                layer_.row_align / element));
    if (is_output && rows_overlap(token, stream))
        fail(name_of(token_slot), fmt::format("{} with {} = {}", token, name_of(stream_slot), stream),
             "strides of an output whose rows do not overlap");
}

}  // namespace mhc::runtime
