// emulator/vector_packed_half.cpp -- two numbers of 16 bits in a word: packed arithmetic; and dot products of parts of
// words.
#include <algorithm>

#include "emulator/handlers.hpp"
#include "emulator/lanes.hpp"
#include "emulator/numbers.hpp"

namespace mhc::emulator {
namespace {

u32 flushed_half(u32 bits) { return (bits & 0x7FFFU) < 0x0400U ? bits & 0x8000U : bits; }

/// Source `number` for half `half` of the result: op_sel and op_sel_hi choose the half.
template <bool IsFloat>
void read_half(const wave& w, const operation& op, u32 number, u32 half, row& into)
{
    row buffer;
    const u32* words = read(w, op, op.from[number], 0, buffer);
    const u32 shift = ((half == 0 ? op.op_sel : op.op_sel_hi) >> number & 1U) != 0 ? 16 : 0;
    const u32 flip = ((half == 0 ? op.neg_lo : op.neg_hi) >> number & 1U) != 0 ? 0x8000U : 0;
    each_lane(w, [&](u32 i) { into[i] = (words[i] >> shift & 0xFFFFU) ^ (IsFloat ? flip : 0); });
    if (IsFloat && !w.half_and_double.in) each_lane(w, [&](u32 i) { into[i] = flushed_half(into[i]); });
}

/// F(a, b, c, op) gives 16 bits, or more that are cut off.
template <auto F, u32 Sources, bool IsFloat>
void packed(wave& w, const operation& op)
{
    row result;
    for (u32 half = 0; half < 2; ++half) {
        row sources[3] = {};
        for (u32 i = 0; i < Sources; ++i) read_half<IsFloat>(w, op, i, half, sources[i]);
        for (u32 i = 0; i < w.lanes; ++i) {
            u32 value = F(sources[0][i], sources[1][i], sources[2][i], op.clamps) & 0xFFFFU;
            if (IsFloat && op.clamps) {
                const float number = half_to_single(value);
                value = number > 0 ? (number < 1 ? value : 0x3C00U) : 0;
            }
            if (IsFloat && !w.half_and_double.out) value = flushed_half(value);
            result[i] = half == 0 ? value : result[i] | value << 16;
        }
    }
    write(w, op, result);
}

u32 saturated(i32 value, i32 least, i32 most) { return static_cast<u32>(std::clamp(value, least, most)); }
constexpr i32 s(u32 v) { return static_cast<i16>(v); }
constexpr i32 n(u32 v) { return static_cast<i32>(v); }

u32 add_unsigned(u32 a, u32 b, u32, bool clamps) { return clamps ? std::min(a + b, 0xFFFFU) : a + b; }
u32 subtract_unsigned(u32 a, u32 b, u32, bool clamps) { return clamps && b > a ? 0 : a - b; }
u32 add_signed(u32 a, u32 b, u32, bool clamps) { return clamps ? saturated(s(a) + s(b), INT16_MIN, INT16_MAX) : a + b; }
u32 subtract_signed(u32 a, u32 b, u32, bool clamps) { return clamps ? saturated(s(a) - s(b), INT16_MIN, INT16_MAX) : a - b; }
u32 mad_unsigned(u32 a, u32 b, u32 c, bool clamps) { return clamps ? std::min(a * b + c, 0xFFFFU) : a * b + c; }
u32 mad_signed(u32 a, u32 b, u32 c, bool clamps)
{
    const i32 sum = s(a) * s(b) + s(c);
    return clamps ? saturated(sum, INT16_MIN, INT16_MAX) : static_cast<u32>(sum);
}

u32 add_half(u32 a, u32 b, u32, bool) { return single_to_half(half_to_single(a) + half_to_single(b)); }
u32 multiply_half(u32 a, u32 b, u32, bool) { return single_to_half(half_to_single(a) * half_to_single(b)); }
u32 fma_half(u32 a, u32 b, u32 c, bool)
{
    return double_to_half(fma_to_odd(half_to_single(a), half_to_single(b), half_to_single(c)));
}
u32 larger_half(u32 a, u32 b, u32, bool)
{
    return single_to_half(to_float(larger(to_bits(half_to_single(a)), to_bits(half_to_single(b)))));
}
u32 smaller_half(u32 a, u32 b, u32, bool)
{
    return single_to_half(to_float(smaller(to_bits(half_to_single(a)), to_bits(half_to_single(b)))));
}

/// c and the products of `Count` parts of two words. `neg_lo` of the mixed forms says which source is signed.
template <u32 Count, bool IsSigned>
void dot_integers(wave& w, const operation& op)
{
    row buffer_a, buffer_b, buffer_c, result;
    const u32* a = read(w, op, op.from[0], 0, buffer_a);
    const u32* b = read(w, op, op.from[1], 0, buffer_b);
    const u32* c = read(w, op, op.from_count > 2 ? op.from[2] : op.to[0], 0, buffer_c);
    constexpr u32 width = 32 / Count;
    const auto part_of = [](u32 word, u32 number, bool is_signed) {
        const u32 bits = word >> number * width << (32 - width);
        return is_signed ? i64{n(bits) >> (32 - width)} : i64{bits >> (32 - width)};
    };
    const bool a_is_signed = IsSigned || (op.neg_lo & 1U) != 0, b_is_signed = IsSigned || (op.neg_lo & 2U) != 0;
    const bool is_signed = a_is_signed || b_is_signed;
    for (u32 i = 0; i < w.lanes; ++i) {
        i64 sum = is_signed ? i64{n(c[i])} : i64{c[i]};
        for (u32 part = 0; part < Count; ++part) sum += part_of(a[i], part, a_is_signed) * part_of(b[i], part, b_is_signed);
        if (op.clamps) sum = is_signed ? std::clamp<i64>(sum, INT32_MIN, INT32_MAX) : std::min<i64>(sum, UINT32_MAX);
        result[i] = static_cast<u32>(sum);
    }
    write(w, op, result);
}

float value_of_half(u32 bits) { return half_to_single(bits); }
float value_of_bfloat(u32 bits) { return to_float(bits << 16); }

/// D = a.lo * b.lo + a.hi * b.hi + c in fp32. In which order and how often it is rounded, the documents leave open: here the
/// high products come first, each fma rounded once.
template <auto Value>
void dot_floats(wave& w, const operation& op)
{
    if (op.neg_lo != 0 || op.neg_hi != 0 || op.op_sel != 0)
        throw fault("a dot product that negates or swaps is not modelled");
    row buffer_a, buffer_b, buffer_c, result;
    const u32* a = read(w, op, op.from[0], 0, buffer_a);
    const u32* b = read(w, op, op.from[1], 0, buffer_b);
    const u32* c = read_single(w, op, op.from_count > 2 ? op.from[2] : op.to[0], buffer_c);
    for (u32 i = 0; i < w.lanes; ++i) {
        const float high = __builtin_fmaf(Value(a[i] >> 16), Value(b[i] >> 16), to_float(c[i]));
        result[i] = to_bits(__builtin_fmaf(Value(a[i] & 0xFFFFU), Value(b[i] & 0xFFFFU), high));
    }
    write_single(w, op, result);
}

const handler_entry entries[] = {
    {"v_pk_add_u16", packed<add_unsigned, 2, false>},
    {"v_pk_sub_u16", packed<subtract_unsigned, 2, false>},
    {"v_pk_add_i16", packed<add_signed, 2, false>},
    {"v_pk_sub_i16", packed<subtract_signed, 2, false>},
    {"v_pk_mul_lo_u16", packed<[](u32 a, u32 b, u32, bool) { return a * b; }, 2, false>},
    {"v_pk_mad_u16", packed<mad_unsigned, 3, false>},
    {"v_pk_mad_i16", packed<mad_signed, 3, false>},
    {"v_pk_lshlrev_b16", packed<[](u32 a, u32 b, u32, bool) { return b << (a & 15U); }, 2, false>},
    {"v_pk_lshrrev_b16", packed<[](u32 a, u32 b, u32, bool) { return (b >> (a & 15U)); }, 2, false>},
    {"v_pk_ashrrev_i16", packed<[](u32 a, u32 b, u32, bool) { return (static_cast<u32>(s(b) >> (a & 15U))); }, 2, false>},
    {"v_pk_max_u16", packed<[](u32 a, u32 b, u32, bool) { return std::max(a, b); }, 2, false>},
    {"v_pk_min_u16", packed<[](u32 a, u32 b, u32, bool) { return std::min(a, b); }, 2, false>},
    {"v_pk_max_i16", packed<[](u32 a, u32 b, u32, bool) { return static_cast<u32>(std::max(s(a), s(b))); }, 2, false>},
    {"v_pk_min_i16", packed<[](u32 a, u32 b, u32, bool) { return static_cast<u32>(std::min(s(a), s(b))); }, 2, false>},
    {"v_pk_add_f16", packed<add_half, 2, true>},
    {"v_pk_mul_f16", packed<multiply_half, 2, true>},
    {"v_pk_fma_f16", packed<fma_half, 3, true>},
    {"v_pk_max_f16", packed<larger_half, 2, true>},
    {"v_pk_min_f16", packed<smaller_half, 2, true>},
    {"v_dot2_i32_i16", dot_integers<2, true>},
    {"v_dot2_u32_u16", dot_integers<2, false>},
    {"v_dot2c_i32_i16", dot_integers<2, true>},
    {"v_dot4_i32_i8", dot_integers<4, true>},
    {"v_dot4_u32_u8", dot_integers<4, false>},
    {"v_dot4_i32_iu8", dot_integers<4, false>},
    {"v_dot4c_i32_i8", dot_integers<4, true>},
    {"v_dot8_i32_i4", dot_integers<8, true>},
    {"v_dot8_u32_u4", dot_integers<8, false>},
    {"v_dot8_i32_iu4", dot_integers<8, false>},
    {"v_dot8c_i32_i4", dot_integers<8, true>},
    {"v_dot2_f32_f16", dot_floats<value_of_half>},
    {"v_dot2c_f32_f16", dot_floats<value_of_half>},
    {"v_dot2acc_f32_f16", dot_floats<value_of_half>},
    {"v_dot2_f32_bf16", dot_floats<value_of_bfloat>},
    {"v_dot2c_f32_bf16", dot_floats<value_of_bfloat>},
};

}  // namespace

handler_family vector_packed_half_family() { return entries; }

}  // namespace mhc::emulator
