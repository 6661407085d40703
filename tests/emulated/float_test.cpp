// tests/emulated/float_test.cpp -- floats: rounding, modifiers, denormals, fp16, and a division step by step.
#include <doctest/doctest.h>

#include <cmath>
#include <random>

#include "emulator/numbers.hpp"
#include "tests/emulated/lane_machine.hpp"

using namespace mhc::emulator;
using mhc::emulator::testing::lane_machine;

namespace {

u32 bits(float v) { return to_bits(v); }

/// The sequence that compilers make of a / b.
void divide(lane_machine& m)
{
    m.run("v_div_scale_f32 v3, s[0:1], v2, v2, v1");
    m.run("v_div_scale_f32 v4, vcc, v1, v2, v1");
    m.run("v_rcp_f32_e32 v5, v3");
    m.run("v_fma_f32 v6, -v3, v5, 1.0");
    m.run("v_fmac_f32_e32 v5, v6, v5");
    m.run("v_mul_f32_e32 v6, v4, v5");
    m.run("v_fma_f32 v7, -v3, v6, v4");
    m.run("v_fmac_f32_e32 v6, v7, v5");
    m.run("v_fma_f32 v3, -v3, v6, v4");
    m.run("v_div_fmas_f32 v3, v3, v5, v6");
    m.run("v_div_fixup_f32 v0, v3, v2, v1");
}

}  // namespace

TEST_CASE("emulator: a division's steps give the quotient that IEEE gives, of any two floats")
{
    lane_machine m;
    std::mt19937 random(1);
    const u32 special[] = {0,           0x80000000U, 0x3F800000U, 0x7F800000U, 0xFF800000U, 0x00000001U, 0x807FFFFFU,
                           0x00800000U, 0x7F7FFFFFU, 0x7EFFFFFFU, 0x7F000001U, 0x0C000000U, 0x34000000U};
    int wrong = 0;
    for (int round = 0; round < 2000; ++round) {
        m.set_vector(1, [&](u32) { return random() % 8 == 0 ? special[random() % std::size(special)] : u32(random()); });
        m.set_vector(2, [&](u32) { return random() % 8 == 0 ? special[random() % std::size(special)] : u32(random()); });
        divide(m);
        for (u32 lane = 0; lane < 64; ++lane) {
            const float a = to_float(m.vector(1, lane)), b = to_float(m.vector(2, lane)), q = a / b;
            const u32 got = m.vector(0, lane);
            const bool is_right = std::isnan(q) ? std::isnan(to_float(got)) : got == bits(q);
            if (!is_right && ++wrong < 5) MESSAGE(a << " / " << b << " is " << q << ", not " << to_float(got));
        }
    }
    CHECK(wrong == 0);
}

TEST_CASE("emulator: signs, sizes, clamps and scales of operands and results")
{
    lane_machine m;
    m.set_vector(1, bits(-3.0F));
    m.set_vector(2, bits(0.25F));
    m.run("v_add_f32_e64 v0, |v1|, -v2");
    CHECK(m.vector(0, 0) == bits(2.75F));
    m.run("v_add_f32_e64 v0, -|v1|, v2");
    CHECK(m.vector(0, 0) == bits(-2.75F));
    m.run("v_mul_f32_e64 v0, v1, v2 mul:4");
    CHECK(m.vector(0, 0) == bits(-3.0F));
    m.run("v_add_f32_e64 v0, |v1|, v2 clamp");
    CHECK(m.vector(0, 0) == bits(1.0F));
    m.run("v_mul_f32_e32 v0, 0.15915494, v2");
    CHECK(m.vector(0, 0) == bits(0.15915494F * 0.25F));
    m.run("v_fmaak_f32 v0, v1, v2, 0x3fc00000");
    CHECK(m.vector(0, 0) == bits(0.75F));
    m.run("v_fmamk_f32 v0, v1, 0x40000000, v2");
    CHECK(m.vector(0, 0) == bits(-5.75F));
    m.run("v_cndmask_b32_e64 v0, 0, -1.0, s[4:5]");
    m.state.s[4] = 1, m.state.s[5] = 0;
    m.run("v_cndmask_b32_e64 v0, v1, -v2, s[4:5]");
    CHECK(m.vector(0, 0) == bits(-0.25F));
    CHECK(m.vector(0, 1) == bits(-3.0F));
}

TEST_CASE("emulator: fma rounds once, and mad twice and without denormals")
{
    lane_machine m;
    const float a = 1.0F + 0x1p-23F;
    m.set_vector(1, bits(a));
    m.set_vector(2, bits(-(1.0F + 0x1p-22F)));
    m.run("v_fma_f32 v0, v1, v1, v2");
    CHECK(m.vector(0, 0) == bits(0x1p-46F));
    m.run("v_mad_f32 v0, v1, v1, v2");
    CHECK(m.vector(0, 0) == 0);
    m.run("v_madmk_f32 v0, v1, 0x3f800001, v2");
    CHECK(m.vector(0, 0) == 0);
    m.run("v_madak_f32 v0, v1, v1, 0x3f800000");
    CHECK(m.vector(0, 0) == bits(2.0F + 0x1p-22F));
    m.set_vector(0, bits(-(1.0F + 0x1p-22F)));
    m.run("v_mac_f32_e32 v0, v1, v1");
    CHECK(m.vector(0, 0) == 0);
    m.set_vector(3, 0x3C01);  // 1 + 2^-10, whose square is 1 + 2^-9 + 2^-20
    m.set_vector(0, 0xBC02BC02U);
    m.run("v_mac_f16_e32 v0, v3, v3");
    CHECK(m.vector(0, 0) == 0xBC020000U);
    m.set_vector(0, 0xBC02BC02U);
    m.run("v_fmac_f16_e32 v0, v3, v3");
    CHECK(m.vector(0, 0) == 0xBC020010U);  // 2^-20, a denormal
    m.run("v_mad_legacy_f16 v0, v3, v3, v3");
    CHECK(m.vector(0, 0) == 0x4002);
    m.set_vector(1, 0x00000001U);
    m.run("v_add_f32_e32 v0, v1, v1");
    CHECK(m.vector(0, 0) == 2);
    m.state.single = {.in = false, .out = false};
    m.run("v_add_f32_e32 v0, v1, v1");
    CHECK(m.vector(0, 0) == 0);
    m.run("v_mov_b32_e32 v0, v1");  // a move is no arithmetic
    CHECK(m.vector(0, 0) == 1);
}

TEST_CASE("emulator: the larger and the smaller of zeros and NaNs")
{
    lane_machine m;
    m.set_vector(1, 0x80000000U);
    m.set_vector(2, 0);
    m.run("v_max_f32_e32 v0, v1, v2");
    CHECK(m.vector(0, 0) == 0);
    m.run("v_min_f32_e32 v0, v2, v1");
    CHECK(m.vector(0, 0) == 0x80000000U);
    m.set_vector(1, 0x7FC00000U);
    m.set_vector(2, bits(-7.0F));
    m.run("v_max_f32_e32 v0, v1, v2");
    CHECK(m.vector(0, 0) == bits(-7.0F));
    m.run("v_cmp_nlt_f32_e32 vcc, v1, v2");
    CHECK(m.state.vcc() == ~u64{0});
    m.run("v_cmp_lg_f32_e32 vcc, v1, v2");
    CHECK(m.state.vcc() == 0);
    m.run("v_cmp_class_f32_e64 s[2:3], v2, 0x8");
    CHECK(m.state.s[2] == 0xFFFFFFFFU);
}

TEST_CASE("emulator: every half converts there and back, and floats round to the nearest half")
{
    for (u32 half = 0; half < 0x10000; ++half) {
        const bool is_number = (half & 0x7C00U) != 0x7C00U || (half & 0x3FFU) == 0;
        if (is_number) REQUIRE(single_to_half(half_to_single(half)) == half);
    }
    CHECK(single_to_half(65519.0F) == 0x7BFF);
    CHECK(single_to_half(65520.0F) == 0x7C00);
    CHECK(single_to_half(1.0F + 0x1p-11F) == 0x3C00);  // a tie goes to even
    CHECK(single_to_half(1.0F + 0x1p-11F + 0x1p-20F) == 0x3C01);
    CHECK(single_to_half(0x1p-25F) == 0);
    CHECK(single_to_half(0x1.8p-25F) == 1);
    // Rounded to float first this would be a tie, and go the other way.
    CHECK(double_to_half(fma_to_odd(0x1.004p0, 0x1.0p-11, 1.0)) == 0x3C01);
}

TEST_CASE("emulator: packed fp32 chooses words and signs; mixed fma chooses halves")
{
    lane_machine m;
    for (u32 i = 2; i < 8; ++i) m.set_vector(i, bits(static_cast<float>(i)));
    const auto pair = [&] { return std::pair(to_float(m.vector(0, 0)), to_float(m.vector(1, 0))); };
    m.run("v_pk_fma_f32 v[0:1], v[2:3], v[4:5], v[6:7]");
    CHECK(pair() == std::pair(14.0F, 22.0F));
    m.run("v_pk_fma_f32 v[0:1], v[2:3], v[4:5], v[6:7] op_sel_hi:[0,1,1]");
    CHECK(pair() == std::pair(14.0F, 17.0F));
    m.run("v_pk_mul_f32 v[0:1], v[2:3], v[4:5] op_sel:[1,0] op_sel_hi:[0,1]");
    CHECK(pair() == std::pair(12.0F, 10.0F));
    m.run("v_pk_add_f32 v[0:1], v[2:3], v[4:5] neg_lo:[0,1] neg_hi:[1,0]");
    CHECK(pair() == std::pair(-2.0F, 2.0F));
    m.run("v_pk_mov_b32 v[0:1], v[2:3], v[4:5] op_sel:[1,0]");
    CHECK(pair() == std::pair(3.0F, 4.0F));
    m.run("v_pk_fma_f32 v[2:3], v[2:3], v[2:3], 1.0 op_sel_hi:[1,0,0]");  // the destination is a source
    CHECK(to_float(m.vector(2, 0)) == 5.0F);
    CHECK(to_float(m.vector(3, 0)) == 7.0F);
    m.run("v_pk_add_f32 v[0:1], v[4:5], 0 neg_lo:[1,1] neg_hi:[1,1]");  // the upper half of 0 is 0
    CHECK(pair() == std::pair(-4.0F, -5.0F));
    CHECK_THROWS_AS(m.run("v_pk_add_f32 v[0:1], v[4:5], 1.0"), fault);

    lane_machine later(11);
    later.set_vector(1, 0x40003C00U);  // 2, 1
    later.set_vector(2, bits(10.0F));
    later.set_vector(3, bits(0.5F));
    later.run("v_fma_mix_f32 v0, v1, v2, v3 op_sel_hi:[1,0,0]");
    CHECK(later.vector(0, 0) == bits(10.5F));
    later.run("v_fma_mix_f32 v0, v1, v2, v3 op_sel:[1,0,0] op_sel_hi:[1,0,0]");
    CHECK(later.vector(0, 0) == bits(20.5F));
    later.run("v_fma_mixlo_f16 v0, v1, v2, v3 op_sel_hi:[1,0,0]");
    CHECK(later.vector(0, 0) == ((bits(20.5F) & 0xFFFF0000U) | 0x4940));
    later.run("v_fma_mixhi_f16 v0, v2, -v2, v3");
    CHECK(later.vector(0, 0) == (0x4940U | u32{0xD638} << 16));
}

TEST_CASE("emulator: two operations issued together both read before either writes")
{
    lane_machine m(11);
    m.set_vector(0, bits(1.0F));
    m.set_vector(1, bits(2.0F));
    m.run("v_dual_mov_b32 v0, v1 :: v_dual_mov_b32 v1, v0");
    CHECK(m.vector(0, 0) == bits(2.0F));
    CHECK(m.vector(1, 0) == bits(1.0F));
    m.state.s[scalar::vcc] = 1;
    m.run("v_dual_cndmask_b32 v2, v0, v1 :: v_dual_fmac_f32 v1, v0, v0");
    CHECK(m.vector(2, 0) == bits(1.0F));
    CHECK(m.vector(2, 1) == bits(2.0F));
    CHECK(m.vector(1, 0) == bits(5.0F));
}

TEST_CASE("emulator: conversions to integers stop at the ends, and NaN is 0")
{
    lane_machine m;
    const std::pair<float, u32> cases[] = {{-1.9F, 0xFFFFFFFFU}, {3e9F, 0x7FFFFFFFU}, {-3e9F, 0x80000000U}, {NAN, 0}};
    for (const auto& [from, to] : cases) {
        m.set_vector(1, bits(from));
        m.run("v_cvt_i32_f32_e32 v0, v1");
        CHECK(m.vector(0, 0) == to);
    }
    m.set_vector(1, bits(3e9F));
    m.run("v_cvt_u32_f32_e32 v0, v1");
    CHECK(m.vector(0, 0) == 3000000000U);
    m.set_vector(1, 0x01020304U);
    m.run("v_cvt_f32_ubyte2_e32 v0, v1");
    CHECK(m.vector(0, 0) == bits(2.0F));
    m.run("v_cvt_f32_f16_sdwa v0, v1 dst_sel:DWORD dst_unused:UNUSED_PAD src0_sel:WORD_1");
    CHECK(to_float(m.vector(0, 0)) == half_to_single(0x0102));
}
