// emulator/scalar_integer.cpp -- SOP1, SOP2, SOPC and SOPK: integers and masks, once a wave.
#include <algorithm>

#include "emulator/handlers.hpp"
#include "emulator/lanes.hpp"

namespace mhc::emulator {
namespace {

/// A result and what SCC becomes.
struct with_scc {
    u64 value;
    bool scc;
};

// In these, F(a, b, w) gives the new value, or a with_scc; Words of the destination and of each source are 1 or 2.
template <u32 Words>
u64 source(const wave& w, const operand& from)
{
    return Words == 2 ? scalar_pair(w, from) : scalar_word(w, from);
}
template <u32 Words>
void give(wave& w, const operand& to, u64 value)
{
    if (Words == 2)
        w.set_scalar_pair(to.index, value);
    else
        w.set_scalar(to.index, static_cast<u32>(value));
}
template <u32 Words>
void give(wave& w, const operand& to, with_scc result)
{
    w.scc = result.scc;
    give<Words>(w, to, result.value);
}

template <auto F, u32 To = 1, u32 A = To>
void unary(wave& w, const operation& op)
{
    give<To>(w, op.to[0], F(source<A>(w, op.from[0])));
}
template <auto F, u32 To = 1, u32 A = To, u32 B = To>
void binary(wave& w, const operation& op)
{
    give<To>(w, op.to[0], F(source<A>(w, op.from[0]), source<B>(w, op.from[1])));
}
/// F(a, b, scc)
template <auto F, u32 To = 1>
void binary_with_scc(wave& w, const operation& op)
{
    give<To>(w, op.to[0], F(source<To>(w, op.from[0]), source<To>(w, op.from[1]), w.scc));
}
template <auto F, u32 Words = 1>
void compare(wave& w, const operation& op)
{
    w.scc = F(source<Words>(w, op.from[0]), source<Words>(w, op.from[1]));
}
/// SOPK: the destination is a source, the constant has 16 bits.
template <auto F>
void with_constant(wave& w, const operation& op)
{
    give<1>(w, op.to[0], F(u64{w.s[op.to[0].index]}, op.from[0].value));
}
template <auto F, bool IsSigned>
void compare_with_constant(wave& w, const operation& op)
{
    const u32 k = op.from[1].value;
    w.scc = F(source<1>(w, op.from[0]), u64{IsSigned ? static_cast<u32>(i32{static_cast<i16>(k)}) : k & 0xFFFFU});
}

/// exec's old value to the destination, then exec = F(source, exec) and SCC = exec != 0.
template <auto F, u32 Words>
void save_exec(wave& w, const operation& op)
{
    const u64 before = Words == 2 ? joined(w.s[scalar::exec], w.s[scalar::exec + 1]) : w.s[scalar::exec];
    const u64 after = F(source<Words>(w, op.from[0]), before) & (Words == 2 ? ~u64{0} : 0xFFFFFFFFU);
    give<Words>(w, op.to[0], before);
    give<Words>(w, {.kind = operand_kind::scalar, .words = Words, .index = scalar::exec}, after);
    w.scc = after != 0;
}
template <auto F, u32 Words>
void write_exec(wave& w, const operation& op)
{
    const u64 before = Words == 2 ? joined(w.s[scalar::exec], w.s[scalar::exec + 1]) : w.s[scalar::exec];
    const u64 after = F(source<Words>(w, op.from[0]), before) & (Words == 2 ? ~u64{0} : 0xFFFFFFFFU);
    give<Words>(w, {.kind = operand_kind::scalar, .words = Words, .index = scalar::exec}, after);
    give<Words>(w, op.to[0], after);
    w.scc = after != 0;
}

constexpr i32 s32(u64 v) { return static_cast<i32>(static_cast<u32>(v)); }
constexpr u32 u(u64 v) { return static_cast<u32>(v); }
constexpr with_scc logic_32(u64 v) { return {u(v), u(v) != 0}; }
constexpr with_scc logic_64(u64 v) { return {v, v != 0}; }

constexpr with_scc add_unsigned(u64 a, u64 b) { return {u(a + b), (a + b) >> 32 != 0}; }
constexpr with_scc subtract_unsigned(u64 a, u64 b) { return {u(a - b), b > a}; }
constexpr with_scc add_carry(u64 a, u64 b, bool c) { return {u(a + b + (c ? 1 : 0)), (a + b + (c ? 1 : 0)) >> 32 != 0}; }
constexpr with_scc subtract_borrow(u64 a, u64 b, bool c) { return {u(a - b - (c ? 1 : 0)), b + (c ? 1 : 0) > a}; }
constexpr with_scc checked_signed(i64 exact) { return {u(static_cast<u64>(exact)), exact != i64{static_cast<i32>(exact)}}; }
constexpr with_scc add_signed(u64 a, u64 b) { return checked_signed(i64{s32(a)} + s32(b)); }
constexpr with_scc subtract_signed(u64 a, u64 b) { return checked_signed(i64{s32(a)} - s32(b)); }

/// offset in bits 0 to 5, width in bits 16 to 22
template <u32 Bits, bool IsSigned>
with_scc bit_field(u64 a, u64 b)
{
    const u32 offset = u(b) & (Bits - 1), width = std::min(u(b) >> 16 & 0x7FU, Bits);
    if (width == 0) return {0, false};
    const u64 shifted = (Bits == 32 && IsSigned ? static_cast<u64>(i64{s32(a)}) : a) >> offset;
    u64 value = width == 64 ? shifted : shifted & ((u64{1} << width) - 1);
    if (IsSigned && width < 64 && (value >> (width - 1) & 1) != 0) value |= ~u64{0} << width;
    if (Bits == 32) value = u(value);
    return {value, value != 0};
}

u64 reversed(u64 a)
{
    u64 r = 0;
    for (u32 i = 0; i < 32; ++i) r |= (a >> i & 1) << (31 - i);
    return r;
}

/// Bits above the highest that differs from the sign; all ones where none does.
u64 leading_signs(u64 a, u32 width)
{
    const u64 differing = a ^ static_cast<u64>(static_cast<i64>(a) >> 63);
    return differing == 0 ? ~u64{0} : static_cast<u64>(std::countl_zero(differing)) - (64 - width);
}

template <u32 Shift>
with_scc shift_add(u64 a, u64 b)
{
    const u64 sum = (a << Shift) + b;
    return {u(sum), sum >> 32 != 0};
}

void conditional_move(wave& w, const operation& op)
{
    if (w.scc) w.set_scalar(op.to[0].index, scalar_word(w, op.from[0]));
}
void conditional_move_wide(wave& w, const operation& op)
{
    if (w.scc) w.set_scalar_pair(op.to[0].index, scalar_pair(w, op.from[0]));
}
template <bool IsSet, u32 Words>
void set_bit(wave& w, const operation& op)
{
    const u64 before = Words == 2 ? joined(w.s[op.to[0].index], w.s[op.to[0].index + 1]) : w.s[op.to[0].index];
    const u64 bit = u64{1} << (scalar_word(w, op.from[0]) & (Words * 32 - 1));
    give<Words>(w, op.to[0], IsSet ? before | bit : before & ~bit);
}
void move_constant(wave& w, const operation& op)
{
    w.set_scalar(op.to[0].index, static_cast<u32>(i32{static_cast<i16>(op.from[0].value)}));
}
void conditional_constant(wave& w, const operation& op)
{
    if (w.scc) move_constant(w, op);
}

constexpr auto eq = [](u64 a, u64 b) { return a == b; };
constexpr auto ne = [](u64 a, u64 b) { return a != b; };
constexpr auto lt_u = [](u64 a, u64 b) { return u(a) < u(b); };
constexpr auto le_u = [](u64 a, u64 b) { return u(a) <= u(b); };
constexpr auto gt_u = [](u64 a, u64 b) { return u(a) > u(b); };
constexpr auto ge_u = [](u64 a, u64 b) { return u(a) >= u(b); };
constexpr auto lt_i = [](u64 a, u64 b) { return s32(a) < s32(b); };
constexpr auto le_i = [](u64 a, u64 b) { return s32(a) <= s32(b); };
constexpr auto gt_i = [](u64 a, u64 b) { return s32(a) > s32(b); };
constexpr auto ge_i = [](u64 a, u64 b) { return s32(a) >= s32(b); };

#define MHC_LOGIC(name, F)                                                    \
    {"s_" name "_b32", binary<[](u64 a, u64 b) { return logic_32(F); }>},     \
    {                                                                         \
        "s_" name "_b64", binary<[](u64 a, u64 b) { return logic_64(F); }, 2> \
    }
#define MHC_SAVE_EXEC(name, F)                                                  \
    {"s_" name "_saveexec_b32", save_exec<[](u64 a, u64 b) { return F; }, 1>},  \
    {                                                                           \
        "s_" name "_saveexec_b64", save_exec<[](u64 a, u64 b) { return F; }, 2> \
    }

const handler_entry entries[] = {
    {"s_mov_b32", unary<[](u64 a) { return a; }>},
    {"s_mov_b64", unary<[](u64 a) { return a; }, 2>},
    {"s_movk_i32", move_constant},
    {"s_cmovk_i32", conditional_constant},
    {"s_cmov_b32", conditional_move},
    {"s_cmov_b64", conditional_move_wide},
    {"s_cselect_b32", binary_with_scc<[](u64 a, u64 b, bool scc) { return scc ? a : b; }>},
    {"s_cselect_b64", binary_with_scc<[](u64 a, u64 b, bool scc) { return scc ? a : b; }, 2>},
    {"s_not_b32", unary<[](u64 a) { return logic_32(~a); }>},
    {"s_not_b64", unary<[](u64 a) { return logic_64(~a); }, 2>},
    {"s_brev_b32", unary<reversed>},
    {"s_brev_b64", unary<[](u64 a) { return reversed(a) << 32 | reversed(a >> 32); }, 2>},
    {"s_flbit_i32", unary<[](u64 a) { return leading_signs(static_cast<u64>(i64{s32(a)}), 32); }>},
    {"s_flbit_i32_i64", unary<[](u64 a) { return leading_signs(a, 64); }, 1, 2>},
    {"s_absdiff_i32", binary<[](u64 a, u64 b) { return logic_32(s32(a - b) < 0 ? b - a : a - b); }>},
    {"s_pack_hl_b32_b16", binary<[](u64 a, u64 b) { return (a >> 16 | (b & 0xFFFFU) << 16); }>},
    {"s_sext_i32_i8", unary<[](u64 a) { return u64{u(static_cast<u64>(i64{static_cast<i8>(a)}))}; }>},
    {"s_sext_i32_i16", unary<[](u64 a) { return u64{u(static_cast<u64>(i64{static_cast<i16>(a)}))}; }>},
    {"s_abs_i32", unary<[](u64 a) { return logic_32(s32(a) < 0 ? 0 - a : a); }>},
    {"s_bcnt1_i32_b32", unary<[](u64 a) { return logic_32(static_cast<u64>(std::popcount(a))); }>},
    {"s_bcnt1_i32_b64", unary<[](u64 a) { return logic_32(static_cast<u64>(std::popcount(a))); }, 1, 2>},
    {"s_ff1_i32_b32", unary<[](u64 a) { return a == 0 ? ~u64{0} : static_cast<u64>(std::countr_zero(a)); }>},
    {"s_ff1_i32_b64", unary<[](u64 a) { return a == 0 ? ~u64{0} : static_cast<u64>(std::countr_zero(a)); }, 1, 2>},
    {"s_flbit_i32_b32", unary<[](u64 a) { return a == 0 ? ~u64{0} : static_cast<u64>(std::countl_zero(u(a))); }>},
    {"s_flbit_i32_b64", unary<[](u64 a) { return a == 0 ? ~u64{0} : static_cast<u64>(std::countl_zero(a)); }, 1, 2>},
    {"s_bitset0_b32", set_bit<false, 1>},
    {"s_bitset1_b32", set_bit<true, 1>},
    {"s_bitset0_b64", set_bit<false, 2>},
    {"s_bitset1_b64", set_bit<true, 2>},
    MHC_LOGIC("and", a& b),
    MHC_LOGIC("or", a | b),
    MHC_LOGIC("xor", a ^ b),
    MHC_LOGIC("andn2", a & ~b),
    MHC_LOGIC("orn2", a | ~b),
    MHC_LOGIC("nand", ~(a& b)),
    MHC_LOGIC("nor", ~(a | b)),
    MHC_LOGIC("xnor", ~(a ^ b)),
    MHC_SAVE_EXEC("and", a& b),
    MHC_SAVE_EXEC("or", a | b),
    MHC_SAVE_EXEC("xor", a ^ b),
    MHC_SAVE_EXEC("andn2", a & ~b),
    MHC_SAVE_EXEC("orn2", a | ~b),
    MHC_SAVE_EXEC("andn1", ~a& b),
    MHC_SAVE_EXEC("orn1", ~a | b),
    MHC_SAVE_EXEC("nand", ~(a& b)),
    MHC_SAVE_EXEC("nor", ~(a | b)),
    MHC_SAVE_EXEC("xnor", ~(a ^ b)),
    {"s_andn1_wrexec_b32", write_exec<[](u64 a, u64 b) { return ~a & b; }, 1>},
    {"s_andn1_wrexec_b64", write_exec<[](u64 a, u64 b) { return ~a & b; }, 2>},
    {"s_andn2_wrexec_b32", write_exec<[](u64 a, u64 b) { return a & ~b; }, 1>},
    {"s_andn2_wrexec_b64", write_exec<[](u64 a, u64 b) { return a & ~b; }, 2>},
    {"s_add_u32", binary<add_unsigned>},
    {"s_sub_u32", binary<subtract_unsigned>},
    {"s_addc_u32", binary_with_scc<add_carry>},
    {"s_subb_u32", binary_with_scc<subtract_borrow>},
    {"s_add_i32", binary<add_signed>},
    {"s_sub_i32", binary<subtract_signed>},
    {"s_addk_i32", with_constant<[](u64 a, u32 k) { return add_signed(a, u(static_cast<u64>(i64{static_cast<i16>(k)}))); }>},
    {"s_mulk_i32", with_constant<[](u64 a, u32 k) { return u64{u(a) * u(static_cast<u64>(i64{static_cast<i16>(k)}))}; }>},
    {"s_add_u64", binary<[](u64 a, u64 b) { return a + b; }, 2>},
    {"s_sub_u64", binary<[](u64 a, u64 b) { return a - b; }, 2>},
    {"s_mul_u64", binary<[](u64 a, u64 b) { return a * b; }, 2>},
    {"s_mul_i32", binary<[](u64 a, u64 b) { return u64{u(a) * u(b)}; }>},
    {"s_mul_hi_u32", binary<[](u64 a, u64 b) { return (a * b >> 32); }>},
    {"s_mul_hi_i32", binary<[](u64 a, u64 b) { return (static_cast<u64>(i64{s32(a)} * s32(b)) >> 32); }>},
    {"s_lshl_b32", binary<[](u64 a, u64 b) { return logic_32(a << (b & 31)); }>},
    {"s_lshr_b32", binary<[](u64 a, u64 b) { return (logic_32(a >> (b & 31))); }>},
    {"s_ashr_i32", binary<[](u64 a, u64 b) { return (logic_32(static_cast<u64>(i64{s32(a) >> (b & 31)}))); }>},
    {"s_lshl_b64", binary<[](u64 a, u64 b) { return logic_64(a << (b & 63)); }, 2, 2, 1>},
    {"s_lshr_b64", binary<[](u64 a, u64 b) { return (logic_64(a >> (b & 63))); }, 2, 2, 1>},
    {"s_ashr_i64",
     binary<[](u64 a, u64 b) { return (logic_64(static_cast<u64>(static_cast<i64>(a) >> (b & 63)))); }, 2, 2, 1>},
    {"s_lshl1_add_u32", binary<shift_add<1>>},
    {"s_lshl2_add_u32", binary<shift_add<2>>},
    {"s_lshl3_add_u32", binary<shift_add<3>>},
    {"s_lshl4_add_u32", binary<shift_add<4>>},
    {"s_bfm_b32", binary<[](u64 a, u64 b) { return ((u64{1} << (a & 31)) - 1) << (b & 31); }>},
    {"s_bfm_b64", binary<[](u64 a, u64 b) { return ((u64{1} << (a & 63)) - 1) << (b & 63); }, 2, 1, 1>},
    {"s_bfe_u32", binary<bit_field<32, false>>},
    {"s_bfe_i32", binary<bit_field<32, true>>},
    {"s_bfe_u64", binary<bit_field<64, false>, 2, 2, 1>},
    {"s_bfe_i64", binary<bit_field<64, true>, 2, 2, 1>},
    {"s_min_u32", binary<[](u64 a, u64 b) {
         return with_scc{std::min(a, b), a < b};
     }>},
    {"s_max_u32", binary<[](u64 a, u64 b) {
         return ((with_scc{std::max(a, b), a > b}));
     }>},
    {"s_min_i32", binary<[](u64 a, u64 b) {
         return with_scc{s32(a) < s32(b) ? a : b, s32(a) < s32(b)};
     }>},
    {"s_max_i32", binary<[](u64 a, u64 b) {
         return (with_scc{s32(a) > s32(b) ? a : b, s32(a) > s32(b)});
     }>},
    {"s_pack_ll_b32_b16", binary<[](u64 a, u64 b) { return (a & 0xFFFFU) | (b & 0xFFFFU) << 16; }>},
    {"s_pack_lh_b32_b16", binary<[](u64 a, u64 b) { return (a & 0xFFFFU) | (b & 0xFFFF0000U); }>},
    {"s_pack_hh_b32_b16", binary<[](u64 a, u64 b) { return (a >> 16 | (b & 0xFFFF0000U)); }>},
    {"s_bitcmp0_b32", compare<[](u64 a, u64 b) { return ((a >> (b & 31) & 1) == 0); }>, 0},
    {"s_bitcmp1_b32", compare<[](u64 a, u64 b) { return ((a >> (b & 31) & 1) != 0); }>, 0},
    {"s_bitcmp0_b64", compare<[](u64 a, u64 b) { return ((a >> (b & 63) & 1) == 0); }, 2>, 0},
    {"s_bitcmp1_b64", compare<[](u64 a, u64 b) { return ((a >> (b & 63) & 1) != 0); }, 2>, 0},
    {"s_cmp_eq_u32", compare<eq>, 0},
    {"s_cmp_eq_i32", compare<eq>, 0},
    {"s_cmp_lg_u32", compare<ne>, 0},
    {"s_cmp_lg_i32", compare<ne>, 0},
    {"s_cmp_eq_u64", compare<eq, 2>, 0},
    {"s_cmp_lg_u64", compare<ne, 2>, 0},
    {"s_cmp_lt_u32", compare<lt_u>, 0},
    {"s_cmp_le_u32", compare<le_u>, 0},
    {"s_cmp_gt_u32", compare<gt_u>, 0},
    {"s_cmp_ge_u32", compare<ge_u>, 0},
    {"s_cmp_lt_i32", compare<lt_i>, 0},
    {"s_cmp_le_i32", compare<le_i>, 0},
    {"s_cmp_gt_i32", compare<gt_i>, 0},
    {"s_cmp_ge_i32", compare<ge_i>, 0},
    {"s_cmpk_eq_i32", compare_with_constant<eq, true>, 0},
    {"s_cmpk_lg_i32", compare_with_constant<ne, true>, 0},
    {"s_cmpk_lt_i32", compare_with_constant<lt_i, true>, 0},
    {"s_cmpk_le_i32", compare_with_constant<le_i, true>, 0},
    {"s_cmpk_gt_i32", compare_with_constant<gt_i, true>, 0},
    {"s_cmpk_ge_i32", compare_with_constant<ge_i, true>, 0},
    {"s_cmpk_eq_u32", compare_with_constant<eq, false>, 0},
    {"s_cmpk_lg_u32", compare_with_constant<ne, false>, 0},
    {"s_cmpk_lt_u32", compare_with_constant<lt_u, false>, 0},
    {"s_cmpk_le_u32", compare_with_constant<le_u, false>, 0},
    {"s_cmpk_gt_u32", compare_with_constant<gt_u, false>, 0},
    {"s_cmpk_ge_u32", compare_with_constant<ge_u, false>, 0},
};

}  // namespace

handler_family scalar_integer_family() { return entries; }

}  // namespace mhc::emulator
