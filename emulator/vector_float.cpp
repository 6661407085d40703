// emulator/vector_float.cpp -- fp32 and fp64 arithmetic, one number a lane.
#include "emulator/handlers.hpp"
#include "emulator/lanes.hpp"
#include "emulator/numbers.hpp"

namespace mhc::emulator {
namespace {

template <auto F>
void unary(wave& w, const operation& op)
{
    row buffer, result;
    const u32* a = read_single(w, op, op.from[0], buffer);
    each_lane(w, [&](u32 i) { result[i] = to_bits(F(to_float(a[i]))); });
    write_single(w, op, result);
}

template <auto F>
void binary(wave& w, const operation& op)
{
    row buffer_a, buffer_b, result;
    const u32* a = read_single(w, op, op.from[0], buffer_a);
    const u32* b = read_single(w, op, op.from[1], buffer_b);
    each_lane(w, [&](u32 i) { result[i] = to_bits(F(to_float(a[i]), to_float(b[i]))); });
    write_single(w, op, result);
}

/// Of the numbers' bits: what compares them.
template <auto F>
void binary_bits(wave& w, const operation& op)
{
    row buffer_a, buffer_b, result;
    const u32* a = read_single(w, op, op.from[0], buffer_a);
    const u32* b = read_single(w, op, op.from[1], buffer_b);
    each_lane(w, [&](u32 i) { result[i] = F(a[i], b[i]); });
    write_single(w, op, result);
}
template <auto F>
void ternary_bits(wave& w, const operation& op)
{
    row buffer_a, buffer_b, buffer_c, result;
    const u32* a = read_single(w, op, op.from[0], buffer_a);
    const u32* b = read_single(w, op, op.from[1], buffer_b);
    const u32* c = read_single(w, op, op.from[2], buffer_c);
    each_lane(w, [&](u32 i) { result[i] = F(a[i], b[i], c[i]); });
    write_single(w, op, result);
}

void fused(wave& w, const operation& op, const operand& x, const operand& y, const operand& z)
{
    row buffer_a, buffer_b, buffer_c, result;
    const u32* a = read_single(w, op, x, buffer_a);
    const u32* b = read_single(w, op, y, buffer_b);
    const u32* c = read_single(w, op, z, buffer_c);
    each_lane(w, [&](u32 i) { result[i] = to_bits(__builtin_fmaf(to_float(a[i]), to_float(b[i]), to_float(c[i]))); });
    write_single(w, op, result);
}

void fma(wave& w, const operation& op) { fused(w, op, op.from[0], op.from[1], op.from[2]); }  // and fmaak
void fma_to_destination(wave& w, const operation& op) { fused(w, op, op.from[0], op.from[1], op.to[0]); }
void fma_with_constant_factor(wave& w, const operation& op) { fused(w, op, op.from[0], op.from[1], op.from[2]); }

/// v_mad_f32 and v_mac_f32: two roundings, and never a denormal, whatever the mode says.
void multiply_then_add(wave& w, const operation& op, const operand& addend)
{
    row buffer_a, buffer_b, buffer_c, result;
    const u32* a = read_single(w, op, op.from[0], buffer_a);
    const u32* b = read_single(w, op, op.from[1], buffer_b);
    const u32* c = read_single(w, op, addend, buffer_c);
    each_lane(w, [&](u32 i) {
        const u32 product = flushed(to_bits(to_float(flushed(a[i])) * to_float(flushed(b[i]))));
        result[i] = flushed(to_bits(to_float(product) + to_float(flushed(c[i]))));
    });
    write_single(w, op, result);
}
void mad(wave& w, const operation& op) { multiply_then_add(w, op, op.from[2]); }
void mac(wave& w, const operation& op) { multiply_then_add(w, op, op.to[0]); }

void scale_by_power(wave& w, const operation& op)
{
    row buffer_a, buffer_b, result;
    const u32* a = read_single(w, op, op.from[0], buffer_a);
    const u32* b = read(w, op, op.from[1], 0, buffer_b);
    for (u32 i = 0; i < w.lanes; ++i) result[i] = to_bits(std::ldexp(to_float(a[i]), static_cast<i32>(b[i])));
    write_single(w, op, result);
}

/// The power of 2 that v_frexp_mant_f32's result is to be multiplied by.
void exponent_of(wave& w, const operation& op)
{
    row buffer, result;
    const u32* a = read_single(w, op, op.from[0], buffer);
    for (u32 i = 0; i < w.lanes; ++i) {
        int power = 0;
        if (std::isfinite(to_float(a[i]))) std::frexp(to_float(a[i]), &power);
        result[i] = static_cast<u32>(power);
    }
    write(w, op, result);
}

void write_double(wave& w, const operation& op, const row& low, row& high)
{
    if (op.result_scale != 0 || op.clamps) throw fault("results of fp64 are neither scaled nor clamped yet");
    write(w, op, low, 0);
    write(w, op, high, 1);
}

/// F takes and gives the bits of doubles.
template <auto F>
void unary_double(wave& w, const operation& op)
{
    wide_row a;
    row low, high;
    read_double(w, op, op.from[0], a);
    each_lane(w, [&](u32 i) {
        const u64 value = F(a[i]);
        low[i] = static_cast<u32>(value), high[i] = static_cast<u32>(value >> 32);
    });
    write_double(w, op, low, high);
}
template <auto F>
void binary_double(wave& w, const operation& op)
{
    wide_row a, b;
    row low, high;
    read_double(w, op, op.from[0], a);
    read_double(w, op, op.from[1], b);
    each_lane(w, [&](u32 i) {
        const u64 value = F(a[i], b[i]);
        low[i] = static_cast<u32>(value), high[i] = static_cast<u32>(value >> 32);
    });
    write_double(w, op, low, high);
}

void fused_double(wave& w, const operation& op, const operand& addend)
{
    wide_row a, b, c;
    row low, high;
    read_double(w, op, op.from[0], a);
    read_double(w, op, op.from[1], b);
    read_double(w, op, addend, c);
    each_lane(w, [&](u32 i) {
        const u64 value = to_bits(__builtin_fma(to_double(a[i]), to_double(b[i]), to_double(c[i])));
        low[i] = static_cast<u32>(value), high[i] = static_cast<u32>(value >> 32);
    });
    write_double(w, op, low, high);
}
void fma_double(wave& w, const operation& op) { fused_double(w, op, op.from[2]); }
void fmac_double(wave& w, const operation& op) { fused_double(w, op, op.to[0]); }

constexpr auto round_even = [](float a) { return __builtin_rintf(a); };

const handler_entry entries[] = {
    {"v_add_f32", binary<[](float a, float b) { return a + b; }>},
    {"v_sub_f32", binary<[](float a, float b) { return a - b; }>},
    {"v_subrev_f32", binary<[](float a, float b) { return b - a; }>},
    {"v_mul_f32", binary<[](float a, float b) { return a * b; }>},
    {"v_max_f32", binary_bits<[](u32 a, u32 b) { return larger(a, b); }>},
    {"v_min_f32", binary_bits<[](u32 a, u32 b) { return smaller(a, b); }>},
    {"v_max3_f32", ternary_bits<[](u32 a, u32 b, u32 c) { return larger(larger(a, b), c); }>},
    {"v_min3_f32", ternary_bits<[](u32 a, u32 b, u32 c) { return smaller(smaller(a, b), c); }>},
    {"v_med3_f32", ternary_bits<[](u32 a, u32 b, u32 c) { return middle(a, b, c); }>},
    {"v_maxmin_f32", ternary_bits<[](u32 a, u32 b, u32 c) { return smaller(larger(a, b), c); }>},
    {"v_minmax_f32", ternary_bits<[](u32 a, u32 b, u32 c) { return larger(smaller(a, b), c); }>},
    {"v_fma_f32", fma},
    {"v_fmaak_f32", fma},
    {"v_fmamk_f32", fma_with_constant_factor},
    {"v_fmac_f32", fma_to_destination},
    {"v_mad_f32", mad},
    {"v_madak_f32", mad},
    {"v_madmk_f32", mad},
    {"v_mac_f32", mac},
    {"v_trunc_f32", unary<[](float a) { return __builtin_truncf(a); }>},
    {"v_floor_f32", unary<[](float a) { return __builtin_floorf(a); }>},
    {"v_ceil_f32", unary<[](float a) { return __builtin_ceilf(a); }>},
    {"v_rndne_f32", unary<round_even>},
    {"v_ldexp_f32", scale_by_power},
    {"v_fract_f32", unary<[](float a) { return std::isinf(a) ? a - a : std::fmin(a - std::floor(a), 0x1.fffffep-1F); }>},
    {"v_frexp_mant_f32", unary<[](float a) {
         int unused = 0;
         return std::isfinite(a) ? std::frexp(a, &unused) : a;
     }>},
    {"v_frexp_exp_i32_f32", exponent_of},
    {"v_add_f64", binary_double<[](u64 a, u64 b) { return to_bits(to_double(a) + to_double(b)); }>},
    {"v_mul_f64", binary_double<[](u64 a, u64 b) { return to_bits(to_double(a) * to_double(b)); }>},
    {"v_max_f64", binary_double<[](u64 a, u64 b) { return larger_double(a, b); }>},
    {"v_min_f64", binary_double<[](u64 a, u64 b) { return smaller_double(a, b); }>},
    {"v_fma_f64", fma_double},
    {"v_fmac_f64", fmac_double},
    {"v_trunc_f64", unary_double<[](u64 a) { return to_bits(__builtin_trunc(to_double(a))); }>},
    {"v_floor_f64", unary_double<[](u64 a) { return to_bits(__builtin_floor(to_double(a))); }>},
    {"v_ceil_f64", unary_double<[](u64 a) { return to_bits(__builtin_ceil(to_double(a))); }>},
    {"v_rndne_f64", unary_double<[](u64 a) { return to_bits(__builtin_rint(to_double(a))); }>},
};

}  // namespace

handler_family vector_float_family() { return entries; }

}  // namespace mhc::emulator
