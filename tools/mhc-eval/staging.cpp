// tools/mhc-eval/staging.cpp -- arrays into a target's memory as the operator takes them, and results back.
#include "tools/mhc-eval/staging.hpp"

#include <algorithm>
#include <charconv>
#include <cstring>

#include <fmt/format.h>

#include "tools/common/convert.hpp"
#include "tools/common/tool.hpp"

namespace mhc::tools {
namespace {

constexpr std::int64_t stride_max = std::int64_t{1} << 50;  // more than any memory; products of a few stay in 64 bits
constexpr std::byte poison{0xFF};                           // four, or two, of these are a NaN in every data type

std::int64_t parse_stride(std::string_view name, const std::optional<std::string>& text)
{
    if (!text) return jit::dense;
    std::int64_t value = 0;
    const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), value);
    if (error != std::errc() || end != text->data() + text->size() || value < 0 || value > stride_max)
        fail_usage(fmt::format("{} = '{}': allowed is a whole number of elements, 0 to 2^50", name, *text));
    return value;
}

// Both strides, with what `dense` stands for. Only for shapes whose sizes are checked: n <= 32, C <= 2^24.
jit::strides resolve(const jit::strides& given, std::int64_t n_streams, std::int64_t hidden_dim)
{
    return {given.token == jit::dense ? n_streams * hidden_dim : given.token,
            given.stream == jit::dense ? hidden_dim : given.stream};
}

// Whether two rows of C elements share one. For a difference of i streams only the nearest token differences can.
bool has_overlap(std::int64_t tokens, std::int64_t n_streams, std::int64_t hidden_dim, const jit::strides& s)
{
    if (tokens > 1 && s.token < hidden_dim) return true;
    for (std::int64_t i = 1; i < n_streams && tokens > 0; ++i) {
        const std::int64_t nearest = s.token == 0 ? 0 : i * s.stream / s.token;
        for (const std::int64_t t : {nearest, nearest + 1})
            if (t < tokens && std::abs(i * s.stream - t * s.token) < hidden_dim) return true;
    }
    return false;
}

bool keeps_alignment(const jit::layer_spec& spec, const jit::strides& given)
{
    const jit::strides s = resolve(given, spec.n_streams, spec.hidden_dim);
    const std::int64_t row_bytes = jit::row_alignment_bytes(spec);
    return s.token * jit::size_of(spec.dtype) % row_bytes == 0 && s.stream * jit::size_of(spec.dtype) % row_bytes == 0;
}

}  // namespace

jit::strides parse_strides(const std::optional<std::string>& token_stride, const std::optional<std::string>& stream_stride)
{
    return {parse_stride("token_stride", token_stride), parse_stride("stream_stride", stream_stride)};
}

void check_strides(const problem& what, const jit::strides& given)
{
    if (given.token == jit::dense && given.stream == jit::dense) return;
    const auto is_strided = [](const operand& one) { return one.is_strided; };
    if (std::none_of(what.operands.begin(), what.operands.end(), is_strided))
        fail_usage(fmt::format("{} has no [T,n,C] tensor, so token_stride and stream_stride do not apply; leave them out",
                               jit::to_string(what.op)));

    const jit::strides s = resolve(given, what.n_streams, what.hidden_dim);
    constexpr std::int64_t span_max = std::int64_t{1} << 31;
    std::int64_t span = 0, end = 0;
    const bool too_long = __builtin_mul_overflow(what.n_streams - 1, s.stream, &span) || span > span_max - what.hidden_dim;
    if (too_long)
        fail_usage(
            fmt::format("stream_stride = {}: (n_streams - 1) * stream_stride + hidden_dim must be at most 2^31", s.stream));
    if (__builtin_mul_overflow(what.tokens, s.token, &end) || end > stride_max)
        fail_usage(fmt::format("token_stride = {}: {} tokens so far apart fit no memory", s.token, what.tokens));

    for (const operand& one : what.operands)
        if (one.is_output && one.is_strided && has_overlap(what.tokens, what.n_streams, what.hidden_dim, s))
            fail_usage(fmt::format(
                "token_stride = {}, stream_stride = {}: rows of the output {} {} overlap; "
                "dense strides are {} and {}",
                s.token, s.stream, one.name, shape_text(one.shape), what.n_streams * what.hidden_dim, what.hidden_dim));
}

std::int32_t best_alignment(const jit::layer_spec& spec, const jit::strides& given)
{
    jit::layer_spec attempt = spec;
    for (const std::int32_t bytes : {16, 4, 2}) {
        attempt.alignment_bytes = bytes;
        if (bytes >= jit::size_of(spec.dtype) && keeps_alignment(attempt, given)) return bytes;
    }
    return jit::size_of(spec.dtype);
}

void check_alignment(const jit::layer_spec& spec, const jit::strides& given)
{
    if (keeps_alignment(spec, given)) return;
    const jit::strides s = resolve(given, spec.n_streams, spec.hidden_dim);
    fail_usage(
        fmt::format("token_stride = {}, stream_stride = {}: with alignment_bytes = {} they must be multiples of {} "
                    "elements; leave alignment_bytes out, or make it {}",
                    s.token, s.stream, spec.alignment_bytes, jit::row_alignment_bytes(spec) / jit::size_of(spec.dtype),
                    best_alignment(spec, given)));
}

std::int64_t staged_tensor::layout::extent() const
{
    if (tokens == 0 || streams == 0 || length == 0) return 0;
    return (tokens - 1) * token_stride + (streams - 1) * stream_stride + length;
}

template <class Row>
void staged_tensor::for_each_row(Row row) const
{
    const auto element = static_cast<std::size_t>(element_bytes_);
    std::int64_t from = 0;
    for (std::int64_t t = 0; t < layout_.tokens; ++t)
        for (std::int64_t i = 0; i < layout_.streams; ++i, from += layout_.length)
            row(from, static_cast<std::size_t>(t * layout_.token_stride + i * layout_.stream_stride) * element);
}

staged_tensor::staged_tensor(device_memory& where, const operand& what, const jit::layer_spec& spec,
                             const jit::strides& given)
    : name_(what.name), type_(type_of(what, spec)), element_bytes_(element_bytes_of(what, spec))
{
    if (what.is_strided) {
        const jit::strides s = resolve(given, spec.n_streams, spec.hidden_dim);
        layout_ = {what.shape[0], spec.n_streams, spec.hidden_dim, s.token, s.stream};
    } else {
        layout_.length = element_count(what.shape).value();
    }
    const auto element = static_cast<std::size_t>(element_bytes_);
    bytes_ = static_cast<std::size_t>(layout_.extent()) * element;
    const auto promised = static_cast<std::size_t>(what.type == "fp32" || what.type == "int32" ? 4 : spec.alignment_bytes);
    pointer_ = where.allocate(bytes_, std::max(promised, element));

    std::vector<std::byte> staged(bytes_, poison);
    if (what.type == "int32") {
        const auto value = static_cast<std::int32_t>(what.values.at(0));
        std::memcpy(staged.data(), &value, sizeof(value));
    } else if (!what.values.empty()) {
        for_each_row([&](std::int64_t from, std::size_t at) {
            round_values(what.values.data() + from, layout_.length, type_, staged.data() + at);
        });
        if (has_overlap(layout_.tokens, layout_.streams, layout_.length, {layout_.token_stride, layout_.stream_stride}))
            check_shared(what, staged);
    }
    where.upload(pointer_, staged.data(), bytes_);
}

void staged_tensor::check_shared(const operand& what, const std::vector<std::byte>& staged) const
{
    std::vector<std::byte> row(static_cast<std::size_t>(layout_.length * jit::size_of(type_)));
    for_each_row([&](std::int64_t from, std::size_t at) {
        round_values(what.values.data() + from, layout_.length, type_, row.data());
        if (!std::equal(row.begin(), row.end(), staged.begin() + static_cast<std::ptrdiff_t>(at)))
            fail_usage(
                fmt::format("token_stride = {}, stream_stride = {}: rows of {} share elements, but its array has "
                            "different values there; give equal ones or larger strides",
                            layout_.token_stride, layout_.stream_stride, name_));
    });
}

std::vector<float> staged_tensor::read_back(device_memory& where) const
{
    std::vector<std::byte> staged(bytes_);
    where.download(staged.data(), pointer_, bytes_);
    std::vector<float> values(static_cast<std::size_t>(layout_.tokens * layout_.streams * layout_.length));
    const auto row_bytes = static_cast<std::ptrdiff_t>(layout_.length * element_bytes_);
    for_each_row([&](std::int64_t from, std::size_t at) {
        if (element_bytes_ == 1)
            std::transform(staged.data() + at, staged.data() + at + layout_.length, values.data() + from,
                           [](std::byte bits) { return from_e4m3(static_cast<std::uint8_t>(bits)); });
        else
            widen_elements(staged.data() + at, layout_.length, type_, values.data() + from);
        const auto start = staged.begin() + static_cast<std::ptrdiff_t>(at);
        std::fill(start, start + row_bytes, poison);
    });
    if (std::any_of(staged.begin(), staged.end(), [](std::byte b) { return b != poison; }))
        fail(fmt::format("the kernel wrote outside the rows of {}: this is a bug of the library; please report it", name_));
    return values;
}

}  // namespace mhc::tools
