// tests/emulated/alignment_test.cpp -- addresses that the machine takes otherwise than the kernel means them, and bounds.
#include <doctest/doctest.h>

#include "tests/emulated/text_kernel.hpp"

using namespace mhc::emulator;
using mhc::emulator::testing::text_kernel;

namespace {

std::string said(const std::string& lines, bool checks_all = true)
{
    text_kernel kernel("gfx942", "s_load_dwordx2 s[4:5], s[0:1], 0x0\nv_lshlrev_b32_e32 v1, 2, v0\n" + lines + "\ns_endpgm");
    kernel.entry().lds_bytes = 256;
    kernel.entry().scratch_bytes = 16;
    kernel.groups = 2;
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

TEST_CASE("alignment: scalar loads ignore low bits of an address, so there must be none")
{
    check_names(said("s_load_dword s6, s[4:5], 0x2"),
                {"'s_load_dword s6, s[4:5], 0x2'", "is no multiple of 4: the machine reads at 0x"});
    CHECK(said("s_load_dword s6, s[4:5], 0x2", false) == "no fault");
    CHECK(said("s_load_dwordx4 s[8:11], s[4:5], 0x4") == "no fault");
}

TEST_CASE("alignment: lanes may read and write words at even addresses, and bytes at any")
{
    CHECK(said("global_load_dword v2, v1, s[4:5] offset:2") == "no fault");
    CHECK(said("global_load_ubyte v2, v1, s[4:5] offset:1") == "no fault");
    check_names(said("v_or_b32_e32 v1, 1, v1\nglobal_load_ushort v2, v1, s[4:5] offset:8"),
                {"lane 0: 2 bytes at the odd address 0x", "9 bytes into buffer 1 (4096 bytes at 0x"});
    CHECK(said("global_load_ushort v2, v1, s[4:5] offset:1", false) == "no fault");
}

TEST_CASE("alignment: words of LDS are at multiples of 4, pairs at multiples of an element")
{
    check_names(said("v_mov_b32_e32 v2, 2\nds_read_b32 v3, v2"), {"lane 0: LDS address 2 is no multiple of 4"});
    check_names(said("v_mov_b32_e32 v2, 4\nds_read2_b64 v[4:7], v2 offset1:1"), {"LDS address 4 is no multiple of 8"});
    CHECK(said("v_mov_b32_e32 v2, 4\nds_read_b128 v[4:7], v2") == "no fault");
}

TEST_CASE("bounds: of memory, LDS and scratch; the message has the work-item and the nearest buffer")
{
    check_names(said("s_lshl_b32 s6, s2, 11\nv_lshlrev_b32_e32 v2, 5, v0\nv_add_u32_e32 v2, s6, v2\n"
                     "v_mov_b32_e32 v3, 0\nglobal_store_dwordx4 v2, v[0:3], s[4:5] offset:16"),
                {"no fault"});
    check_names(said("s_lshl_b32 s6, s2, 11\nv_lshlrev_b32_e32 v2, 5, v0\nv_add_u32_e32 v2, s6, v2\n"
                     "global_load_dwordx4 v[4:7], v2, s[4:5] offset:32"),
                {"work-group 1, wave 0, work-item 127, at 0x14 'global_load_dwordx4 v[4:7], v2, s[4:5] offset:32'",
                 "lane 63: a read of 16 bytes at 0x", "0 bytes past the end of buffer 1 (4096 bytes at 0x"});
    check_names(said("v_mov_b32_e32 v2, 0\nglobal_store_dword v2, v0, s[0:1]"),
                {"a write of 4 bytes", "0 bytes into the kernel's arguments", "read-only"});
    check_names(said("s_load_dwordx2 s[6:7], s[0:1], 0x1000"), {"a read of 8 bytes at 0x"});
    check_names(said("ds_write_b32 v1, v0 offset:128"),
                {"work-item 32", "lane 32: LDS bytes 256 to 259, of 256 that the kernel has"});
    check_names(said("scratch_store_dwordx2 off, v[0:1], off offset:12"),
                {"lane 0: scratch bytes 12 to 19, of 16 that a work-item has"});
    check_names(said("s_mov_b32 s6, -4\nscratch_load_dword v2, off, s6"), {"scratch bytes 4294967292 to 4294967295"});
}
