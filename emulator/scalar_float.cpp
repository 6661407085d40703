// emulator/scalar_float.cpp -- fp32 on scalars: gfx11.5 and gfx12.
#include "emulator/handlers.hpp"
#include "emulator/lanes.hpp"
#include "emulator/numbers.hpp"

namespace mhc::emulator {
namespace {

float source(const wave& w, const operand& from)
{
    const u32 bits = scalar_word(w, from);
    return to_float(w.single.in ? bits : flushed(bits));
}
void give(wave& w, const operand& to, float value)
{
    const u32 bits = to_bits(value);
    w.set_scalar(to.index, w.single.out ? bits : flushed(bits));
}

template <auto F>
void unary(wave& w, const operation& op)
{
    give(w, op.to[0], F(source(w, op.from[0])));
}
template <auto F>
void binary(wave& w, const operation& op)
{
    give(w, op.to[0], F(source(w, op.from[0]), source(w, op.from[1])));
}
void fma(wave& w, const operation& op)
{
    give(w, op.to[0], __builtin_fmaf(source(w, op.from[0]), source(w, op.from[1]), source(w, op.from[2])));
}
void fma_to_destination(wave& w, const operation& op)
{
    give(w, op.to[0], __builtin_fmaf(source(w, op.from[0]), source(w, op.from[1]), source(w, op.to[0])));
}
template <auto F>
void compare(wave& w, const operation& op)
{
    w.scc = F(source(w, op.from[0]), source(w, op.from[1]));
}
template <auto F>
void from_word(wave& w, const operation& op)
{
    give(w, op.to[0], F(scalar_word(w, op.from[0])));
}
template <auto F>
void to_word(wave& w, const operation& op)
{
    w.set_scalar(op.to[0].index, F(source(w, op.from[0])));
}
/// v_s_sqrt_f32 and its kind: the vector unit's functions, of a scalar.
template <auto F>
void from_double(wave& w, const operation& op)
{
    float a = to_float(scalar_word(w, op.from[0]));
    if (op.from[0].is_absolute) a = std::fabs(a);
    if (op.from[0].is_negated) a = -a;
    if (op.clamps || op.result_scale != 0) throw fault("a scalar function that clamps or scales is not modelled");
    give(w, op.to[0], static_cast<float>(F(static_cast<double>(w.single.in ? a : to_float(flushed(to_bits(a)))))));
}

u32 to_signed(float v)
{
    if (v != v) return 0;
    if (v >= 0x1p31F) return 0x7FFFFFFFU;
    return v <= -0x1p31F ? 0x80000000U : static_cast<u32>(static_cast<i32>(v));
}
u32 to_unsigned(float v)
{
    if (!(v > 0)) return 0;
    return v >= 0x1p32F ? 0xFFFFFFFFU : static_cast<u32>(static_cast<i64>(v));
}

const handler_entry entries[] = {
    {"s_add_f32", binary<[](float a, float b) { return a + b; }>},
    {"s_sub_f32", binary<[](float a, float b) { return a - b; }>},
    {"s_mul_f32", binary<[](float a, float b) { return a * b; }>},
    {"s_max_f32", binary<[](float a, float b) { return to_float(larger(to_bits(a), to_bits(b))); }>},
    {"s_min_f32", binary<[](float a, float b) { return to_float(smaller(to_bits(a), to_bits(b))); }>},
    {"s_fmac_f32", fma_to_destination},
    {"s_fmaak_f32", fma},
    {"s_fmamk_f32", fma},
    {"s_trunc_f32", unary<[](float a) { return __builtin_truncf(a); }>},
    {"s_floor_f32", unary<[](float a) { return __builtin_floorf(a); }>},
    {"s_ceil_f32", unary<[](float a) { return __builtin_ceilf(a); }>},
    {"s_rndne_f32", unary<[](float a) { return __builtin_rintf(a); }>},
    {"s_cvt_f32_i32", from_word<[](u32 a) { return static_cast<float>(static_cast<i32>(a)); }>},
    {"s_cvt_f32_u32", from_word<[](u32 a) { return static_cast<float>(a); }>},
    {"s_cvt_i32_f32", to_word<to_signed>},
    {"s_cvt_u32_f32", to_word<to_unsigned>},
    {"s_cvt_f32_f16", from_word<[](u32 a) { return half_to_single(a & 0xFFFFU); }>},
    {"s_cvt_hi_f32_f16", from_word<[](u32 a) { return (half_to_single(a >> 16)); }>},
    {"s_cvt_f16_f32", to_word<single_to_half>},
    {"s_cmp_lt_f32", compare<[](float a, float b) { return a < b; }>, 0},
    {"s_cmp_eq_f32", compare<[](float a, float b) { return a == b; }>, 0},
    {"s_cmp_le_f32", compare<[](float a, float b) { return a <= b; }>, 0},
    {"s_cmp_gt_f32", compare<[](float a, float b) { return (a > b); }>, 0},
    {"s_cmp_lg_f32", compare<[](float a, float b) { return (a < b || a > b); }>, 0},
    {"s_cmp_ge_f32", compare<[](float a, float b) { return (a >= b); }>, 0},
    {"s_cmp_o_f32", compare<[](float a, float b) { return a == a && b == b; }>, 0},
    {"s_cmp_u_f32", compare<[](float a, float b) { return a != a || b != b; }>, 0},
    {"s_cmp_nge_f32", compare<[](float a, float b) { return (!(a >= b)); }>, 0},
    {"s_cmp_nlg_f32", compare<[](float a, float b) { return (!(a < b || a > b)); }>, 0},
    {"s_cmp_ngt_f32", compare<[](float a, float b) { return (!(a > b)); }>, 0},
    {"s_cmp_nle_f32", compare<[](float a, float b) { return !(a <= b); }>, 0},
    {"s_cmp_neq_f32", compare<[](float a, float b) { return a != b; }>, 0},
    {"s_cmp_nlt_f32", compare<[](float a, float b) { return !(a < b); }>, 0},
    {"v_s_sqrt_f32", from_double<[](double a) { return __builtin_sqrt(a); }>},
    {"v_s_rcp_f32", from_double<[](double a) { return 1.0 / a; }>},
    {"v_s_rsq_f32", from_double<[](double a) { return 1.0 / __builtin_sqrt(a); }>},
};

}  // namespace

handler_family scalar_float_family() { return entries; }

}  // namespace mhc::emulator
