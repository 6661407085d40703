// emulator/vector_half_more.cpp -- fp16 beyond arithmetic: functions, three sources, conversions, classes, division's last
// step; and fp8.
#include <algorithm>

#include "emulator/handlers.hpp"
#include "emulator/lanes.hpp"
#include "emulator/numbers.hpp"

namespace mhc::emulator {
namespace {

u32 flushed_half(u32 bits) { return (bits & 0x7FFFU) < 0x0400U ? bits & 0x8000U : bits; }

/// A source of fp16 as bits, with |x| and -x.
void read_half(const wave& w, const operation& op, const operand& from, row& into)
{
    row buffer;
    const u32* bits = read(w, op, from, 0, buffer);
    const u32 keep = from.is_absolute ? 0x7FFFU : 0xFFFFU, flip = from.is_negated ? 0x8000U : 0;
    const bool flushes = !w.half_and_double.in;
    for (u32 i = 0; i < w.lanes; ++i) {
        const u32 value = (bits[i] & keep) ^ flip;
        into[i] = flushes ? flushed_half(value) : value;
    }
}
void write_half(wave& w, const operation& op, row& result)
{
    if (op.result_scale != 0) throw fault("results of fp16 are not scaled yet");
    for (u32 i = 0; i < w.lanes; ++i) {
        const float value = half_to_single(result[i]);
        if (op.clamps) result[i] = value > 0 ? (value < 1 ? result[i] : 0x3C00U) : 0;
        if (!w.half_and_double.out) result[i] = flushed_half(result[i]);
    }
    write(w, op, result);
}

/// F of doubles, rounded once.
template <auto F>
void unary(wave& w, const operation& op)
{
    row a;
    read_half(w, op, op.from[0], a);
    for (u32 i = 0; i < w.lanes; ++i) a[i] = double_to_half(F(static_cast<double>(half_to_single(a[i]))));
    write_half(w, op, a);
}
/// F of the bits of floats.
template <auto F>
void ternary(wave& w, const operation& op)
{
    row a, b, c;
    read_half(w, op, op.from[0], a);
    read_half(w, op, op.from[1], b);
    read_half(w, op, op.from[2], c);
    const auto wide = [](u32 half) { return to_bits(half_to_single(half)); };
    for (u32 i = 0; i < w.lanes; ++i) a[i] = single_to_half(to_float(F(wide(a[i]), wide(b[i]), wide(c[i]))));
    write_half(w, op, a);
}
void scale_by_power(wave& w, const operation& op)
{
    row a, buffer;
    read_half(w, op, op.from[0], a);
    const u32* by = read(w, op, op.from[1], 0, buffer);
    for (u32 i = 0; i < w.lanes; ++i)
        a[i] = double_to_half(std::ldexp(static_cast<double>(half_to_single(a[i])), static_cast<i16>(by[i])));
    write_half(w, op, a);
}
template <auto F>
void to_word(wave& w, const operation& op)
{
    row a;
    read_half(w, op, op.from[0], a);
    for (u32 i = 0; i < w.lanes; ++i) a[i] = F(half_to_single(a[i])) & 0xFFFFU;
    write(w, op, a);
}
template <auto F>
void from_word(wave& w, const operation& op)
{
    row buffer, result;
    const u32* a = read(w, op, op.from[0], 0, buffer);
    for (u32 i = 0; i < w.lanes; ++i) result[i] = single_to_half(F(a[i]));
    write_half(w, op, result);
}

/// The quotient with the special cases of numerator / denominator put right.
u32 fixed_quotient(u32 quotient, u32 denominator, u32 numerator)
{
    constexpr u32 infinity = 0x7C00, sign_of = 0x8000;
    const u32 sign = (denominator ^ numerator) & sign_of, d = denominator & 0x7FFFU, n = numerator & 0x7FFFU;
    if (n > infinity) return numerator | 0x200U;
    if (d > infinity) return denominator | 0x200U;
    if ((d == 0 && n == 0) || (d == infinity && n == infinity)) return 0xFE00;
    if (d == 0 || n == infinity) return sign | infinity;
    if (d == infinity || n == 0) return sign;
    return sign | (quotient & 0x7FFFU);
}
void division_fixup(wave& w, const operation& op)
{
    row quotient, denominator, numerator;
    read_half(w, op, op.from[0], quotient);
    read_half(w, op, op.from[1], denominator);
    read_half(w, op, op.from[2], numerator);
    for (u32 i = 0; i < w.lanes; ++i) quotient[i] = fixed_quotient(quotient[i], denominator[i], numerator[i]);
    write_half(w, op, quotient);
}

u32 class_of_half(u32 bits)
{
    const u32 magnitude = bits & 0x7FFFU;
    const bool is_negative = (bits & 0x8000U) != 0;
    if (magnitude > 0x7C00U) return (bits & 0x200U) == 0 ? 1U << 0 : 1U << 1;
    if (magnitude == 0x7C00U) return is_negative ? 1U << 2 : 1U << 9;
    if (magnitude >= 0x0400U) return is_negative ? 1U << 3 : 1U << 8;
    if (magnitude != 0) return is_negative ? 1U << 4 : 1U << 7;
    return is_negative ? 1U << 5 : 1U << 6;
}
void compare_class(wave& w, const operation& op)
{
    row buffer_a, buffer_b, flags;
    const operand& from = op.from[0];
    const u32* a = read(w, op, from, 0, buffer_a);  // a denormal is one, whatever the mode
    const u32* b = read(w, op, op.from[1], 0, buffer_b);
    const u32 keep = from.is_absolute ? 0x7FFFU : 0xFFFFU, flip = from.is_negated ? 0x8000U : 0;
    for (u32 i = 0; i < w.lanes; ++i) flags[i] = (class_of_half((a[i] & keep) ^ flip) & b[i]) != 0 ? ~0U : 0;
    w.set_mask(op.to[0].index, packed(w, flags) & w.exec());
}

u32 clamped(float v, float least, float most)
{
    if (v != v) return 0;
    return static_cast<u32>(static_cast<i32>(std::clamp(v, least, most)));
}

const handler_entry entries[] = {
    {"v_rsq_f16", unary<[](double a) { return 1.0 / std::sqrt(a); }>},
    {"v_exp_f16", unary<[](double a) { return std::exp2(a); }>},
    {"v_log_f16", unary<[](double a) { return std::log2(a); }>},
    {"v_sin_f16", unary<[](double a) { return std::sin(a * 6.283185307179586); }>},
    {"v_cos_f16", unary<[](double a) { return std::cos(a * 6.283185307179586); }>},
    {"v_fract_f16", unary<[](double a) { return std::isinf(a) ? a - a : std::fmin(a - std::floor(a), 0x1.ffcp-1); }>},
    {"v_frexp_mant_f16", unary<[](double a) {
         int unused = 0;
         return std::isfinite(a) ? std::frexp(a, &unused) : a;
     }>},
    {"v_frexp_exp_i16_f16", to_word<[](float a) {
         int power = 0;
         if (std::isfinite(a)) std::frexp(a, &power);
         return static_cast<u32>(power);
     }>},
    {"v_ldexp_f16", scale_by_power},
    {"v_max3_f16", ternary<[](u32 a, u32 b, u32 c) { return larger(larger(a, b), c); }>},
    {"v_min3_f16", ternary<[](u32 a, u32 b, u32 c) { return smaller(smaller(a, b), c); }>},
    {"v_med3_f16", ternary<middle>},
    {"v_maxmin_f16", ternary<[](u32 a, u32 b, u32 c) { return smaller(larger(a, b), c); }>},
    {"v_minmax_f16", ternary<[](u32 a, u32 b, u32 c) { return larger(smaller(a, b), c); }>},
    {"v_div_fixup_f16", division_fixup},
    {"v_div_fixup_legacy_f16", division_fixup},
    {"v_cmp_class_f16", compare_class},
    {"v_cvt_f16_i16", from_word<[](u32 a) { return static_cast<float>(static_cast<i16>(a)); }>},
    {"v_cvt_f16_u16", from_word<[](u32 a) { return static_cast<float>(a & 0xFFFFU); }>},
    {"v_cvt_i16_f16", to_word<[](float a) { return clamped(a, -32768.0F, 32767.0F); }>},
    {"v_cvt_u16_f16", to_word<[](float a) { return clamped(a, 0.0F, 65535.0F); }>},
};

}  // namespace

handler_family vector_half_more_family() { return entries; }

}  // namespace mhc::emulator
