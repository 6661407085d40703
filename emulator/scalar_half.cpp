// emulator/scalar_half.cpp -- fp16 on scalars: gfx11.5 and gfx12.
#include "emulator/handlers.hpp"
#include "emulator/lanes.hpp"
#include "emulator/numbers.hpp"

namespace mhc::emulator {
namespace {

u32 flushed_half(u32 bits) { return (bits & 0x7FFFU) < 0x0400U ? bits & 0x8000U : bits; }

float source(const wave& w, const operand& from)
{
    const u32 bits = scalar_word(w, from) & 0xFFFFU;
    return half_to_single(w.half_and_double.in ? bits : flushed_half(bits));
}
void give(wave& w, const operand& to, u32 bits)
{
    w.set_scalar(to.index, w.half_and_double.out ? bits : flushed_half(bits));
}

/// Sums and products of halves are rounded right when they are rounded to float first.
template <auto F>
void unary(wave& w, const operation& op)
{
    give(w, op.to[0], single_to_half(F(source(w, op.from[0]))));
}
template <auto F>
void binary(wave& w, const operation& op)
{
    give(w, op.to[0], single_to_half(F(source(w, op.from[0]), source(w, op.from[1]))));
}
void fma_to_destination(wave& w, const operation& op)
{
    const double sum = fma_to_odd(source(w, op.from[0]), source(w, op.from[1]), source(w, op.to[0]));
    give(w, op.to[0], double_to_half(sum));
}
template <auto F>
void compare(wave& w, const operation& op)
{
    w.scc = F(source(w, op.from[0]), source(w, op.from[1]));
}

const handler_entry entries[] = {
    {"s_add_f16", binary<[](float a, float b) { return a + b; }>},
    {"s_sub_f16", binary<[](float a, float b) { return a - b; }>},
    {"s_mul_f16", binary<[](float a, float b) { return a * b; }>},
    {"s_max_f16", binary<[](float a, float b) { return to_float(larger(to_bits(a), to_bits(b))); }>},
    {"s_min_f16", binary<[](float a, float b) { return to_float(smaller(to_bits(a), to_bits(b))); }>},
    {"s_fmac_f16", fma_to_destination},
    {"s_trunc_f16", unary<[](float a) { return __builtin_truncf(a); }>},
    {"s_floor_f16", unary<[](float a) { return __builtin_floorf(a); }>},
    {"s_ceil_f16", unary<[](float a) { return __builtin_ceilf(a); }>},
    {"s_rndne_f16", unary<[](float a) { return __builtin_rintf(a); }>},
    {"s_cmp_lt_f16", compare<[](float a, float b) { return a < b; }>, 0},
    {"s_cmp_eq_f16", compare<[](float a, float b) { return a == b; }>, 0},
    {"s_cmp_le_f16", compare<[](float a, float b) { return a <= b; }>, 0},
    {"s_cmp_gt_f16", compare<[](float a, float b) { return (a > b); }>, 0},
    {"s_cmp_lg_f16", compare<[](float a, float b) { return (a < b || a > b); }>, 0},
    {"s_cmp_ge_f16", compare<[](float a, float b) { return (a >= b); }>, 0},
    {"s_cmp_o_f16", compare<[](float a, float b) { return a == a && b == b; }>, 0},
    {"s_cmp_u_f16", compare<[](float a, float b) { return a != a || b != b; }>, 0},
    {"s_cmp_nge_f16", compare<[](float a, float b) { return (!(a >= b)); }>, 0},
    {"s_cmp_nlg_f16", compare<[](float a, float b) { return (!(a < b || a > b)); }>, 0},
    {"s_cmp_ngt_f16", compare<[](float a, float b) { return (!(a > b)); }>, 0},
    {"s_cmp_nle_f16", compare<[](float a, float b) { return !(a <= b); }>, 0},
    {"s_cmp_neq_f16", compare<[](float a, float b) { return a != b; }>, 0},
    {"s_cmp_nlt_f16", compare<[](float a, float b) { return !(a < b); }>, 0},
};

}  // namespace

handler_family scalar_half_family() { return entries; }

}  // namespace mhc::emulator
