// tests/emulated/half_test.cpp -- numbers of 16 and 8 bits, and fp64: packed arithmetic, dot products, conversions,
// division.
#include <doctest/doctest.h>

#include <cmath>
#include <random>

#include "emulator/numbers.hpp"
#include "tests/emulated/lane_machine.hpp"

using namespace mhc::emulator;
using mhc::emulator::testing::lane_machine;

namespace {

u32 bits(float v) { return to_bits(v); }

/// v0 after a line on v1 to v3.
u32 of(lane_machine& m, const std::string& line, u32 a, u32 b = 0, u32 c = 0)
{
    m.set_vector(1, a), m.set_vector(2, b), m.set_vector(3, c);
    m.run(line);
    return m.vector(0, 0);
}
void set_double(lane_machine& m, u32 first, double value, u32 lane)
{
    m.vector(first, lane) = static_cast<u32>(to_bits(value));
    m.vector(first + 1, lane) = static_cast<u32>(to_bits(value) >> 32);
}
u64 pair(lane_machine& m, u32 first, u32 lane = 0) { return joined(m.vector(first, lane), m.vector(first + 1, lane)); }

}  // namespace

TEST_CASE("emulator: packed numbers of 16 bits wrap, saturate and choose halves")
{
    lane_machine m;
    CHECK(of(m, "v_pk_add_u16 v0, v1, v2", 0xFFFF0001U, 0x00020002U) == 0x00010003U);
    CHECK(of(m, "v_pk_add_u16 v0, v1, v2 clamp", 0xFFFF0001U, 0x00020002U) == 0xFFFF0003U);
    CHECK(of(m, "v_pk_sub_u16 v0, v1, v2 clamp", 0x00010005U, 0x00020002U) == 0x00000003U);
    CHECK(of(m, "v_pk_sub_i16 v0, v1, v2", 0x80000005U, 0x00010007U) == 0x7FFFFFFEU);
    CHECK(of(m, "v_pk_sub_i16 v0, v1, v2 clamp", 0x80000005U, 0x00010007U) == 0x8000FFFEU);
    CHECK(of(m, "v_pk_add_i16 v0, v1, v2 clamp", 0x7FFF0005U, 0x00010007U) == 0x7FFF000CU);
    CHECK(of(m, "v_pk_mul_lo_u16 v0, v1, v2", 0x01000003U, 0x01000005U) == 0x0000000FU);
    CHECK(of(m, "v_pk_mad_u16 v0, v1, v2, v3", 0x00020003U, 0x00050007U, 0x00010001U) == 0x000B0016U);
    CHECK(of(m, "v_pk_mad_i16 v0, v1, v2, v3 clamp", 0x7FFF0003U, 0x00020007U, 0x00010001U) == 0x7FFF0016U);
    CHECK(of(m, "v_pk_lshlrev_b16 v0, v1, v2", 0x00110004U, 0x00018001U) == 0x00020010U);  // counts of four bits
    CHECK(of(m, "v_pk_lshrrev_b16 v0, v1, v2", 0x00010004U, 0x80008000U) == 0x40000800U);
    CHECK(of(m, "v_pk_ashrrev_i16 v0, v1, v2", 0x00010004U, 0x80008000U) == 0xC000F800U);
    CHECK(of(m, "v_pk_ashrrev_i16 v0, 4, v2 op_sel_hi:[0,1]", 0, 0x80008000U) == 0xF800F800U);
    CHECK(of(m, "v_pk_max_i16 v0, v1, v2", 0xFFFF0003U, 0x00020001U) == 0x00020003U);
    CHECK(of(m, "v_pk_max_u16 v0, v1, v2", 0xFFFF0003U, 0x00020001U) == 0xFFFF0003U);
    CHECK(of(m, "v_pk_min_i16 v0, v1, v2", 0xFFFF0003U, 0x00020001U) == 0xFFFF0001U);
    CHECK(of(m, "v_pk_min_u16 v0, v1, v2", 0xFFFF0003U, 0x00020001U) == 0x00020001U);
    CHECK(of(m, "v_pk_add_u16 v0, v1, v2 op_sel:[1,0] op_sel_hi:[0,0]", 0x00100001U, 0x00000002U) == 0x00030012U);

    CHECK(of(m, "v_pk_add_f16 v0, v1, v2", 0x3C004000U, 0x40003C00U) == 0x42004200U);
    CHECK(of(m, "v_pk_add_f16 v0, v1, v2 neg_lo:[0,1] neg_hi:[1,0]", 0x3C004000U, 0x40003C00U) == 0x3C003C00U);
    CHECK(of(m, "v_pk_mul_f16 v0, v1, v2 clamp", 0x3C00C000U, 0x40003C00U) == 0x3C000000U);
    CHECK(of(m, "v_pk_fma_f16 v0, v1, v2, v3", 0x3C013C01U, 0x3C013C01U, 0xBC02C000U) == 0x0010BBFCU);
    CHECK(of(m, "v_pk_max_f16 v0, v1, v2", 0x7E003C00U, 0xBC004000U) == 0xBC004000U);
    CHECK(of(m, "v_pk_min_f16 v0, v1, v2", 0x7E003C00U, 0xBC004000U) == 0xBC003C00U);
    m.state.half_and_double = {.in = true, .out = false};
    CHECK(of(m, "v_pk_mul_f16 v0, v1, v2", 0x04000400U, 0x38003C00U) == 0x00000400U);
}

TEST_CASE("emulator: dot products of parts of words")
{
    lane_machine m, later(11);
    CHECK(of(m, "v_dot2_i32_i16 v0, v1, v2, v3", 0xFFFF0003U, 0x00020005U, 100) == 113);
    CHECK(of(m, "v_dot2_u32_u16 v0, v1, v2, v3", 0xFFFF0003U, 0x00020005U, 1) == 0x1FFFE + 16);
    CHECK(of(m, "v_dot4_i32_i8 v0, v1, v2, v3", 0xFF020304U, 0x05060708U, 1) == 1 - 5 + 12 + 21 + 32);
    CHECK(of(m, "v_dot4_u32_u8 v0, v1, v2, v3", 0xFF020304U, 0x05060708U, 1) == 1 + 1275 + 12 + 21 + 32);
    CHECK(of(m, "v_dot4_i32_i8 v0, v1, v2, v3 clamp", 0x7F7F7F7FU, 0x7F7F7F7FU, 0x7FFFFFFFU) == 0x7FFFFFFFU);
    CHECK(of(m, "v_dot8_i32_i4 v0, v1, v2, v3", 0xF0000002U, 0x30000004U, 0) == 5);
    CHECK(of(m, "v_dot8_u32_u4 v0, v1, v2, v3", 0xF0000002U, 0x30000004U, 0) == 53);
    CHECK(of(later, "v_dot4_i32_iu8 v0, v1, v2, v3 neg_lo:[1,0,0]", 0xFF000000U, 0xFF000000U, 0) == static_cast<u32>(-255));
    CHECK(of(m, "v_dot2_f32_f16 v0, v1, v2, v3", 0x3C004000U, 0x42004400U, bits(0.5F)) == bits(11.5F));
    CHECK(of(later, "v_dot2_f32_bf16 v0, v1, v2, v3", 0x3F804000U, 0x40404080U, bits(0.5F)) == bits(11.5F));
    later.set_vector(0, bits(0.5F));
    CHECK(of(later, "v_dot2acc_f32_f16_e32 v0, v1, v2", 0x3C004000U, 0x42004400U) == bits(11.5F));
}

TEST_CASE("emulator: integers of 16 bits, differences and leading signs")
{
    lane_machine m, later(11);
    CHECK(of(m, "v_max_i16_e32 v0, v1, v2", 0xFFFF, 1) == 1);
    CHECK(of(m, "v_max_u16_e32 v0, v1, v2", 0xFFFF, 1) == 0xFFFF);
    CHECK(of(m, "v_min_i16_e32 v0, v1, v2", 0xFFFF, 1) == 0xFFFF);
    CHECK(of(m, "v_add_u16_e64 v0, v1, v2 clamp", 0xFFFF, 1) == 0xFFFF);
    CHECK(of(m, "v_sub_u16_e64 v0, v1, v2 clamp", 1, 2) == 0);
    CHECK(of(m, "v_subrev_u16_e32 v0, v1, v2", 1, 2) == 1);
    m.set_vector(0, 0x12340000U);
    CHECK(of(m, "v_add_i16 v0, v1, v2 clamp", 0x7FFF, 1) == 0x7FFF);
    CHECK(of(m, "v_mad_legacy_i16 v0, v1, v2, v3", 0xFFFF, 2, 1) == 0xFFFF);
    CHECK(of(m, "v_med3_i16 v0, v1, v2, v3", 0xFFFF, 2, 1) == 1);
    CHECK(of(m, "v_max3_u16 v0, v1, v2, v3", 0xFFFF, 2, 1) == 0xFFFF);
    CHECK(of(m, "v_ffbh_i32_e32 v0, v1", 0xFFFFFF00U) == 24);
    CHECK(of(m, "v_ffbh_i32_e32 v0, v1", 0) == 0xFFFFFFFFU);
    CHECK(of(m, "v_sad_u8 v0, v1, v2, v3", 0x01050003U, 0x04020007U, 10) == 20);
    CHECK(of(m, "v_msad_u8 v0, v1, v2, v3", 0x01050003U, 0x04020007U, 10) == 20);
    CHECK(of(m, "v_msad_u8 v0, v1, v2, v3", 0x01050303U, 0x04020007U, 10) == 20);
    CHECK(of(m, "v_sad_u16 v0, v1, v2, v3", 0x00010003U, 0x00040001U, 10) == 15);
    CHECK(of(m, "v_sad_u32 v0, v1, v2, v3", 3, 7, 10) == 14);
    CHECK(of(m, "v_cvt_pk_u16_u32 v0, v1, v2", 0x12345, 7) == 0x0007FFFFU);
    CHECK(of(m, "v_cvt_pk_i16_i32 v0, v1, v2", 0x12345, 0xFFFE0000U) == 0x80007FFFU);
    CHECK(of(m, "v_mul_hi_i32_i24_e32 v0, v1, v2", 0x00800000U, 0x00000200U) == 0xFFFFFFFFU);
    CHECK(of(later, "v_maxmin_i32 v0, v1, v2, v3", 5, 0xFFFFFFFFU, 3) == 3);
    CHECK(of(later, "v_minmax_u32 v0, v1, v2, v3", 5, 0xFFFFFFFFU, 7) == 7);
    CHECK(of(later, "v_mad_u32_u16 v0, v1, v2, v3", 0x1FFFF, 2, 1) == 0x1FFFF);
    CHECK(of(later, "v_sad_u16 v0, v1, v2, v3", 0xFFFF0000U, 0, 1) == 0x10000U);
    later.set_vector(0, 0xAAAA0000U);
    CHECK(of(later, "v_and_b16 v0, v1, v2", 0xFF, 0x3C) == 0xAAAA003CU);
}

TEST_CASE("emulator: functions, classes and conversions of fp16")
{
    lane_machine m;
    CHECK(of(m, "v_rsq_f16_e32 v0, v1", 0x4400) == 0x3800);
    CHECK(of(m, "v_exp_f16_e32 v0, v1", 0x4200) == 0x4800);
    CHECK(of(m, "v_log_f16_e32 v0, v1", 0x4800) == 0x4200);
    CHECK(of(m, "v_fract_f16_e32 v0, v1", 0xBE00) == 0x3800);       // -1.5
    CHECK(of(m, "v_frexp_mant_f16_e32 v0, v1", 0x4200) == 0x3A00);  // 3 = 0.75 * 2^2
    CHECK(of(m, "v_frexp_exp_i16_f16_e32 v0, v1", 0x4200) == 2);
    CHECK(of(m, "v_ldexp_f16_e32 v0, v1, v2", 0x3C00, 0xFFFF) == 0x3800);
    CHECK(of(m, "v_max3_f16 v0, v1, v2, v3", 0x3C00, 0x4000, 0x7E00) == 0x4000);
    CHECK(of(m, "v_med3_f16 v0, v1, v2, v3", 0x3C00, 0x4000, 0xBC00) == 0x3C00);
    CHECK(of(m, "v_div_fixup_f16 v0, v1, v2, v3", 0x1234, 0, 0x3C00) == 0x7C00);
    CHECK(of(m, "v_div_fixup_f16 v0, v1, v2, v3", 0x1234, 0x8000, 0) == 0xFE00);
    CHECK(of(m, "v_cvt_f16_i16_e32 v0, v1", 0xFFFD) == 0xC200);
    CHECK(of(m, "v_cvt_f16_u16_e32 v0, v1", 0xFFFF) == 0x7C00);
    CHECK(of(m, "v_cvt_i16_f16_e32 v0, v1", 0xC200) == 0xFFFD);
    CHECK(of(m, "v_cvt_u16_f16_e32 v0, v1", 0x7C00) == 0xFFFF);
    CHECK(of(m, "v_cvt_u16_f16_e32 v0, v1", 0x7E00) == 0);
    m.set_vector(1, 0x0001);
    m.run("v_cmp_class_f16_e64 s[2:3], v1, 0x80");
    CHECK(m.state.s[2] == 0xFFFFFFFFU);
    m.run("v_cmp_class_f16_e64 s[2:3], -v1, 0x80");
    CHECK(m.state.s[2] == 0);
    lane_machine newer(12);
    newer.state.s[1] = 0x3C00, newer.state.s[2] = 0x4000;
    newer.run("s_add_f16 s0, s1, s2");
    CHECK(newer.state.s[0] == 0x4200);
    newer.state.s[0] = 0x3C00;
    newer.run("s_fmac_f16 s0, s2, s2");
    CHECK(newer.state.s[0] == 0x4500);
    newer.run("s_cmp_lt_f16 s1, s2");
    CHECK(newer.state.scc);
    newer.run("s_cmp_nge_f16 s2, 0x7e00");
    CHECK(newer.state.scc);
}

TEST_CASE("emulator: fp8 of gfx942 has one zero and no infinity, that of gfx12 is OCP's")
{
    lane_machine m, newer(12);
    CHECK(of(m, "v_cvt_f32_fp8_e32 v0, v1", 0x40) == bits(1.0F));
    CHECK(of(newer, "v_cvt_f32_fp8_e32 v0, v1", 0x38) == bits(1.0F));
    CHECK(of(m, "v_cvt_f32_bf8_e32 v0, v1", 0x40) == bits(1.0F));
    CHECK(of(newer, "v_cvt_f32_bf8_e32 v0, v1", 0x3C) == bits(1.0F));
    CHECK(of(m, "v_cvt_f32_fp8_e32 v0, v1", 0x01) == bits(0x1p-10F));
    CHECK(of(m, "v_cvt_f32_fp8_e32 v0, v1", 0x80) == 0x7FC00000U);
    CHECK(of(newer, "v_cvt_f32_fp8_e32 v0, v1", 0x80) == 0x80000000U);
    CHECK(of(m, "v_cvt_f32_fp8_e32 v0, v1", 0x7F) == bits(240.0F));
    CHECK(of(newer, "v_cvt_f32_fp8_e32 v0, v1", 0x7E) == bits(448.0F));
    CHECK(of(newer, "v_cvt_f32_bf8_e32 v0, v1", 0xFC) == 0xFF800000U);
    CHECK(of(m, "v_cvt_f32_fp8_sdwa v0, v1 dst_sel:DWORD dst_unused:UNUSED_PAD src0_sel:BYTE_2", 0x00400000U) == bits(1.0F));
    CHECK(of(newer, "v_cvt_f32_fp8_e64 v0, v1 byte_sel:2", 0x00380000U) == bits(1.0F));
    CHECK(of(m, "v_cvt_pk_f32_fp8_e32 v[0:1], v1", 0x4840) == bits(1.0F));
    m.set_vector(5, 0x48400000U);
    m.run("v_cvt_pk_f32_fp8_sdwa v[0:1], v5 dst_sel:DWORD dst_unused:UNUSED_PAD src0_sel:WORD_1");
    CHECK(m.vector(0, 0) == bits(1.0F));
    CHECK(m.vector(1, 0) == bits(2.0F));

    m.set_vector(0, 0xAAAABBBBU), newer.set_vector(0, 0xAAAABBBBU);
    CHECK(of(m, "v_cvt_pk_fp8_f32 v0, v1, v2", bits(1.0F), bits(-2.0F)) == 0xAAAAC840U);
    CHECK(of(m, "v_cvt_pk_fp8_f32 v0, v1, v2 op_sel:[0,0,1]", bits(1.0625F), bits(1.1875F)) == 0x4240C840U);  // ties to even
    CHECK(of(m, "v_cvt_pk_fp8_f32 v0, v1, v2", bits(-0.0F), bits(248.0F)) == 0x42408000U);
    CHECK(of(m, "v_cvt_pk_fp8_f32 v0, v1, v2", bits(247.0F), bits(-0x1p-12F)) == 0x4240007FU);
    CHECK(of(newer, "v_cvt_pk_fp8_f32 v0, v1, v2", bits(1.0F), bits(-2.0F)) == 0xAAAAC038U);
    CHECK(of(newer, "v_cvt_pk_fp8_f32 v0, v1, v2", bits(-0.0F), bits(1e6F)) == 0xAAAA7F80U);
    CHECK(of(newer, "v_cvt_pk_bf8_f32 v0, v1, v2 op_sel:[0,0,1]", bits(-1.0F), bits(1e6F)) == 0x7CBC7F80U);
}

TEST_CASE("emulator: fp64's parts, powers and conversions")
{
    lane_machine m, later(11);
    set_double(m, 2, 3.0, 0);
    m.run("v_frexp_mant_f64_e32 v[0:1], v[2:3]");
    CHECK(pair(m, 0) == to_bits(0.75));
    m.run("v_frexp_exp_i32_f64_e32 v0, v[2:3]");
    CHECK(m.vector(0, 0) == 2);
    // The power is no double, though a literal of this instruction could be one.
    m.run("v_ldexp_f64 v[0:1], v[2:3], -2");
    CHECK(pair(m, 0) == to_bits(0.75));
    set_double(later, 2, 3.0, 0);
    later.run("v_ldexp_f64 v[0:1], v[2:3], 0xffffffe0");
    CHECK(pair(later, 0) == to_bits(3.0 * 0x1p-32));
    later.run("v_cmp_class_f64_e64 s2, v[2:3], 0x108");
    CHECK((later.state.s[2] & 1) == 1);
    set_double(m, 2, -2.75, 0);
    m.run("v_fract_f64_e32 v[0:1], v[2:3]");
    CHECK(pair(m, 0) == to_bits(0.25));
    m.run("v_cvt_i32_f64_e32 v0, v[2:3]");
    CHECK(m.vector(0, 0) == static_cast<u32>(-2));
    m.run("v_cvt_u32_f64_e32 v0, v[2:3]");
    CHECK(m.vector(0, 0) == 0);
    set_double(m, 2, 1e300, 0);
    m.run("v_cvt_i32_f64_e32 v0, v[2:3]");
    CHECK(m.vector(0, 0) == 0x7FFFFFFFU);
    set_double(m, 2, 4.0, 0);
    m.run("v_rcp_f64_e32 v[0:1], v[2:3]");
    CHECK(pair(m, 0) == to_bits(0.25));
    m.run("v_rsq_f64_e32 v[0:1], v[2:3]");
    CHECK(pair(m, 0) == to_bits(0.5));
}

TEST_CASE("emulator: a division's steps give the quotient that IEEE gives, of any two doubles")
{
    lane_machine m;
    std::mt19937_64 random(1);
    const u64 special[] = {0,
                           0x8000000000000000U,
                           0x3FF0000000000000U,
                           0x7FF0000000000000U,
                           1,
                           0x800FFFFFFFFFFFFFU,
                           0x0010000000000000U,
                           0x7FEFFFFFFFFFFFFFU,
                           0x0340000000000000U,
                           0x7FE0000000000001U};
    int wrong = 0;
    for (int round = 0; round < 1000; ++round) {
        for (u32 lane = 0; lane < 64; ++lane) {
            const auto any = [&] {
                return to_double(random() % 8 == 0 ? special[random() % std::size(special)] : random());
            };
            set_double(m, 2, any(), lane);
            // Some quotients near the smallest numbers, where they are rounded once.
            set_double(m, 4, random() % 4 == 0 ? to_double(pair(m, 2, lane)) * std::ldexp(1.0 + 1e-3, 1040) : any(), lane);
        }
        for (const char* line :
             {"v_div_scale_f64 v[6:7], s[0:1], v[4:5], v[4:5], v[2:3]", "v_rcp_f64_e32 v[8:9], v[6:7]",
              "v_fma_f64 v[10:11], -v[6:7], v[8:9], 1.0", "v_fma_f64 v[8:9], v[8:9], v[10:11], v[8:9]",
              "v_fma_f64 v[10:11], -v[6:7], v[8:9], 1.0", "v_fma_f64 v[8:9], v[8:9], v[10:11], v[8:9]",
              "v_div_scale_f64 v[12:13], vcc, v[2:3], v[4:5], v[2:3]", "v_mul_f64 v[10:11], v[12:13], v[8:9]",
              "v_fma_f64 v[6:7], -v[6:7], v[10:11], v[12:13]", "v_div_fmas_f64 v[6:7], v[6:7], v[8:9], v[10:11]",
              "v_div_fixup_f64 v[0:1], v[6:7], v[4:5], v[2:3]"})
            m.run(line);
        for (u32 lane = 0; lane < 64; ++lane) {
            const double a = to_double(pair(m, 2, lane)), b = to_double(pair(m, 4, lane)), q = a / b;
            const u64 got = pair(m, 0, lane);
            const bool is_right = std::isnan(q) ? std::isnan(to_double(got)) : got == to_bits(q);
            if (!is_right && ++wrong < 5) MESSAGE(a << " / " << b << " is " << q << ", not " << to_double(got));
        }
    }
    CHECK(wrong == 0);
}
