// emulator/vector_integer.cpp -- integers, bits and moves, a word or two a lane.
#include <algorithm>

#include "emulator/handlers.hpp"
#include "emulator/lanes.hpp"

namespace mhc::emulator {
namespace {

template <auto F>
void unary(wave& w, const operation& op)
{
    row buffer, result;
    const u32* a = read(w, op, op.from[0], 0, buffer);
    each_lane(w, [&](u32 i) { result[i] = F(a[i]); });
    write(w, op, result);
}

template <auto F>
void binary(wave& w, const operation& op)
{
    row buffer_a, buffer_b, result;
    const u32* a = read(w, op, op.from[0], 0, buffer_a);
    const u32* b = read(w, op, op.from[1], 0, buffer_b);
    each_lane(w, [&](u32 i) { result[i] = F(a[i], b[i]); });
    write(w, op, result);
}

template <auto F>
void ternary(wave& w, const operation& op)
{
    row buffer_a, buffer_b, buffer_c, result;
    const u32* a = read(w, op, op.from[0], 0, buffer_a);
    const u32* b = read(w, op, op.from[1], 0, buffer_b);
    const u32* c = read(w, op, op.from[2], 0, buffer_c);
    each_lane(w, [&](u32 i) { result[i] = F(a[i], b[i], c[i]); });
    write(w, op, result);
}

/// Of 32-bit addition and subtraction that clamp instead of wrapping round.
template <auto F, auto Saturated>
void saturating(wave& w, const operation& op)
{
    op.clamps ? binary<Saturated>(w, op) : binary<F>(w, op);
}

void write_wide(wave& w, const operation& op, const row& low, const row& high)
{
    write(w, op, low, 0);
    write(w, op, high, 1);
}

/// F(low word of source 0, 64 bits of source 1)
template <auto F>
void wide_shift(wave& w, const operation& op)
{
    row buffer, low, high;
    wide_row b;
    const u32* a = read(w, op, op.from[0], 0, buffer);
    read_wide(w, op, op.from[1], b);
    each_lane(w, [&](u32 i) {
        const u64 value = F(a[i], b[i]);
        low[i] = static_cast<u32>(value);
        high[i] = static_cast<u32>(value >> 32);
    });
    write_wide(w, op, low, high);
}

/// a + b or a - b or b - a with carry in and out: v_addc_co_u32 v0, vcc, v1, v2, vcc.
enum class carry_form { add, sub, sub_reversed };
template <carry_form Form, bool HasCarryIn>
void with_carry(wave& w, const operation& op)
{
    row buffer_a, buffer_b, in, out, result;
    const u32* a = read(w, op, op.from[0], 0, buffer_a);
    const u32* b = read(w, op, op.from[1], 0, buffer_b);
    unpack(w, HasCarryIn ? mask_of(w, op.from[2]) : 0, in);
    each_lane(w, [&](u32 i) {
        const u32 carry = in[i] & 1U;
        const u32 x = Form == carry_form::sub_reversed ? b[i] : a[i];
        const u32 y = Form == carry_form::sub_reversed ? a[i] : b[i];
        if (Form == carry_form::add) {
            const u32 sum = x + y;
            result[i] = sum + carry;
            out[i] = (sum < x ? 1U : 0U) | (result[i] < sum ? 1U : 0U);
        } else {
            const u32 difference = x - y;
            result[i] = difference - carry;
            out[i] = (x < y ? 1U : 0U) | (difference < carry ? 1U : 0U);
        }
    });
    const u64 mask = packed(w, out) & w.exec();
    write(w, op, result);
    w.set_mask(op.to[1].index, mask);
}

template <bool IsSigned>
void multiply_add_wide(wave& w, const operation& op)
{
    row buffer_a, buffer_b, low, high, out;
    wide_row c;
    const u32* a = read(w, op, op.from[0], 0, buffer_a);
    const u32* b = read(w, op, op.from[1], 0, buffer_b);
    read_wide(w, op, op.from[2], c);
    // A constant of one word is the upper half's sign only in the signed form.
    each_lane(w, [&](u32 i) {
        const u64 product =
            IsSigned ? static_cast<u64>(i64{static_cast<i32>(a[i])} * static_cast<i32>(b[i])) : u64{a[i]} * b[i];
        const u64 addend = c[i], sum = product + addend;
        low[i] = static_cast<u32>(sum);
        high[i] = static_cast<u32>(sum >> 32);
        const bool overflows = IsSigned ? ((~(product ^ addend) & (product ^ sum)) >> 63) != 0 : sum < product;
        out[i] = overflows ? 1 : 0;
    });
    const u64 mask = packed(w, out) & w.exec();
    write_wide(w, op, low, high);
    w.set_mask(op.to[1].index, mask);
}

void select(wave& w, const operation& op)
{
    row buffer_a, buffer_b, chosen, result;
    const u32* a = read_signed(w, op, op.from[0], buffer_a);  // a sign may be changed on the way
    const u32* b = read_signed(w, op, op.from[1], buffer_b);
    unpack(w, op.from_count < 3 ? w.vcc() : mask_of(w, op.from[2]), chosen);
    each_lane(w, [&](u32 i) { result[i] = (b[i] & chosen[i]) | (a[i] & ~chosen[i]); });
    write(w, op, result);
}

void move(wave& w, const operation& op)
{
    unary<[](u32 a) { return a; }>(w, op);
}

void move_wide(wave& w, const operation& op)
{
    wide_row a;
    row low, high;
    read_wide(w, op, op.from[0], a);
    each_lane(w, [&](u32 i) { low[i] = a.low[i], high[i] = a.high[i]; });
    write_wide(w, op, low, high);
}

void shift_add_wide(wave& w, const operation& op)
{
    wide_row a, c;
    row buffer, low, high;
    read_wide(w, op, op.from[0], a);
    const u32* by = read(w, op, op.from[1], 0, buffer);
    read_wide(w, op, op.from[2], c);
    each_lane(w, [&](u32 i) {
        const u64 value = (a[i] << (by[i] & 7U)) + c[i];
        low[i] = static_cast<u32>(value);
        high[i] = static_cast<u32>(value >> 32);
    });
    write_wide(w, op, low, high);
}

/// Bytes 0 to 3 of b, 4 to 7 of a, or constants: each byte of c chooses one.
u32 permuted_bytes(u32 a, u32 b, u32 c)
{
    const u64 bytes = joined(b, a);
    u32 result = 0;
    for (u32 i = 0; i < 4; ++i) {
        const u32 chosen = c >> (i * 8) & 0xFFU;
        u32 byte = 0xFF;
        if (chosen < 8)
            byte = static_cast<u32>(bytes >> (chosen * 8)) & 0xFFU;
        else if (chosen < 12)  // the sign of a 16-bit half
            byte = (bytes >> ((chosen - 8) * 16 + 15) & 1) != 0 ? 0xFF : 0;
        else if (chosen == 12)
            byte = 0;
        result |= byte << (i * 8);
    }
    return result;
}

void permute_bytes(wave& w, const operation& op)
{
    const operand& choice = op.from[2];
    if (choice.kind == operand_kind::vector) return ternary<permuted_bytes>(w, op);
    // The choice is nearly always the same in all lanes, and only bytes are moved: then shifts and masks do it.
    const u32 c = scalar_word(w, choice);
    row buffer_a, buffer_b, result;
    const u32* a = read(w, op, op.from[0], 0, buffer_a);
    const u32* b = read(w, op, op.from[1], 0, buffer_b);
    if (c == 0x07060302U)
        each_lane(w, [&](u32 i) { result[i] = (a[i] & 0xFFFF0000U) | b[i] >> 16; });
    else if (c == 0x05040100U)
        each_lane(w, [&](u32 i) { result[i] = a[i] << 16 | (b[i] & 0xFFFFU); });
    else
        each_lane(w, [&](u32 i) { result[i] = permuted_bytes(a[i], b[i], c); });
    write(w, op, result);
}

constexpr u32 low_half = 0xFFFF;
constexpr i32 as_signed(u32 v) { return static_cast<i32>(v); }
constexpr u32 extended(u32 v, u32 width) { return static_cast<u32>(as_signed(v << (32 - width)) >> (32 - width)); }
constexpr i32 half_signed(u32 v) { return static_cast<i16>(v); }

u32 clamped_to_signed(i64 value) { return static_cast<u32>(static_cast<i32>(std::clamp<i64>(value, INT32_MIN, INT32_MAX))); }

constexpr auto add = [](u32 a, u32 b) { return a + b; };
constexpr auto subtract = [](u32 a, u32 b) { return a - b; };
constexpr auto subtract_reversed = [](u32 a, u32 b) { return b - a; };
constexpr auto add_saturated = [](u32 a, u32 b) { return a + b < a ? ~0U : a + b; };
constexpr auto subtract_saturated = [](u32 a, u32 b) { return a < b ? 0 : a - b; };
constexpr auto subtract_reversed_saturated = [](u32 a, u32 b) { return b < a ? 0 : b - a; };
constexpr auto add_signed_saturated = [](u32 a, u32 b) { return clamped_to_signed(i64{as_signed(a)} + as_signed(b)); };
constexpr auto subtract_signed_saturated = [](u32 a, u32 b) { return clamped_to_signed(i64{as_signed(a)} - as_signed(b)); };

u32 field(u32 a, u32 b, u32 c) { return (c & 31U) == 0 ? 0 : a >> (b & 31U) & ((1U << (c & 31U)) - 1); }
u32 signed_field(u32 a, u32 b, u32 c)
{
    const u32 width = c & 31U;
    return width == 0 ? 0 : extended(field(a, b, c), width);
}

const handler_entry entries[] = {
    {"v_mov_b32", move},
    {"v_accvgpr_read_b32", move},
    {"v_accvgpr_write_b32", move},
    {"v_accvgpr_mov_b32", move},
    {"v_mov_b64", move_wide},
    {"v_cndmask_b32", select},
    {"v_not_b32", unary<[](u32 a) { return ~a; }>},
    {"v_bfrev_b32", unary<[](u32 a) {
         u32 r = 0;
         for (u32 i = 0; i < 32; ++i) r |= (a >> i & 1U) << (31 - i);
         return r;
     }>},
    {"v_ffbh_u32", unary<[](u32 a) { return a == 0 ? ~0U : static_cast<u32>(std::countl_zero(a)); }>},
    {"v_ffbl_b32", unary<[](u32 a) { return a == 0 ? ~0U : static_cast<u32>(std::countr_zero(a)); }>},
    {"v_add_u32", saturating<add, add_saturated>},
    {"v_sub_u32", saturating<subtract, subtract_saturated>},
    {"v_subrev_u32", saturating<subtract_reversed, subtract_reversed_saturated>},
    {"v_add_i32", saturating<add, add_signed_saturated>},
    {"v_sub_i32", saturating<subtract, subtract_signed_saturated>},
    {"v_add_co_u32", with_carry<carry_form::add, false>, 2},
    {"v_sub_co_u32", with_carry<carry_form::sub, false>, 2},
    {"v_subrev_co_u32", with_carry<carry_form::sub_reversed, false>, 2},
    {"v_addc_co_u32", with_carry<carry_form::add, true>, 2},
    {"v_subb_co_u32", with_carry<carry_form::sub, true>, 2},
    {"v_subbrev_co_u32", with_carry<carry_form::sub_reversed, true>, 2},
    {"v_and_b32", binary<[](u32 a, u32 b) { return a & b; }>},
    {"v_or_b32", binary<[](u32 a, u32 b) { return a | b; }>},
    {"v_xor_b32", binary<[](u32 a, u32 b) { return a ^ b; }>},
    {"v_xnor_b32", binary<[](u32 a, u32 b) { return ~(a ^ b); }>},
    {"v_lshlrev_b32", binary<[](u32 a, u32 b) { return b << (a & 31U); }>},
    {"v_lshrrev_b32", binary<[](u32 a, u32 b) { return (b >> (a & 31U)); }>},
    {"v_ashrrev_i32", binary<[](u32 a, u32 b) { return (static_cast<u32>(as_signed(b) >> (a & 31U))); }>},
    {"v_min_u32", binary<[](u32 a, u32 b) { return a < b ? a : b; }>},
    {"v_max_u32", binary<[](u32 a, u32 b) { return (a > b ? a : b); }>},
    {"v_min_i32", binary<[](u32 a, u32 b) { return as_signed(a) < as_signed(b) ? a : b; }>},
    {"v_max_i32", binary<[](u32 a, u32 b) { return (as_signed(a) > as_signed(b) ? a : b); }>},
    {"v_mul_lo_u32", binary<[](u32 a, u32 b) { return a * b; }>},
    {"v_mul_hi_u32", binary<[](u32 a, u32 b) { return (static_cast<u32>(u64{a} * b >> 32)); }>},
    {"v_mul_hi_i32",
     binary<[](u32 a, u32 b) { return static_cast<u32>(static_cast<u64>(i64{as_signed(a)} * as_signed(b)) >> 32); }>},
    {"v_mul_u32_u24", binary<[](u32 a, u32 b) { return (a & 0xFFFFFFU) * (b & 0xFFFFFFU); }>},
    {"v_mul_i32_i24", binary<[](u32 a, u32 b) { return extended(a, 24) * extended(b, 24); }>},
    {"v_mul_hi_u32_u24",
     binary<[](u32 a, u32 b) { return (static_cast<u32>(u64{a & 0xFFFFFFU} * (b & 0xFFFFFFU) >> 32)); }>},
    {"v_bfm_b32", binary<[](u32 a, u32 b) { return ((1U << (a & 31U)) - 1) << (b & 31U); }>},
    {"v_bcnt_u32_b32", binary<[](u32 a, u32 b) { return static_cast<u32>(std::popcount(a)) + b; }>},
    {"v_mul_lo_u16", binary<[](u32 a, u32 b) { return (a & low_half) * (b & low_half) & low_half; }>},
    {"v_mad_u16", ternary<[](u32 a, u32 b, u32 c) { return ((a & low_half) * (b & low_half) + c) & low_half; }>},
    {"v_mad_legacy_u16", ternary<[](u32 a, u32 b, u32 c) { return ((a & low_half) * (b & low_half) + c) & low_half; }>},
    {"v_lshlrev_b16", binary<[](u32 a, u32 b) { return b << (a & 15U) & low_half; }>},
    {"v_lshrrev_b16", binary<[](u32 a, u32 b) { return ((b & low_half) >> (a & 15U)); }>},
    {"v_ashrrev_i16", binary<[](u32 a, u32 b) { return (static_cast<u32>(half_signed(b) >> (a & 15U)) & low_half); }>},
    {"v_add3_u32", ternary<[](u32 a, u32 b, u32 c) { return a + b + c; }>},
    {"v_lshl_add_u32", ternary<[](u32 a, u32 b, u32 c) { return (a << (b & 31U)) + c; }>},
    {"v_add_lshl_u32", ternary<[](u32 a, u32 b, u32 c) { return (a + b) << (c & 31U); }>},
    {"v_xad_u32", ternary<[](u32 a, u32 b, u32 c) { return (a ^ b) + c; }>},
    {"v_lshl_or_b32", ternary<[](u32 a, u32 b, u32 c) { return a << (b & 31U) | c; }>},
    {"v_and_or_b32", ternary<[](u32 a, u32 b, u32 c) { return (a & b) | c; }>},
    {"v_or3_b32", ternary<[](u32 a, u32 b, u32 c) { return a | b | c; }>},
    {"v_xor3_b32", ternary<[](u32 a, u32 b, u32 c) { return a ^ b ^ c; }>},
    {"v_bfi_b32", ternary<[](u32 a, u32 b, u32 c) { return (a & b) | (~a & c); }>},
    {"v_bfe_u32", ternary<field>},
    {"v_bfe_i32", ternary<signed_field>},
    {"v_alignbit_b32", ternary<[](u32 a, u32 b, u32 c) { return (static_cast<u32>(joined(b, a) >> (c & 31U))); }>},
    {"v_alignbyte_b32", ternary<[](u32 a, u32 b, u32 c) { return (static_cast<u32>(joined(b, a) >> (c & 3U) * 8)); }>},
    {"v_mad_u32_u24", ternary<[](u32 a, u32 b, u32 c) { return (a & 0xFFFFFFU) * (b & 0xFFFFFFU) + c; }>},
    {"v_mad_i32_i24", ternary<[](u32 a, u32 b, u32 c) { return extended(a, 24) * extended(b, 24) + c; }>},
    {"v_min3_u32", ternary<[](u32 a, u32 b, u32 c) {
         return std::min({a, b, c});
     }>},
    {"v_max3_u32", ternary<[](u32 a, u32 b, u32 c) {
         return std::max({a, b, c});
     }>},
    {"v_min3_i32", ternary<[](u32 a, u32 b, u32 c) {
         return static_cast<u32>(std::min({as_signed(a), as_signed(b), as_signed(c)}));
     }>},
    {"v_max3_i32", ternary<[](u32 a, u32 b, u32 c) {
         return static_cast<u32>(std::max({as_signed(a), as_signed(b), as_signed(c)}));
     }>},
    {"v_med3_i32", ternary<[](u32 a, u32 b, u32 c) {
         const i32 x = as_signed(a), y = as_signed(b), z = as_signed(c);
         return static_cast<u32>(std::max(std::min(x, y), std::min(std::max(x, y), z)));
     }>},
    {"v_med3_u32", ternary<[](u32 a, u32 b, u32 c) { return std::max(std::min(a, b), std::min(std::max(a, b), c)); }>},
    {"v_perm_b32", permute_bytes},
    {"v_lshlrev_b64", wide_shift<[](u32 a, u64 b) { return b << (a & 63U); }>},
    {"v_lshrrev_b64", wide_shift<[](u32 a, u64 b) { return (b >> (a & 63U)); }>},
    {"v_ashrrev_i64", wide_shift<[](u32 a, u64 b) { return (static_cast<u64>(static_cast<i64>(b) >> (a & 63U))); }>},
    {"v_lshl_add_u64", shift_add_wide},
    {"v_mad_u64_u32", multiply_add_wide<false>, 2},
    {"v_mad_i64_i32", multiply_add_wide<true>, 2},
};

}  // namespace

handler_family vector_integer_family() { return entries; }

}  // namespace mhc::emulator
