// tests/emulated/barrier_test.cpp -- races for LDS bytes, and waves that meet at no barrier, or not at the same.
#include <doctest/doctest.h>

#include "tests/emulated/text_kernel.hpp"

using namespace mhc::emulator;
using mhc::emulator::testing::text_kernel;

namespace {

/// Two waves; v1 is 4 times the work-item, s3 the number of the wave.
text_kernel two_waves(const std::string& processor, const std::string& lines)
{
    text_kernel kernel(processor, "v_lshlrev_b32_e32 v1, 2, v0\nv_readfirstlane_b32 s3, v0\n" + lines + "\ns_endpgm");
    kernel.block = processor == "gfx942" ? 128 : 64;
    kernel.entry().lds_bytes = 1024;
    return kernel;
}
std::string said(const std::string& processor, const std::string& lines) { return two_waves(processor, lines).message(); }

void check_names(const std::string& message, const std::vector<std::string>& parts)
{
    CAPTURE(message);
    for (const std::string& part : parts) {
        CAPTURE(part);
        CHECK(message.find(part) != std::string::npos);
    }
}

/// Each wave reads what the other wrote, with `barrier` between.
std::string exchange(const std::string& barrier)
{
    return "ds_write_b32 v1, v0\n" + barrier + "\nv_xor_b32_e32 v2, 0x100, v1\nds_read_b32 v3, v2\ns_waitcnt lgkmcnt(0)";
}

}  // namespace

TEST_CASE("races: without the barrier between a write and another wave's read both are named, with the bytes")
{
    CHECK(said("gfx942", exchange("s_barrier")) == "no fault");
    check_names(said("gfx942", exchange("s_waitcnt lgkmcnt(0)")),
                {"work-group 0, wave 1, work-item 64, at 0x8 'ds_write_b32 v1, v0'",
                 "lane 0: a race for LDS bytes 256 to 259: wave 1 writes them, and no barrier is between that and wave 0 at "
                 "0x14 'ds_read_b32 v3, v2'"});
    // Two rounds over the same words need a second barrier between the read and the next write.
    const std::string round = exchange("s_barrier");
    CHECK(said("gfx942", round + "\ns_barrier\n" + round) == "no fault");
    check_names(said("gfx942", round + "\n" + round), {"a race for LDS bytes"});
}

TEST_CASE("races: reads do not race, nor do different bytes, nor a wave with itself")
{
    CHECK(said("gfx942", "v_mov_b32_e32 v2, 0\nds_read_b32 v3, v2") == "no fault");
    CHECK(said("gfx942", "ds_write_b8 v0, v0\nds_read_u8 v3, v0\nds_write_b8 v0, v3") == "no fault");
    check_names(said("gfx942", "v_mov_b32_e32 v2, 64\nds_write_b8 v0, v0\nds_read_u8 v3, v2"), {"LDS bytes 64 to 64"});
    // Halves of one word, each a wave's: work-item % 64, and the wave's bit.
    const std::string halves =
        "v_and_b32_e32 v2, 63, v0\nv_lshrrev_b32_e32 v3, 6, v0\nv_lshlrev_b32_e32 v2, 2, v2\n"
        "v_lshl_add_u32 v2, v3, 1, v2\nds_write_b16 v2, v0\n";
    CHECK(said("gfx942", halves + "ds_read_u16 v4, v2") == "no fault");
    check_names(said("gfx942", halves + "v_and_b32_e32 v2, -4, v2\nds_read_b32 v4, v2"), {"a race for LDS bytes"});
}

TEST_CASE("races: what is between a split barrier's signal and wait is ordered with neither side")
{
    CHECK(said("gfx1200", exchange("s_barrier_signal -1\ns_barrier_wait 0xffff")) == "no fault");
    const std::string early =
        "ds_write_b32 v1, v0\ns_barrier_signal -1\nv_xor_b32_e32 v2, 0x80, v1\nds_read_b32 v3, v2\n"
        "s_barrier_wait 0xffff";
    check_names(said("gfx1200", early), {"a race for LDS bytes", "'ds_read_b32 v3, v2'", "'ds_write_b32 v1, v0'"});
    const std::string late =
        "s_barrier_signal -1\nds_write_b32 v1, v0\ns_barrier_wait 0xffff\nv_xor_b32_e32 v2, 0x80, v1\n"
        "ds_read_b32 v3, v2";
    check_names(said("gfx1200", late), {"a race for LDS bytes"});
}

TEST_CASE("races: work-groups have their own LDS and their own barriers")
{
    text_kernel kernel = two_waves("gfx942", exchange("s_barrier"));
    kernel.groups = 50;
    CHECK(kernel.message() == "no fault");
}

TEST_CASE("barriers: waves that meet at different ones are named, and a wave that has ended is not missed")
{
    const std::string apart = "s_cmp_eq_u32 s3, 0\ns_cbranch_scc1 first\ns_barrier\ns_endpgm\nfirst:\ns_barrier";
    check_names(said("gfx942", apart), {"work-group 0, wave 1, at 0x10 's_barrier'",
                                        "wave 0 is at another barrier of the same phase, at 0x18 's_barrier'"});
    CHECK(said("gfx942", "s_cmp_eq_u32 s3, 0\ns_cbranch_scc1 out\ns_barrier\nout:") == "no fault");
    text_kernel unchecked = two_waves("gfx942", apart);
    unchecked.checks_all = false;
    CHECK(unchecked.message() == "no fault");  // the machine counts waves and looks at nothing else
}

TEST_CASE("barriers: split ones that cannot open are named")
{
    check_names(said("gfx1200", "s_barrier_wait 0xffff"),
                {"wave 0, at 0x8", "waits for a barrier that it has not signalled"});
    check_names(said("gfx1200", "s_barrier_signal -1\ns_barrier_signal -1"), {"signals the barrier again"});
    text_kernel stuck = two_waves("gfx1200",
                                  "s_cmp_eq_u32 s3, 0\ns_cbranch_scc1 wait\ns_barrier_signal -1\n"
                                  "wait:\ns_barrier_wait 0xffff");
    stuck.checks_all = false;
    check_names(stuck.message(), {"every wave waits at a barrier that the others do not reach: wave 0 at 0x14 "
                                  "'s_barrier_wait 0xffff'"});
}

TEST_CASE("a kernel that does not end is stopped, and the message says where it was")
{
    text_kernel endless("gfx1100", "again:\ns_nop 0\ns_branch again\ns_endpgm");
    endless.block = 32;
    check_names(endless.message(), {"more than 100000 wave instructions in a work-group", "wave 0 at 0x"});
}

TEST_CASE("groups: work-groups that wait for each other all begin and get on, as far as the processor has room for them")
{
    const auto waiting_for = [](const std::string& arrivals, u64 instructions_max) {
        text_kernel kernel("gfx942",
                           "s_load_dwordx2 s[4:5], s[0:1], 0x0\ns_waitcnt lgkmcnt(0)\nv_mov_b32_e32 v1, 0\n"
                           "v_mov_b32_e32 v2, 1\ns_mov_b64 exec, 1\nglobal_atomic_add v1, v2, s[4:5]\n"
                           "again:\nglobal_load_dword v3, v1, s[4:5]\ns_waitcnt vmcnt(0)\n"
                           "v_readfirstlane_b32 s6, v3\ns_cmp_lt_u32 s6, " +
                               arrivals + "\ns_cbranch_scc1 again\ns_endpgm");
        kernel.groups = 60;
        kernel.instructions_max = instructions_max;
        kernel.checks_all = false;
        const std::string message = kernel.message();
        CHECK(kernel.buffer[0] == 60);
        return message;
    };
    CHECK(waiting_for("60", 20'000'000) == "no fault");
    check_names(waiting_for("61", 3'000'000), {"the kernel may not end: wave 0 at"});
}
