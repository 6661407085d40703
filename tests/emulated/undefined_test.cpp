// tests/emulated/undefined_test.cpp -- what nothing wrote: found where it matters, and only there.
#include <doctest/doctest.h>

#include "tests/emulated/text_kernel.hpp"

using namespace mhc::emulator;
using mhc::emulator::testing::text_kernel;

namespace {

/// Runs one wave of gfx942 between the load of the buffer's address to s[4:5] and the end; v1 is 4 times the lane.
std::string said(const std::string& lines, bool checks_all = true)
{
    text_kernel kernel("gfx942", "s_load_dwordx2 s[4:5], s[0:1], 0x0\nv_lshlrev_b32_e32 v1, 2, v0\n" + lines + "\ns_endpgm");
    kernel.entry().lds_bytes = 1024;
    kernel.entry().scratch_bytes = 64;
    kernel.checks_all = checks_all;
    return kernel.message();
}

void check_names(const std::string& message, const std::vector<std::string>& parts)
{
    CAPTURE(message);
    for (const std::string& part : parts) {
        CAPTURE(part);
        CHECK(message.find(part) != std::string::npos);
    }
}

}  // namespace

TEST_CASE("checks: a register that nothing wrote and that is stored is named, with lane, work-item, wave and instruction")
{
    check_names(said("global_store_dword v1, v5, s[4:5]"),
                {"work-group 0, wave 0, work-item 0, at 0x8 'global_store_dword v1, v5, s[4:5]'",
                 "lane 0: what is stored, v5, depends on v5, which nothing wrote"});
    check_names(said("v_add_f32_e32 v6, v5, v5\nv_cvt_f16_f32_e32 v7, v6\nglobal_store_dword v1, v7, s[4:5]"),
                {"what is stored, v7, depends on v5, which nothing wrote"});
    check_names(said("v_accvgpr_read_b32 v6, a3\nglobal_store_dword v1, v6, s[4:5]"),
                {"depends on a3, which nothing wrote"});
    check_names(said("v_mov_b32_e32 v6, s40\nglobal_store_dword v1, v6, s[4:5]"), {"depends on s40, which nothing wrote"});
    check_names(said("s_mov_b64 exec, 7\nv_mov_b32_e32 v5, 1\ns_mov_b64 exec, -1\nglobal_store_dword v1, v5, s[4:5]"),
                {"lane 3: what is stored, v5, depends on v5"});
    CHECK(said("global_store_dword v1, v5, s[4:5]", false) == "no fault");
}

TEST_CASE("checks: addresses, branches and active lanes must be defined")
{
    check_names(said("global_load_dword v2, v5, s[4:5]"), {"lane 0: the address, v5, depends on v5"});
    check_names(said("global_load_dword v2, v1, s[8:9]"), {"the address, s8, depends on s8"});
    check_names(said("s_load_dword s3, s[8:9], 0x0"), {"the address, s8, depends on s8"});
    check_names(said("ds_write_b32 v5, v1"), {"the address, v5, depends on v5"});
    check_names(said("s_cbranch_scc1 on\non:"), {"the branch depends on scc, which nothing wrote"});
    check_names(said("s_cmp_eq_u32 s9, 0\ns_cbranch_scc1 on\non:"), {"the branch depends on s9, which nothing wrote"});
    check_names(said("v_cmp_eq_u32_e32 vcc, 0, v5\ns_cbranch_vccz on\non:"),
                {"the branch depends on v5, which nothing wrote"});
    check_names(said("v_cmp_lt_f32_e32 vcc, 0, v5\ns_and_saveexec_b64 s[6:7], vcc"),
                {"lane 0: whether it is active depends on v5, which nothing wrote"});
    check_names(
        said("v_cmp_gt_u32_e64 s[6:7], 4, v5\nv_cndmask_b32_e64 v6, 0, 1, s[6:7]\nglobal_store_dword v1, v6, s[4:5]"),
        {"what is stored, v6, depends on v5"});
    check_names(said("s_setpc_b64 s[8:9]"), {"the address of a jump, s8, depends on s8"});
}

TEST_CASE("checks: what does not depend on undefined bits is no fault")
{
    const std::string store = "\nglobal_store_dword v1, v6, s[4:5]";
    CHECK(said("v_add_u32_e32 v6, v5, v5") == "no fault");  // computed, and not used
    CHECK(said("v_xor_b32_e32 v6, v5, v5" + store) == "no fault");
    CHECK(said("v_and_b32_e32 v6, 0, v5" + store) == "no fault");
    CHECK(said("v_or_b32_e32 v6, -1, v5" + store) == "no fault");
    CHECK(said("v_lshrrev_b32_e32 v6, 16, v5\nv_and_b32_e32 v6, 0xffff0000, v6" + store) == "no fault");
    CHECK(said("v_mov_b32_e32 v6, 1\nv_cmp_gt_u32_e32 vcc, 0, v0\nv_cndmask_b32_e32 v6, v6, v5, vcc" + store) == "no fault");
    CHECK(said("s_mov_b64 exec, 7\nv_mov_b32_e32 v6, 1" + store) == "no fault");  // the other lanes are off
    CHECK(said("v_cmp_gt_u32_e32 vcc, 4, v0\ns_cbranch_vccnz on\non:") == "no fault");
    // Half a register: loaded, converted and stored, while the other half holds nothing.
    CHECK(said("global_load_short_d16 v6, v1, s[4:5]\nv_add_f16_e32 v7, v6, v6\nglobal_store_short v1, v6, s[4:5]\n"
               "global_store_short v1, v7, s[4:5]") == "no fault");
    check_names(said("global_load_short_d16 v6, v1, s[4:5]" + store), {"what is stored, v6, depends on v6"});
    CHECK(said("global_load_short_d16_hi v6, v1, s[4:5]\nglobal_store_short_d16_hi v1, v6, s[4:5]") == "no fault");
    // A whole-wave move over registers of which some lanes hold something; then only those are used.
    CHECK(said("s_mov_b64 exec, 15\nv_mov_b32_e32 v5, 2\ns_or_saveexec_b64 s[6:7], -1\nv_mov_b32_e32 v6, v5\n"
               "s_mov_b64 exec, s[6:7]" +
               store) == "no fault");
    // A scalar kept in one lane of a register that nothing else was written to.
    CHECK(said("v_writelane_b32 v5, s2, 3\nv_readlane_b32 s8, v5, 3\nv_mov_b32_e32 v6, s8" + store) == "no fault");
    check_names(said("v_writelane_b32 v5, s2, 3\nv_readlane_b32 s8, v5, 4\nv_mov_b32_e32 v6, s8" + store),
                {"what is stored, v6, depends on v5"});
}

TEST_CASE("checks: lanes give each other what they have, undefined or not")
{
    const std::string even = "s_mov_b64 exec, 0x55555555\nv_mov_b32_e32 v5, 1\ns_mov_b64 exec, -1\n";
    const std::string store = "\ns_mov_b64 exec, 2\nglobal_store_dword v1, v6, s[4:5]";
    CHECK(said(even + "v_mov_b32_dpp v6, v5 quad_perm:[1,0,3,2] row_mask:0xf bank_mask:0xf" + store) == "no fault");
    check_names(said(even + "v_mov_b32_dpp v6, v5 quad_perm:[0,1,3,2] row_mask:0xf bank_mask:0xf" + store),
                {"lane 1: what is stored, v6, depends on v5"});
    CHECK(said(even + "v_mov_b32_e32 v7, 8\nds_bpermute_b32 v6, v7, v5" + store) == "no fault");
    check_names(said(even + "v_mov_b32_e32 v7, 4\nds_bpermute_b32 v6, v7, v5" + store), {"depends on v5"});
    check_names(said(even + "v_readlane_b32 s8, v5, 1\nv_mov_b32_e32 v6, s8" + store), {"depends on v5"});
}

TEST_CASE("checks: an LDS byte that nothing wrote is named where it comes to matter")
{
    check_names(
        said("ds_read_b32 v6, v1 offset:8\nglobal_store_dword v1, v6, s[4:5]"),
        {"'global_store_dword v1, v6, s[4:5]'", "lane 0: what is stored, v6, depends on LDS byte ", "which nothing wrote"});
    CHECK(said("ds_read_b32 v6, v1") == "no fault");
    CHECK(said("ds_write_b32 v1, v0\nds_read_b32 v6, v1\nglobal_store_dword v1, v6, s[4:5]") == "no fault");
    const std::string words = "ds_write_b16 v1, v0 offset:512\nds_read_b32 v6, v1 offset:512\n";
    CHECK(said(words + "v_and_b32_e32 v6, 0xffff, v6\nglobal_store_dword v1, v6, s[4:5]") == "no fault");
    check_names(said(words + "s_mov_b64 exec, 1\nglobal_store_dword v1, v6, s[4:5]"), {"depends on LDS byte 514"});
    // Spilled as it was, and read back: the register is to blame.
    check_names(said("ds_write_b32 v1, v9\nds_read_b32 v6, v1\nglobal_store_dword v1, v6, s[4:5]"), {"depends on v9"});
    CHECK(said("ds_write_b32 v1, v9\nds_read_b32 v6, v1") == "no fault");
    check_names(said("v_mov_b32_e32 v6, 0\nds_write_b32 v6, v0 offset:4\nds_read2_b32 v[6:7], v6 offset1:1\n"
                     "s_mov_b64 exec, 1\nglobal_store_dword v1, v7, s[4:5]\nglobal_store_dword v1, v6, s[4:5]"),
                {"at 0x1c ", "what is stored, v6, depends on LDS byte 0"});
}

TEST_CASE("checks: so is a scratch byte, of the lane's own memory")
{
    check_names(said("scratch_load_dword v6, off, off offset:12\nglobal_store_dword v1, v6, s[4:5]"),
                {"what is stored, v6, depends on scratch byte 12, which nothing wrote"});
    check_names(said("s_mov_b64 exec, 2\nscratch_store_dword off, v1, off\ns_mov_b64 exec, 3\n"
                     "scratch_load_dword v6, off, off\nglobal_store_dword v1, v6, s[4:5]"),
                {"lane 0: what is stored, v6, depends on scratch byte 0"});
    CHECK(said("scratch_store_dwordx2 off, v[0:1], off offset:8\nscratch_load_dword v6, off, off offset:12\n"
               "global_store_dword v1, v6, s[4:5]") == "no fault");
}
