// tests/emulated/integer_test.cpp -- integers, masks and scalars: results worked out by hand from the ISA documents.
#include <doctest/doctest.h>

#include "tests/emulated/lane_machine.hpp"

using namespace mhc::emulator;
using mhc::emulator::testing::lane_machine;

TEST_CASE("emulator: carries go through a pair of additions, in active lanes alone")
{
    lane_machine m;
    m.set_vector(1, 0xFFFFFFFFU);
    m.set_vector(2, [](u32 lane) { return lane; });
    m.set_vector(3, 5);
    m.set_vector(4, 7);
    m.set_vector(5, 99);
    m.set_exec(0xFFFFFFFF0000000FU);
    m.run("v_add_co_u32_e32 v0, vcc, v1, v2");
    CHECK(m.state.vcc() == 0xFFFFFFFF0000000EU);  // lane 0 adds nothing, lanes 4 to 31 are off
    m.run("v_addc_co_u32_e32 v5, vcc, v3, v4, vcc");
    CHECK(m.vector(5, 0) == 12);
    CHECK(m.vector(5, 1) == 13);
    CHECK(m.vector(5, 4) == 99);
    CHECK(m.state.vcc() == 0);
    m.run("v_sub_co_u32_e64 v0, s[10:11], v3, v4");
    CHECK(m.vector(0, 0) == static_cast<u32>(-2));
    CHECK(m.state.s[10] == 0xF);
    m.run("v_subrev_co_u32_e32 v0, vcc, 3, v4");
    CHECK(m.vector(0, 0) == 4);
}

TEST_CASE("emulator: v_perm_b32 takes bytes of both sources, signs and constants")
{
    lane_machine m;
    m.set_vector(1, 0x77665544U);  // bytes 7 to 4
    m.set_vector(2, 0xB3221100U);  // bytes 3 to 0
    const auto permuted = [&](const std::string& choice) {
        m.run("v_perm_b32 v0, v1, v2, " + choice);
        const u32 by_constant = m.vector(0, 0);
        m.set_vector(3, static_cast<u32>(std::stoul(choice, nullptr, 16)));
        m.run("v_perm_b32 v0, v1, v2, v3");
        CHECK(m.vector(0, 0) == by_constant);
        return by_constant;
    };
    CHECK(permuted("0x7060302") == 0x7766B322U);
    CHECK(permuted("0x5040100") == 0x55441100U);
    CHECK(permuted("0x3020706") == 0xB3227766U);
    CHECK(permuted("0xd0c0908") == 0xFF00FF00U);
}

TEST_CASE("emulator: bit fields, shifts and products wrap as the machine's do")
{
    lane_machine m;
    m.set_vector(1, 0x80000F00U);
    m.run("v_bfe_u32 v0, v1, 8, 4");
    CHECK(m.vector(0, 0) == 0xF);
    m.run("v_bfe_i32 v0, v1, 8, 4");
    CHECK(m.vector(0, 0) == 0xFFFFFFFFU);
    m.run("v_alignbit_b32 v0, 1, v1, 31");
    CHECK(m.vector(0, 0) == 3);
    m.run("v_ashrrev_i32_e32 v0, 31, v1");
    CHECK(m.vector(0, 0) == 0xFFFFFFFFU);
    m.run("v_lshlrev_b32_e32 v0, 33, v1");  // the count has five bits
    CHECK(m.vector(0, 0) == 0x1E00);
    m.run("v_mul_hi_u32 v0, v1, 2");
    CHECK(m.vector(0, 0) == 1);
    m.run("v_mul_u32_u24_e32 v0, v1, v1");
    CHECK(m.vector(0, 0) == 0xF00 * 0xF00);
    m.set_vector(4, 1);
    m.set_vector(5, 2);
    m.run("v_mad_u64_u32 v[6:7], s[2:3], v1, 16, v[4:5]");
    CHECK(joined(m.vector(6, 0), m.vector(7, 0)) == 0x80000F00ULL * 16 + 0x200000001ULL);
    m.run("v_lshl_add_u64 v[6:7], v[4:5], 3, v[4:5]");
    CHECK(joined(m.vector(6, 0), m.vector(7, 0)) == 0x200000001ULL * 9);
    m.run("v_mad_i64_i32 v[6:7], s[2:3], v1, -1, 0");
    CHECK(joined(m.vector(6, 0), m.vector(7, 0)) == 0x7FFFF100ULL);
}

TEST_CASE("emulator: scalars set SCC, and comparisons choose")
{
    lane_machine m;
    u32* s = m.state.s;
    s[0] = 0xFFFFFFFFU, s[1] = 1, s[2] = 0x7FFFFFFFU;
    m.run("s_add_u32 s4, s0, s1");
    CHECK(s[4] == 0);
    CHECK(m.state.scc);
    m.run("s_addc_u32 s4, s1, 0");
    CHECK(s[4] == 2);
    CHECK_FALSE(m.state.scc);
    m.run("s_add_i32 s4, s2, 1");  // signed overflow
    CHECK(m.state.scc);
    m.run("s_subb_u32 s4, 0, s1");
    CHECK(s[4] == 0xFFFFFFFEU);
    m.run("s_mulk_i32 s1, 0xfffe");
    CHECK(s[1] == 0xFFFFFFFEU);
    m.run("s_bfe_i64 s[6:7], s[0:1], 0x200000");  // 32 bits, sign extended
    CHECK(joined(s[6], s[7]) == ~u64{0});
    m.run("s_mov_b64 s[6:7], -1");
    CHECK(s[7] == 0xFFFFFFFFU);
    m.run("s_and_b64 s[6:7], s[6:7], 0xff00ff00");  // a literal has no upper half
    CHECK(s[7] == 0);
    m.run("s_cmp_lt_i32 s0, 0");
    m.run("s_cselect_b32 s4, 11, 22");
    CHECK(s[4] == 11);
    m.run("s_cmpk_lg_i32 s0, 0xffff");
    CHECK_FALSE(m.state.scc);
    m.run("s_bitset0_b32 s0, 31");
    CHECK(s[0] == 0x7FFFFFFFU);
}

TEST_CASE("emulator: exec is saved and narrowed, and null takes what is written to it")
{
    lane_machine m(11);
    m.state.s[2] = 0xF0;
    m.set_exec(0xFF);
    m.run("s_and_saveexec_b32 s3, s2");
    CHECK(m.state.exec() == 0xF0);
    CHECK(m.state.s[3] == 0xFF);
    m.run("s_and_not1_saveexec_b32 s4, s3");
    CHECK(m.state.exec() == 0x0F);
    m.run("s_mov_b32 null, s2");
    m.run("s_mov_b32 s5, null");
    CHECK(m.state.s[5] == 0);
    m.set_exec(0xFF);
    m.set_vector(1, [](u32 lane) { return lane; });
    m.run("v_cmpx_gt_u32_e32 4, v1");
    CHECK(m.state.exec() == 0x0F);
}

TEST_CASE("emulator: SDWA takes parts, and results of 16 bits clear or keep the other half by generation")
{
    lane_machine m;
    m.set_vector(0, 0xAAAAAAAAU);
    m.set_vector(1, 0x11223344U);
    m.set_vector(2, 0x00000001U);
    m.run("v_or_b32_sdwa v0, v1, v2 dst_sel:DWORD dst_unused:UNUSED_PAD src0_sel:WORD_1 src1_sel:DWORD");
    CHECK(m.vector(0, 0) == 0x1123);
    m.run("v_lshlrev_b32_sdwa v0, v2, v1 dst_sel:DWORD dst_unused:UNUSED_PAD src0_sel:DWORD src1_sel:BYTE_1");
    CHECK(m.vector(0, 0) == 0x66);
    m.run("v_or_b32_sdwa v1, v2, v2 dst_sel:BYTE_3 dst_unused:UNUSED_PRESERVE src0_sel:BYTE_0 src1_sel:BYTE_0");
    CHECK(m.vector(1, 0) == 0x01223344U);
    m.set_vector(0, 0xAAAAAAAAU);
    m.run("v_add_u16_e32 v0, v2, v2");
    CHECK(m.vector(0, 0) == 2);
    lane_machine later(11);
    later.set_vector(0, 0xAAAAAAAAU);
    later.set_vector(2, 1);
    later.run("v_add_nc_u16 v0, v2, v2");
    CHECK(later.vector(0, 0) == 0xAAAA0002U);
}

TEST_CASE("emulator: what is not known is named, never guessed")
{
    lane_machine m;
    CHECK_THROWS_WITH_AS(m.run("v_frobnicate_b32 v0, v1"), "the emulator does not know 'v_frobnicate_b32 v0, v1'", fault);
    CHECK_THROWS_AS(m.run("v_mov_b32_e32 v0, v1 sideways:1"), fault);
    CHECK_THROWS_AS(m.run("v_mov_b32_e32 v0, src_private_base"), fault);
}
