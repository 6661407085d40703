// emulator/vector_convert.cpp -- between types of numbers.
#include "emulator/handlers.hpp"
#include "emulator/lanes.hpp"
#include "emulator/numbers.hpp"

namespace mhc::emulator {
namespace {

/// F from bits to bits; the source is no float.
template <auto F>
void from_bits(wave& w, const operation& op)
{
    row buffer, result;
    const u32* a = read(w, op, op.from[0], 0, buffer);
    each_lane(w, [&](u32 i) { result[i] = F(a[i]); });
    write_single(w, op, result);
}

/// F from a float to an integer.
template <auto F>
void from_single(wave& w, const operation& op)
{
    row buffer, result;
    const u32* a = read_single(w, op, op.from[0], buffer);
    each_lane(w, [&](u32 i) { result[i] = F(to_float(a[i])); });
    write(w, op, result);
}

// Out of range is the nearest integer, NaN is 0.
u32 to_signed(float v)
{
    if (v != v) return 0;
    if (v >= 0x1p31F) return 0x7FFFFFFFU;
    if (v <= -0x1p31F) return 0x80000000U;
    return static_cast<u32>(static_cast<i32>(v));
}
u32 to_unsigned(float v)
{
    if (!(v > 0)) return 0;
    if (v >= 0x1p32F) return 0xFFFFFFFFU;
    return static_cast<u32>(static_cast<i64>(v));
}

u32 without_half_denormal(const denormals& mode_in_or_out, bool is_in, u32 bits)
{
    const bool keeps = is_in ? mode_in_or_out.in : mode_in_or_out.out;
    return !keeps && (bits & 0x7FFFU) < 0x0400U ? bits & 0x8000U : bits;
}

void half_from_single(wave& w, const operation& op)
{
    row buffer, result;
    const u32* a = read_single(w, op, op.from[0], buffer);
    if (op.clamps || op.result_scale != 0) throw fault("a conversion to fp16 that clamps or scales is not modelled");
    for (u32 i = 0; i < w.lanes; ++i)
        result[i] = without_half_denormal(w.half_and_double, false, single_to_half(to_float(a[i])));
    write(w, op, result);
}

void single_from_half(wave& w, const operation& op)
{
    row buffer, result;
    const operand& from = op.from[0];
    const u32* a = read(w, op, from, 0, buffer);
    const u32 keep = from.is_absolute ? 0x7FFFU : 0xFFFFU, flip = from.is_negated ? 0x8000U : 0;
    for (u32 i = 0; i < w.lanes; ++i)
        result[i] = to_bits(half_to_single(without_half_denormal(w.half_and_double, true, (a[i] & keep) ^ flip)));
    write_single(w, op, result);
}

/// Two floats to two halves, rounded towards zero.
u32 truncated_half(float v)
{
    const u32 rounded = single_to_half(v);
    if (v != v || (rounded & 0x7FFFU) == 0) return rounded;
    if ((rounded & 0x7FFFU) == 0x7C00U) return std::isinf(v) ? rounded : rounded - 1;
    return std::fabs(half_to_single(rounded)) > std::fabs(v) ? rounded - 1 : rounded;
}
void pack_truncated(wave& w, const operation& op)
{
    row buffer_a, buffer_b, result;
    const u32* a = read_single(w, op, op.from[0], buffer_a);
    const u32* b = read_single(w, op, op.from[1], buffer_b);
    for (u32 i = 0; i < w.lanes; ++i) result[i] = truncated_half(to_float(a[i])) | truncated_half(to_float(b[i])) << 16;
    write(w, op, result);
}

/// Low halves of two sources side by side. A half is not rounded by this, but its denormals follow the mode.
void pack_halves(wave& w, const operation& op)
{
    row buffer_a, buffer_b, result;
    const u32* a = read(w, op, op.from[0], 0, buffer_a);
    const u32* b = read(w, op, op.from[1], 0, buffer_b);
    const auto half = [&](u32 bits, const operand& from) {
        bits &= from.is_absolute ? 0x7FFFU : 0xFFFFU;
        return without_half_denormal(w.half_and_double, true, from.is_negated ? bits ^ 0x8000U : bits);
    };
    each_lane(w, [&](u32 i) { result[i] = half(a[i], op.from[0]) | half(b[i], op.from[1]) << 16; });
    write(w, op, result);
}

void double_from_single(wave& w, const operation& op)
{
    row buffer, low, high;
    const u32* a = read_single(w, op, op.from[0], buffer);
    each_lane(w, [&](u32 i) {
        const u64 value = to_bits(static_cast<double>(to_float(a[i])));
        low[i] = static_cast<u32>(value), high[i] = static_cast<u32>(value >> 32);
    });
    write(w, op, low, 0);
    write(w, op, high, 1);
}
template <auto F>
void double_from_word(wave& w, const operation& op)
{
    row buffer, low, high;
    const u32* a = read(w, op, op.from[0], 0, buffer);
    each_lane(w, [&](u32 i) {
        const u64 value = to_bits(F(a[i]));
        low[i] = static_cast<u32>(value), high[i] = static_cast<u32>(value >> 32);
    });
    write(w, op, low, 0);
    write(w, op, high, 1);
}
void single_from_double(wave& w, const operation& op)
{
    wide_row a;
    row result;
    read_double(w, op, op.from[0], a);
    each_lane(w, [&](u32 i) { result[i] = to_bits(static_cast<float>(to_double(a[i]))); });
    write_single(w, op, result);
}

u32 of_float(float v) { return to_bits(v); }

const handler_entry entries[] = {
    {"v_cvt_f32_i32", from_bits<[](u32 a) { return of_float(static_cast<float>(static_cast<i32>(a))); }>},
    {"v_cvt_f32_u32", from_bits<[](u32 a) { return of_float(static_cast<float>(a)); }>},
    {"v_cvt_f32_ubyte0", from_bits<[](u32 a) { return of_float(static_cast<float>(a & 0xFFU)); }>},
    {"v_cvt_f32_ubyte1", from_bits<[](u32 a) { return (of_float(static_cast<float>(a >> 8 & 0xFFU))); }>},
    {"v_cvt_f32_ubyte2", from_bits<[](u32 a) { return (of_float(static_cast<float>(a >> 16 & 0xFFU))); }>},
    {"v_cvt_f32_ubyte3", from_bits<[](u32 a) { return (of_float(static_cast<float>(a >> 24))); }>},
    {"v_cvt_i32_f32", from_single<to_signed>},
    {"v_cvt_u32_f32", from_single<to_unsigned>},
    {"v_cvt_rpi_i32_f32", from_single<[](float a) { return to_signed(__builtin_floorf(a + 0.5F)); }>},
    {"v_cvt_flr_i32_f32", from_single<[](float a) { return to_signed(__builtin_floorf(a)); }>},
    {"v_cvt_f16_f32", half_from_single},
    {"v_cvt_f32_f16", single_from_half},
    {"v_cvt_pkrtz_f16_f32", pack_truncated},
    {"v_pack_b32_f16", pack_halves},
    {"v_cvt_f64_f32", double_from_single},
    {"v_cvt_f64_i32", double_from_word<[](u32 a) { return static_cast<double>(static_cast<i32>(a)); }>},
    {"v_cvt_f64_u32", double_from_word<[](u32 a) { return static_cast<double>(a); }>},
    {"v_cvt_f32_f64", single_from_double},
};

}  // namespace

handler_family vector_convert_family() { return entries; }

}  // namespace mhc::emulator
