// emulator/vector_division.cpp -- reciprocals, roots, powers and logarithms, and the three steps round a division.
//
// The ISA gives v_rcp, v_rsq, v_sqrt, v_exp and v_log an error of 1 unit in the last place; here they are rounded once from
// double. The steps of division follow the pseudo-code of the RDNA3 and MI300 ISA documents.
#include "emulator/handlers.hpp"
#include "emulator/lanes.hpp"
#include "emulator/numbers.hpp"

namespace mhc::emulator {
namespace {

template <auto F>
void from_double(wave& w, const operation& op)
{
    row buffer, result;
    const u32* a = read_single(w, op, op.from[0], buffer);
    each_lane(w, [&](u32 i) { result[i] = to_bits(static_cast<float>(F(static_cast<double>(to_float(a[i]))))); });
    write_single(w, op, result);
}

/// v_exp_f32 and v_log_f32 take no denormals and give none: compilers scale around them.
template <auto F>
void without_denormals(wave& w, const operation& op)
{
    row buffer, result;
    const u32* a = read_single(w, op, op.from[0], buffer);
    for (u32 i = 0; i < w.lanes; ++i)
        result[i] = flushed(to_bits(static_cast<float>(F(static_cast<double>(to_float(flushed(a[i])))))));
    write_single(w, op, result);
}

i32 exponent(u32 bits) { return static_cast<i32>(bits >> 23 & 0xFFU); }
bool is_denormal(float v) { return v != 0 && std::fabs(v) < 0x1p-126F; }

/// One of the operands of numerator / denominator, scaled so that the steps in between neither overflow nor lose bits; and
/// whether the quotient must be scaled back.
u32 scaled_for_division(u32 chosen, u32 denominator, u32 numerator, bool& scales_back)
{
    const float d = to_float(denominator), n = to_float(numerator), value = to_float(chosen);
    const auto up = [&] { return to_bits(value * 0x1p64F); };
    scales_back = false;
    if (n == 0 || d == 0) return 0x7FC00000U;
    if (exponent(numerator) - exponent(denominator) >= 96) {  // a quotient near the largest float
        scales_back = true;
        return chosen == denominator ? up() : chosen;
    }
    if (is_denormal(d)) return up();
    const bool is_reciprocal_denormal = is_denormal(1.0F / d), is_quotient_denormal = is_denormal(n / d);
    const auto down = [&] { return to_bits(value * 0x1p-64F); };
    if (is_reciprocal_denormal && is_quotient_denormal) {
        // The documents scale up here, to infinity; only down can be meant, and gives the right quotients.
        scales_back = true;
        return chosen == denominator ? down() : chosen;
    }
    if (is_reciprocal_denormal) return down();
    if (is_quotient_denormal) {
        scales_back = true;
        return chosen == numerator ? up() : chosen;
    }
    if (exponent(numerator) <= 23) return up();  // a tiny numerator
    return chosen;
}

void division_scale(wave& w, const operation& op)
{
    row buffer_a, buffer_b, buffer_c, result, back;
    const u32* chosen = read_signed(w, op, op.from[0], buffer_a);
    const u32* denominator = read_signed(w, op, op.from[1], buffer_b);
    const u32* numerator = read_signed(w, op, op.from[2], buffer_c);
    for (u32 i = 0; i < w.lanes; ++i) {
        bool scales_back = false;
        result[i] = scaled_for_division(chosen[i], denominator[i], numerator[i], scales_back);
        back[i] = scales_back ? 1 : 0;
    }
    const u64 mask = packed(w, back) & w.exec();
    write(w, op, result);
    w.set_mask(op.to[1].index, mask);
}

void division_fma(wave& w, const operation& op)
{
    row buffer_a, buffer_b, buffer_c, result;
    const u32* a = read_signed(w, op, op.from[0], buffer_a);
    const u32* b = read_signed(w, op, op.from[1], buffer_b);
    const u32* c = read_signed(w, op, op.from[2], buffer_c);
    const u64 scales = w.vcc();
    each_lane(w, [&](u32 i) { result[i] = to_bits(__builtin_fmaf(to_float(a[i]), to_float(b[i]), to_float(c[i]))); });
    for (u64 left = scales & w.all_lanes(); left != 0; left &= left - 1) {
        const auto i = static_cast<u32>(std::countr_zero(left));
        // Rounded once, after the scaling: a quotient may be denormal.
        const double exact = fma_to_odd(to_float(a[i]), to_float(b[i]), to_float(c[i]));
        result[i] = to_bits(static_cast<float>(exact * (exponent(c[i]) > 127 ? 0x1p64 : 0x1p-64)));
    }
    write_single(w, op, result);
}

/// The quotient with the special cases of numerator / denominator put right.
u32 fixed_quotient(u32 quotient, u32 denominator, u32 numerator)
{
    const u32 sign = (denominator ^ numerator) & sign_bit;
    const u32 d = denominator & ~sign_bit, n = numerator & ~sign_bit;
    constexpr u32 infinity = 0x7F800000U;
    if (n > infinity) return quieted(numerator);
    if (d > infinity) return quieted(denominator);
    if ((d == 0 && n == 0) || (d == infinity && n == infinity)) return 0xFFC00000U;
    if (d == 0 || n == infinity) return sign | infinity;
    if (d == infinity || n == 0 || exponent(n) - exponent(d) < -150) return sign;
    if (is_nan(quotient)) return sign | infinity;  // infinity minus infinity on the way: it overflowed
    return sign | (quotient & ~sign_bit);
}

void division_fixup(wave& w, const operation& op)
{
    row buffer_a, buffer_b, buffer_c, result;
    const u32* quotient = read_signed(w, op, op.from[0], buffer_a);
    const u32* denominator = read_signed(w, op, op.from[1], buffer_b);
    const u32* numerator = read_signed(w, op, op.from[2], buffer_c);
    for (u32 i = 0; i < w.lanes; ++i) result[i] = fixed_quotient(quotient[i], denominator[i], numerator[i]);
    write_single(w, op, result);
}

const handler_entry entries[] = {
    {"v_rcp_f32", from_double<[](double a) { return 1.0 / a; }>},
    {"v_rcp_iflag_f32", from_double<[](double a) { return 1.0 / a; }>},
    {"v_sqrt_f32", from_double<[](double a) { return __builtin_sqrt(a); }>},
    {"v_rsq_f32", from_double<[](double a) { return 1.0 / __builtin_sqrt(a); }>},
    {"v_exp_f32", without_denormals<[](double a) { return std::exp2(a); }>},
    {"v_log_f32", without_denormals<[](double a) { return std::log2(a); }>},
    {"v_sin_f32", without_denormals<[](double a) { return std::sin(a * 6.283185307179586); }>},
    {"v_cos_f32", without_denormals<[](double a) { return std::cos(a * 6.283185307179586); }>},
    {"v_div_scale_f32", division_scale, 2},
    {"v_div_fmas_f32", division_fma},
    {"v_div_fixup_f32", division_fixup},
};

}  // namespace

handler_family vector_division_family() { return entries; }

}  // namespace mhc::emulator
