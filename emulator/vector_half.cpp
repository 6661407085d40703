// emulator/vector_half.cpp -- fp16 arithmetic, and fp32 arithmetic that takes and gives fp16: v_fma_mix.
#include "emulator/handlers.hpp"
#include "emulator/lanes.hpp"
#include "emulator/numbers.hpp"

namespace mhc::emulator {
namespace {

u32 flushed_half(u32 bits) { return (bits & 0x7FFFU) < 0x0400U ? bits & 0x8000U : bits; }

/// A source of fp16 in every lane, as bits; op_sel has become a part of the operand when it was decoded.
const u32* read_half(const wave& w, const operation& op, const operand& from, row& buffer)
{
    const u32* bits = read(w, op, from, 0, buffer);
    const u32 keep = from.is_absolute ? 0x7FFFU : 0xFFFFU, flip = from.is_negated ? 0x8000U : 0;
    each_lane(w, [&](u32 i) { buffer[i] = (bits[i] & keep) ^ flip; });
    if (!w.half_and_double.in) each_lane(w, [&](u32 i) { buffer[i] = flushed_half(buffer[i]); });
    return buffer.at;
}

void write_half(wave& w, const operation& op, row& result)
{
    if (op.result_scale != 0) throw fault("results of fp16 are not scaled yet");
    if (op.clamps)
        for (u32 i = 0; i < w.lanes; ++i) {
            const float value = half_to_single(result[i]);
            result[i] = value > 0 ? (value < 1 ? result[i] : 0x3C00U) : 0;
        }
    if (!w.half_and_double.out) each_lane(w, [&](u32 i) { result[i] = flushed_half(result[i]); });
    write(w, op, result);
}

/// Of floats: the sum, product, quotient or root of halves is rounded right when it is rounded to float first.
template <auto F>
void unary(wave& w, const operation& op)
{
    row buffer, result;
    const u32* a = read_half(w, op, op.from[0], buffer);
    for (u32 i = 0; i < w.lanes; ++i) result[i] = single_to_half(F(half_to_single(a[i])));
    write_half(w, op, result);
}
template <auto F>
void binary(wave& w, const operation& op)
{
    row buffer_a, buffer_b, result;
    const u32* a = read_half(w, op, op.from[0], buffer_a);
    const u32* b = read_half(w, op, op.from[1], buffer_b);
    for (u32 i = 0; i < w.lanes; ++i) result[i] = single_to_half(F(half_to_single(a[i]), half_to_single(b[i])));
    write_half(w, op, result);
}

/// v_mad_f16 and its kind: as those of fp32, two roundings and never a denormal.
void multiply_then_add(wave& w, const operation& op, const operand& addend)
{
    row buffer_a, buffer_b, buffer_c, result;
    const u32* a = read_half(w, op, op.from[0], buffer_a);
    const u32* b = read_half(w, op, op.from[1], buffer_b);
    const u32* c = read_half(w, op, addend, buffer_c);
    const auto value = [](u32 bits) { return half_to_single(flushed_half(bits)); };
    for (u32 i = 0; i < w.lanes; ++i) {
        const u32 product = single_to_half(value(a[i]) * value(b[i]));
        result[i] = flushed_half(single_to_half(value(product) + value(c[i])));
    }
    write_half(w, op, result);
}
void mad(wave& w, const operation& op) { multiply_then_add(w, op, op.from[2]); }
void mac(wave& w, const operation& op) { multiply_then_add(w, op, op.to[0]); }

void fused(wave& w, const operation& op, const operand& addend)
{
    row buffer_a, buffer_b, buffer_c, result;
    const u32* a = read_half(w, op, op.from[0], buffer_a);
    const u32* b = read_half(w, op, op.from[1], buffer_b);
    const u32* c = read_half(w, op, addend, buffer_c);
    for (u32 i = 0; i < w.lanes; ++i)
        result[i] = double_to_half(fma_to_odd(half_to_single(a[i]), half_to_single(b[i]), half_to_single(c[i])));
    write_half(w, op, result);
}
void fma(wave& w, const operation& op) { fused(w, op, op.from[2]); }
void fmac(wave& w, const operation& op) { fused(w, op, op.to[0]); }

/// One source of v_fma_mix: op_sel_hi says that it is a half, op_sel which one.
const u32* read_mixed(const wave& w, const operation& op, u32 number, row& buffer)
{
    operand from = op.from[number];
    const bool is_half = (op.op_sel_hi >> number & 1) != 0;
    const bool is_negated = from.is_negated, is_absolute = from.is_absolute;
    if (is_half && from.kind == operand_kind::constant) throw fault("a constant of fp16 in a mixed fma is not modelled");
    if (!is_half) return read_single(w, op, from, buffer);
    from.is_negated = from.is_absolute = false;
    const u32* words = read(w, op, from, 0, buffer);
    const u32 shift = (op.op_sel >> number & 1) != 0 ? 16 : 0;
    const bool flushes = !w.half_and_double.in;
    each_lane(w, [&](u32 i) {
        const u32 bits = words[i] >> shift & 0xFFFFU;
#if defined(__F16C__)
        buffer[i] = to_bits(_cvtsh_ss(static_cast<u16>(flushes ? flushed_half(bits) : bits)));
#else
        buffer[i] = to_bits(half_to_single(flushes ? flushed_half(bits) : bits));
#endif
    });
    const u32 keep = is_absolute ? ~sign_bit : ~0U, flip = is_negated ? sign_bit : 0;
    each_lane(w, [&](u32 i) { buffer[i] = (buffer[i] & keep) ^ flip; });
    return buffer.at;
}

void fma_mixed(wave& w, const operation& op)
{
    row buffer_a, buffer_b, buffer_c, result;
    const u32* a = read_mixed(w, op, 0, buffer_a);
    const u32* b = read_mixed(w, op, 1, buffer_b);
    const u32* c = read_mixed(w, op, 2, buffer_c);
    each_lane(w, [&](u32 i) { result[i] = to_bits(__builtin_fmaf(to_float(a[i]), to_float(b[i]), to_float(c[i]))); });
    write_single(w, op, result);
}

/// The sum rounded to fp16, once, into one half of the destination; the other half stays.
template <bool IsHigh>
void fma_mixed_to_half(wave& w, const operation& op)
{
    if (op.clamps) throw fault("a mixed fma that clamps is not modelled");
    row buffer_a, buffer_b, buffer_c, result;
    const u32* a = read_mixed(w, op, 0, buffer_a);
    const u32* b = read_mixed(w, op, 1, buffer_b);
    const u32* c = read_mixed(w, op, 2, buffer_c);
    const u32* before = w.vector(op.to[0].index);
    for (u32 i = 0; i < w.lanes; ++i) {
        u32 half = double_to_half(fma_to_odd(to_float(a[i]), to_float(b[i]), to_float(c[i])));
        if (!w.half_and_double.out) half = flushed_half(half);
        result[i] = IsHigh ? (before[i] & 0xFFFFU) | half << 16 : (before[i] & 0xFFFF0000U) | half;
    }
    write(w, op, result);
}

float larger_float(float a, float b) { return to_float(larger(to_bits(a), to_bits(b))); }
float smaller_float(float a, float b) { return to_float(smaller(to_bits(a), to_bits(b))); }

const handler_entry entries[] = {
    {"v_add_f16", binary<[](float a, float b) { return a + b; }>},
    {"v_sub_f16", binary<[](float a, float b) { return a - b; }>},
    {"v_subrev_f16", binary<[](float a, float b) { return b - a; }>},
    {"v_mul_f16", binary<[](float a, float b) { return a * b; }>},
    {"v_max_f16", binary<larger_float>},
    {"v_min_f16", binary<smaller_float>},
    {"v_fma_f16", fma},
    {"v_fmaak_f16", fma},
    {"v_fmamk_f16", fma},
    {"v_fmac_f16", fmac},
    {"v_mad_f16", mad},
    {"v_mad_legacy_f16", mad},
    {"v_madak_f16", mad},
    {"v_madmk_f16", mad},
    {"v_mac_f16", mac},
    {"v_rcp_f16", unary<[](float a) { return 1.0F / a; }>},
    {"v_sqrt_f16", unary<[](float a) { return __builtin_sqrtf(a); }>},
    {"v_trunc_f16", unary<[](float a) { return __builtin_truncf(a); }>},
    {"v_floor_f16", unary<[](float a) { return __builtin_floorf(a); }>},
    {"v_ceil_f16", unary<[](float a) { return __builtin_ceilf(a); }>},
    {"v_rndne_f16", unary<[](float a) { return __builtin_rintf(a); }>},
    {"v_fma_mix_f32", fma_mixed},
    {"v_fma_mixlo_f16", fma_mixed_to_half<false>},
    {"v_fma_mixhi_f16", fma_mixed_to_half<true>},
};

}  // namespace

handler_family vector_half_family() { return entries; }

}  // namespace mhc::emulator
