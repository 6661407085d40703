// emulator/vector_short.cpp -- integers of 16 bits, and the rarer operations on integers: sums of differences, packing, the
// leading signs.
#include <algorithm>

#include "emulator/handlers.hpp"
#include "emulator/lanes.hpp"

namespace mhc::emulator {
namespace {

/// F(a, b, c, clamps)
template <auto F, u32 Sources>
void each(wave& w, const operation& op)
{
    row buffers[3], result;
    const u32* sources[3] = {buffers[0].at, buffers[1].at, buffers[2].at};
    for (u32 i = 0; i < Sources; ++i) sources[i] = read(w, op, op.from[i], 0, buffers[i]);
    for (u32 i = 0; i < w.lanes; ++i)
        result[i] = F(sources[0][i], Sources > 1 ? sources[1][i] : 0, Sources > 2 ? sources[2][i] : 0, op.clamps);
    write(w, op, result);
}

constexpr i32 s(u32 v) { return static_cast<i16>(v); }
constexpr u32 u(u32 v) { return v & 0xFFFFU; }
u32 short_of(i32 v) { return static_cast<u32>(v) & 0xFFFFU; }
u32 kept_or_clamped(i32 v, bool clamps) { return short_of(clamps ? std::clamp(v, i32{INT16_MIN}, i32{INT16_MAX}) : v); }
u32 kept_or_clamped_unsigned(u32 v, bool clamps) { return u(clamps ? std::min(v, 0xFFFFU) : v); }

u32 leading_signs(u32 a)
{
    const u32 differing = a ^ static_cast<u32>(static_cast<i32>(a) >> 31);
    return differing == 0 ? ~0U : static_cast<u32>(std::countl_zero(differing));
}
u32 distance(u32 a, u32 b) { return a > b ? a - b : b - a; }
u32 distance_of_bytes(u32 a, u32 b, bool skips_zero)
{
    u32 sum = 0;
    for (u32 shift = 0; shift < 32; shift += 8) {
        const u32 x = a >> shift & 0xFFU, y = b >> shift & 0xFFU;
        if (!skips_zero || y != 0) sum += distance(x, y);
    }
    return sum;
}
template <class T>
T middle(T a, T b, T c)
{
    return std::max(std::min(a, b), std::min(std::max(a, b), c));
}
constexpr i32 i(u32 v) { return static_cast<i32>(v); }
i64 signed_24(u32 v) { return static_cast<i32>(v << 8) >> 8; }

#define MHC_EACH(Sources, ...)                                                                                             \
    each<[]([[maybe_unused]] u32 a, [[maybe_unused]] u32 b, [[maybe_unused]] u32 c, [[maybe_unused]] bool clamps) -> u32 { \
        return (__VA_ARGS__);                                                                                              \
    },                                                                                                                     \
         Sources>

const handler_entry entries[] = {
    {"v_add_u16", MHC_EACH(2, kept_or_clamped_unsigned(u(a) + u(b), clamps))},
    {"v_sub_u16", MHC_EACH(2, clamps&& u(b) > u(a) ? 0 : u(a - b))},
    {"v_subrev_u16", MHC_EACH(2, clamps&& u(a) > u(b) ? 0 : u(b - a))},
    {"v_add_i16", MHC_EACH(2, kept_or_clamped(s(a) + s(b), clamps))},
    {"v_sub_i16", MHC_EACH(2, kept_or_clamped(s(a) - s(b), clamps))},
    {"v_mad_i16", MHC_EACH(3, kept_or_clamped(s(a) * s(b) + s(c), clamps))},
    {"v_mad_legacy_i16", MHC_EACH(3, kept_or_clamped(s(a) * s(b) + s(c), clamps))},
    {"v_min_u16", MHC_EACH(2, std::min(u(a), u(b)))},
    {"v_max_u16", MHC_EACH(2, std::max(u(a), u(b)))},
    {"v_min_i16", MHC_EACH(2, short_of(std::min(s(a), s(b))))},
    {"v_max_i16", MHC_EACH(2, short_of(std::max(s(a), s(b))))},
    {"v_min3_u16", MHC_EACH(3, std::min({u(a), u(b), u(c)}))},
    {"v_max3_u16", MHC_EACH(3, std::max({u(a), u(b), u(c)}))},
    {"v_med3_u16", MHC_EACH(3, middle(u(a), u(b), u(c)))},
    {"v_min3_i16", MHC_EACH(3, short_of(std::min({s(a), s(b), s(c)})))},
    {"v_max3_i16", MHC_EACH(3, short_of(std::max({s(a), s(b), s(c)})))},
    {"v_med3_i16", MHC_EACH(3, short_of(middle(s(a), s(b), s(c))))},
    {"v_and_b16", MHC_EACH(2, u(a& b))},
    {"v_or_b16", MHC_EACH(2, u(a | b))},
    {"v_xor_b16", MHC_EACH(2, u(a ^ b))},
    {"v_not_b16", MHC_EACH(1, u(~a))},
    {"v_mad_u32_u16", MHC_EACH(3, u(a) * u(b) + c)},
    {"v_mad_i32_i16", MHC_EACH(3, static_cast<u32>(s(a) * s(b)) + c)},
    {"v_mul_hi_i32_i24", MHC_EACH(2, static_cast<u32>(static_cast<u64>(signed_24(a) * signed_24(b)) >> 32))},
    {"v_ffbh_i32", MHC_EACH(1, leading_signs(a))},
    {"v_sad_u8", MHC_EACH(3, distance_of_bytes(a, b, false) + c)},
    {"v_msad_u8", MHC_EACH(3, distance_of_bytes(a, b, true) + c)},
    {"v_sad_hi_u8", MHC_EACH(3, (distance_of_bytes(a, b, false) << 16) + c)},
    {"v_sad_u16", MHC_EACH(3, distance(u(a), u(b)) + distance(a >> 16, b >> 16) + c)},
    {"v_sad_u32", MHC_EACH(3, distance(a, b) + c)},
    {"v_cvt_pk_u16_u32", MHC_EACH(2, std::min(a, 0xFFFFU) | std::min(b, 0xFFFFU) << 16)},
    {"v_cvt_pk_i16_i32",
     MHC_EACH(2, short_of(std::clamp(i(a), -32768, 32767)) | short_of(std::clamp(i(b), -32768, 32767)) << 16)},
    {"v_maxmin_u32", MHC_EACH(3, std::min(std::max(a, b), c))},
    {"v_minmax_u32", MHC_EACH(3, std::max(std::min(a, b), c))},
    {"v_maxmin_i32", MHC_EACH(3, static_cast<u32>(std::min(std::max(i(a), i(b)), i(c))))},
    {"v_minmax_i32", MHC_EACH(3, static_cast<u32>(std::max(std::min(i(a), i(b)), i(c))))},
    {"v_cvt_off_f32_i4", MHC_EACH(1, to_bits(static_cast<float>(static_cast<i32>(a << 28) >> 28) / 16.0F))},
};

}  // namespace

handler_family vector_short_family() { return entries; }

}  // namespace mhc::emulator
