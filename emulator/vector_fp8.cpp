// emulator/vector_fp8.cpp -- fp8 and bf8 to and from fp32: without infinities and with one zero ("fnuz") on gfx942, as OCP
// has them on gfx12.
//
// A number too large becomes NaN, or OCP bf8's infinity: the mode bit that would clamp it instead is not modelled, and
// compilers clamp beforehand. Random rounding (v_cvt_sr) is not modelled.
#include "emulator/handlers.hpp"
#include "emulator/lanes.hpp"
#include "emulator/matrix_numbers.hpp"

namespace mhc::emulator {
namespace {

/// The value of each code, and how far the largest one reaches.
struct byte_format {
    u32 last;  ///< code of the largest number
    u32 fraction_bits;
    i32 bias;
    u32 nan, overflow;  ///< without sign
    bool has_one_zero;

    double value(u32 code) const  // of a number
    {
        const u32 fraction = code & ((1U << fraction_bits) - 1), field = (code & 0x7FU) >> fraction_bits;
        const u32 size = field == 0 ? fraction : fraction | 1U << fraction_bits;
        const i32 power = static_cast<i32>(field == 0 ? 1 : field) - bias - static_cast<i32>(fraction_bits);
        return std::ldexp(static_cast<double>(size), power);
    }
};
constexpr byte_format fp8_fnuz{0x7F, 3, 8, 0x80, 0x80, true}, bf8_fnuz{0x7F, 2, 16, 0x80, 0x80, true};
constexpr byte_format fp8_ocp{0x7E, 3, 7, 0x7F, 0x7F, false}, bf8_ocp{0x7B, 2, 15, 0x7F, 0x7C, false};

template <bool IsBf8>
const byte_format& format_for(const operation& op)
{
    if (op.generation < 10) return IsBf8 ? bf8_fnuz : fp8_fnuz;
    return IsBf8 ? bf8_ocp : fp8_ocp;
}

u32 to_single(const byte_format& of, u32 code)
{
    const u32 size = code & 0x7FU, sign = (code & 0x80U) << 24;
    if (of.has_one_zero && code == 0x80U) return 0x7FC00000U;
    if (size <= of.last) return sign | to_bits(static_cast<float>(of.value(size)));
    return size == of.overflow && of.overflow != of.nan ? sign | 0x7F800000U : sign | 0x7FC00000U;
}

/// To nearest, of two as near to the even one.
u32 from_single(const byte_format& of, u32 bits)
{
    const u32 sign = of.has_one_zero ? 0 : bits >> 24 & 0x80U;
    const double size = std::fabs(static_cast<double>(to_float(bits)));
    if (size != size) return of.has_one_zero ? of.nan : sign | of.nan;
    u32 code = 0;
    while (code < of.last && of.value(code + 1) <= size) ++code;
    const double below = of.value(code), step = of.value(code) - of.value(code == 0 ? 0 : code - 1);
    const double above = code == of.last ? below + step : of.value(code + 1);
    if (size - below > above - size || (size - below == above - size && code % 2 != 0)) ++code;
    if (code > of.last) return of.has_one_zero ? of.overflow : sign | of.overflow;
    if (of.has_one_zero) return code == 0 ? 0 : code | (bits >> 24 & 0x80U);
    return sign | code;
}

/// One byte, which SDWA or byte_sel has chosen, or the lowest one.
template <bool IsBf8>
void to_one(wave& w, const operation& op)
{
    row buffer, result;
    const byte_format& of = format_for<IsBf8>(op);
    const u32* a = read(w, op, op.from[0], 0, buffer);
    for (u32 i = 0; i < w.lanes; ++i) result[i] = to_single(of, a[i] & 0xFFU);
    write_single(w, op, result);
}
/// The two bytes of a half of the source.
template <bool IsBf8>
void to_two(wave& w, const operation& op)
{
    row buffer, low, high;
    const byte_format& of = format_for<IsBf8>(op);
    const u32* a = read(w, op, op.from[0], 0, buffer);
    const u32 shift = (op.op_sel & 1U) != 0 ? 16 : 0;
    for (u32 i = 0; i < w.lanes; ++i) {
        low[i] = to_single(of, a[i] >> shift & 0xFFU);
        high[i] = to_single(of, a[i] >> (shift + 8) & 0xFFU);
    }
    write_single(w, op, low, 0);
    write_single(w, op, high, 1);
}
/// Two floats to one half of the destination, which op_sel chooses; the other half stays.
template <bool IsBf8>
void from_two(wave& w, const operation& op)
{
    row buffer_a, buffer_b, result;
    const byte_format& of = format_for<IsBf8>(op);
    const u32* a = read_single(w, op, op.from[0], buffer_a);
    const u32* b = read_single(w, op, op.from[1], buffer_b);
    const u32* before = w.vector(op.to[0].index);
    const u32 shift = (op.op_sel & 4U) != 0 ? 16 : 0;
    for (u32 i = 0; i < w.lanes; ++i) {
        const u32 both = from_single(of, a[i]) | from_single(of, b[i]) << 8;
        result[i] = (before[i] & ~(0xFFFFU << shift)) | both << shift;
    }
    write(w, op, result);
}

const handler_entry entries[] = {
    {"v_cvt_f32_fp8", to_one<false>},   {"v_cvt_f32_bf8", to_one<true>},       {"v_cvt_pk_f32_fp8", to_two<false>},
    {"v_cvt_pk_f32_bf8", to_two<true>}, {"v_cvt_pk_fp8_f32", from_two<false>}, {"v_cvt_pk_bf8_f32", from_two<true>},
};

}  // namespace

handler_family vector_fp8_family() { return entries; }

}  // namespace mhc::emulator
