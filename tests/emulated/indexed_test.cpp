// tests/emulated/indexed_test.cpp -- gfx9's registers by number, and LDS that a launch gives.
#include <doctest/doctest.h>

#include "tests/emulated/text_kernel.hpp"

using namespace mhc::emulator;
using mhc::emulator::testing::text_kernel;

namespace {

/// One wave; s[4:5] is the buffer's address, v1 4 times the lane, v10 to v13 are 100 to 103.
text_kernel kernel_of(const std::string& lines)
{
    return text_kernel(
        "gfx942",
        "s_load_dwordx2 s[4:5], s[0:1], 0x0\nv_lshlrev_b32_e32 v1, 2, v0\n"
        "v_mov_b32_e32 v10, 0x64\nv_mov_b32_e32 v11, 0x65\nv_mov_b32_e32 v12, 0x66\nv_mov_b32_e32 v13, 0x67\n" +
            lines + "\ns_endpgm");
}

u32 stored(const std::string& lines)
{
    text_kernel kernel = kernel_of(lines + "\nglobal_store_dword v1, v20, s[4:5]");
    const std::string message = kernel.message();
    CAPTURE(message);
    REQUIRE(message == "no fault");
    return kernel.buffer[5];
}

std::string fault_of(const std::string& lines)
{
    return kernel_of(lines + "\nglobal_store_dword v1, v20, s[4:5]").message();
}

bool has(const std::string& message, const std::string& part) { return message.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("emulator: between s_set_gpr_idx_on and off M0 chooses the registers that it names")
{
    const std::string on = "s_mov_b32 s6, 0x102\n", off = "\ns_set_gpr_idx_off";  // only 8 bits of an index count
    CHECK(stored(on + "s_set_gpr_idx_on s6, gpr_idx(SRC0)\nv_mov_b32_e32 v20, v10" + off) == 102);
    CHECK(stored(on + "s_set_gpr_idx_on s6, gpr_idx(SRC1)\nv_sub_u32_e32 v20, v10, v11" + off) == ~2U);  // 100 - 103
    CHECK(stored(on + "s_set_gpr_idx_on s6, gpr_idx(SRC0,SRC1)\nv_add_u32_e32 v20, v10, v11" + off) == 205);
    CHECK(stored(on + "s_set_gpr_idx_on s6, gpr_idx(SRC2)\nv_mad_u32_u24 v20, v10, 1, v11" + off) == 203);
    CHECK(stored(on + "v_mov_b32_e32 v20, 7\ns_set_gpr_idx_on s6, gpr_idx(DST)\nv_mov_b32_e32 v18, v10" + off) == 100);
    // Constants and scalars stay; behind the end nothing is moved.
    CHECK(stored(on + "s_set_gpr_idx_on s6, gpr_idx(SRC0)\nv_mov_b32_e32 v20, s6" + off) == 0x102);
    CHECK(stored(on + "s_set_gpr_idx_on s6, gpr_idx(SRC0)" + off + "\nv_mov_b32_e32 v20, v10") == 100);
    // Inactive lanes stay as they were: an instruction is what it is without an index.
    CHECK(stored(on +
                 "v_mov_b32_e32 v20, 7\ns_mov_b64 exec, 15\ns_set_gpr_idx_on s6, gpr_idx(SRC0)\nv_mov_b32_e32 v20, v10" +
                 off + "\ns_mov_b64 exec, -1") == 7);
}

TEST_CASE("checks: a register that is chosen must be there, be written, and be chosen by something")
{
    const std::string off = "\ns_set_gpr_idx_off";
    CHECK(has(fault_of("s_mov_b32 s6, 20\ns_set_gpr_idx_on s6, gpr_idx(SRC0)\nv_mov_b32_e32 v20, v10" + off),
              "v10 with index 20: the kernel has no such register"));
    CHECK(has(fault_of("s_mov_b32 s6, 4\ns_set_gpr_idx_on s6, gpr_idx(SRC0)\nv_mov_b32_e32 v20, v10" + off),
              "v20, depends on v14, which nothing wrote"));
    CHECK(has(fault_of("s_set_gpr_idx_on s9, gpr_idx(SRC0)\nv_mov_b32_e32 v20, v10" + off),
              "the number of a register depends on s9, which nothing wrote"));
    CHECK(
        has(fault_of("s_mov_b32 s6, 1\ns_set_gpr_idx_on s6, gpr_idx(SRC0)\ns_branch on\non:\nv_mov_b32_e32 v20, v10" + off),
            "the emulator does not know 's_branch on'"));
}

TEST_CASE("emulator: LDS that a launch gives lies behind what the kernel declares")
{
    const std::string lines =
        "v_mov_b32_e32 v20, 0x7f\nds_write_b32 v1, v20 offset:256\nds_read_b32 v20, v1 offset:256\n"
        "global_store_dword v1, v20, s[4:5]";
    text_kernel kernel = kernel_of(lines);
    kernel.entry().lds_bytes = 256;
    CHECK(has(kernel.message(), "LDS"));
    kernel.lds_bytes = 256;
    CHECK(kernel.message() == "no fault");
    CHECK(kernel.buffer[5] == 0x7F);
    kernel.lds_bytes = 65536;
    CHECK(has(kernel.message(), "256 bytes of LDS that the kernel declares and 65536 of the launch"));
}
