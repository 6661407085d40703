// emulator/vector_double.cpp -- fp64 beyond arithmetic: reciprocals and roots, the steps of a division, parts of numbers.
//
// v_rcp_f64, v_rsq_f64 and v_sqrt_f64 are approximations to some 2^-24 or better on hardware, made exact by the steps that
// compilers put behind them; here they are rounded once. The steps of division follow the pseudo-code of the MI300 ISA
// document, as those of fp32 do.
#include <cmath>

#include "emulator/handlers.hpp"
#include "emulator/lanes.hpp"
#include "emulator/numbers.hpp"

namespace mhc::emulator {
namespace {

void write_wide(wave& w, const operation& op, const u64* values)
{
    if (op.result_scale != 0 || op.clamps) throw fault("results of fp64 are neither scaled nor clamped yet");
    row low, high;
    for (u32 i = 0; i < w.lanes; ++i) low[i] = static_cast<u32>(values[i]), high[i] = static_cast<u32>(values[i] >> 32);
    write(w, op, low, 0);
    write(w, op, high, 1);
}

template <auto F>
void unary(wave& w, const operation& op)
{
    wide_row a;
    u64 values[lanes_max];
    read_double(w, op, op.from[0], a);
    for (u32 i = 0; i < w.lanes; ++i) values[i] = to_bits(F(to_double(a[i])));
    write_wide(w, op, values);
}
template <auto F>
void to_word(wave& w, const operation& op)
{
    wide_row a;
    row result;
    read_double(w, op, op.from[0], a);
    for (u32 i = 0; i < w.lanes; ++i) result[i] = F(to_double(a[i]));
    write(w, op, result);
}

void scale_by_power(wave& w, const operation& op)
{
    wide_row a;
    row buffer;
    u64 values[lanes_max];
    read_double(w, op, op.from[0], a);
    const u32* by = read(w, op, op.from[1], 0, buffer);
    for (u32 i = 0; i < w.lanes; ++i) values[i] = to_bits(std::ldexp(to_double(a[i]), static_cast<i32>(by[i])));
    write_wide(w, op, values);
}

i32 exponent(u64 bits) { return static_cast<i32>(bits >> 52 & 0x7FFU); }
bool is_denormal(double v) { return v != 0 && std::fabs(v) < 0x1p-1022; }

u64 scaled_for_division(u64 chosen, u64 denominator, u64 numerator, bool& scales_back)
{
    const double d = to_double(denominator), n = to_double(numerator), value = to_double(chosen);
    const auto up = [&] { return to_bits(value * 0x1p128); };
    scales_back = false;
    if (n == 0 || d == 0) return 0x7FF8000000000000U;
    if (exponent(numerator) - exponent(denominator) >= 768) {
        scales_back = true;
        return chosen == denominator ? up() : chosen;
    }
    if (is_denormal(d)) return up();
    const bool is_reciprocal_denormal = is_denormal(1.0 / d), is_quotient_denormal = is_denormal(n / d);
    const auto down = [&] { return to_bits(value * 0x1p-128); };
    if (is_reciprocal_denormal && is_quotient_denormal) {  // as with fp32, only down can be meant
        scales_back = true;
        return chosen == denominator ? down() : chosen;
    }
    if (is_reciprocal_denormal) return down();
    if (is_quotient_denormal) {
        scales_back = true;
        return chosen == numerator ? up() : chosen;
    }
    if (exponent(numerator) <= 53) return up();
    return chosen;
}

void division_scale(wave& w, const operation& op)
{
    wide_row chosen, denominator, numerator;
    row back;
    u64 values[lanes_max];
    read_double(w, op, op.from[0], chosen);
    read_double(w, op, op.from[1], denominator);
    read_double(w, op, op.from[2], numerator);
    for (u32 i = 0; i < w.lanes; ++i) {
        bool scales_back = false;
        values[i] = scaled_for_division(chosen[i], denominator[i], numerator[i], scales_back);
        back[i] = scales_back ? 1 : 0;
    }
    const u64 mask = packed(w, back) & w.exec();
    write_wide(w, op, values);
    w.set_mask(op.to[1].index, mask);
}

/// What fma(a, b, c) lost when it was rounded to `sum`, up to a rounding of its own.
double lost_by_fma(double a, double b, double c, double sum)
{
    const double product = a * b, product_rest = std::fma(a, b, -product);
    const double both = product + c, back = both - product;
    const double both_rest = (product - (both - back)) + (c - back);
    return (both - sum) + both_rest + product_rest;
}

/// (a * b + c) * 2^-128, rounded once where that is denormal.
double scaled_down_fma(double a, double b, double c)
{
    constexpr double least_normal = 0x1p-894, last_place = 0x1p-946;  // of the result, before it is scaled
    const double sum = std::fma(a, b, c), size = std::fabs(sum);
    if (!(size < least_normal)) return sum * 0x1p-128;
    double lost = lost_by_fma(a, b, c, sum);
    if (sum < 0) lost = -lost;
    double rounded = least_normal + size;  // cuts at last_place
    const double rest = size - (rounded - least_normal);
    if (rest == last_place / 2 && lost > 0) rounded += last_place;  // it was no tie
    if (rest == -last_place / 2 && lost < 0) rounded -= last_place;
    return std::copysign(rounded - least_normal, sum) * 0x1p-128;
}

void division_fma(wave& w, const operation& op)
{
    wide_row a, b, c;
    u64 values[lanes_max];
    read_double(w, op, op.from[0], a);
    read_double(w, op, op.from[1], b);
    read_double(w, op, op.from[2], c);
    const u64 scales = w.vcc();
    for (u32 i = 0; i < w.lanes; ++i) {
        const double x = to_double(a[i]), y = to_double(b[i]), z = to_double(c[i]);
        const bool is_scaled = (scales >> i & 1) != 0;
        const double up = is_scaled ? 0x1p128 : 1.0;
        const bool goes_down = is_scaled && exponent(c[i]) <= 1023;
        values[i] = to_bits(goes_down ? scaled_down_fma(x, y, z) : std::fma(x, y, z) * up);
    }
    write_wide(w, op, values);
}

u64 fixed_quotient(u64 quotient, u64 denominator, u64 numerator)
{
    constexpr u64 sign_of = u64{1} << 63, infinity = 0x7FF0000000000000U, quiet = u64{1} << 51;
    const u64 sign = (denominator ^ numerator) & sign_of;
    const u64 d = denominator & ~sign_of, n = numerator & ~sign_of;
    if (n > infinity) return numerator | quiet;
    if (d > infinity) return denominator | quiet;
    if ((d == 0 && n == 0) || (d == infinity && n == infinity)) return infinity | quiet | sign_of;
    if (d == 0 || n == infinity) return sign | infinity;
    if (d == infinity || n == 0 || exponent(n) - exponent(d) < -1075) return sign;
    if ((quotient & ~sign_of) > infinity) return sign | infinity;  // it overflowed on the way
    return sign | (quotient & ~sign_of);
}
void division_fixup(wave& w, const operation& op)
{
    wide_row quotient, denominator, numerator;
    u64 values[lanes_max];
    read_double(w, op, op.from[0], quotient);
    read_double(w, op, op.from[1], denominator);
    read_double(w, op, op.from[2], numerator);
    for (u32 i = 0; i < w.lanes; ++i) values[i] = fixed_quotient(quotient[i], denominator[i], numerator[i]);
    write_wide(w, op, values);
}

u32 to_signed(double v)
{
    if (v != v) return 0;
    return static_cast<u32>(static_cast<i32>(v < INT32_MIN ? INT32_MIN : v > INT32_MAX ? INT32_MAX : v));
}
u32 to_unsigned(double v) { return v > 0 ? (v >= 0x1p32 ? ~0U : static_cast<u32>(v)) : 0; }

const handler_entry entries[] = {
    {"v_rcp_f64", unary<[](double a) { return 1.0 / a; }>},
    {"v_rsq_f64", unary<[](double a) { return 1.0 / std::sqrt(a); }>},
    {"v_sqrt_f64", unary<[](double a) { return std::sqrt(a); }>},
    {"v_ldexp_f64", scale_by_power},
    {"v_frexp_mant_f64", unary<[](double a) {
         int unused = 0;
         return std::isfinite(a) ? std::frexp(a, &unused) : a;
     }>},
    {"v_frexp_exp_i32_f64", to_word<[](double a) {
         int power = 0;
         if (std::isfinite(a)) std::frexp(a, &power);
         return static_cast<u32>(power);
     }>},
    {"v_fract_f64",
     unary<[](double a) { return std::isinf(a) ? a - a : std::fmin(a - std::floor(a), 0x1.fffffffffffffp-1); }>},
    {"v_cvt_i32_f64", to_word<to_signed>},
    {"v_cvt_u32_f64", to_word<to_unsigned>},
    {"v_div_scale_f64", division_scale, 2},
    {"v_div_fmas_f64", division_fma},
    {"v_div_fixup_f64", division_fixup},
};

}  // namespace

handler_family vector_double_family() { return entries; }

}  // namespace mhc::emulator
