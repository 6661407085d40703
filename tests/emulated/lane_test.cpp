// tests/emulated/lane_test.cpp -- values between lanes, and lanes' accesses to LDS and memory.
#include <doctest/doctest.h>

#include <array>
#include <string>

#include "tests/emulated/lane_machine.hpp"

using namespace mhc::emulator;
using mhc::emulator::testing::lane_machine;

namespace {

std::string message_of(lane_machine& m, std::string_view line)
{
    try {
        m.run(line);
    } catch (const fault& why) {
        return why.what();
    }
    return "no fault";
}

}  // namespace

TEST_CASE("emulator: ds_bpermute reads the lane an address names, and 0 from one that is off")
{
    lane_machine m;
    m.set_vector(1, [](u32 lane) { return (lane ^ 1U) * 4; });
    m.set_vector(2, [](u32 lane) { return 100 + lane; });
    m.run("ds_bpermute_b32 v0, v1, v2");
    CHECK(m.vector(0, 6) == 107);
    CHECK(m.vector(0, 63) == 162);
    m.set_vector(0, 5);
    m.set_exec(0xFFFFFFFFFFFFFFFDU);
    m.run("ds_bpermute_b32 v0, v1, v2");
    CHECK(m.vector(0, 0) == 0);
    CHECK(m.vector(0, 1) == 5);
    m.set_exec(~u64{0});
    m.set_vector(1, 260);  // 65: numbers of lanes wrap round
    m.run("ds_bpermute_b32 v0, v1, v2");
    CHECK(m.vector(0, 9) == 101);
}

TEST_CASE("emulator: lanes are read and written by number, active or not")
{
    lane_machine m;
    m.set_vector(1, [](u32 lane) { return lane + 1; });
    m.set_exec(0xF0);
    m.run("v_readfirstlane_b32 s3, v1");
    CHECK(m.state.s[3] == 5);
    m.run("v_readlane_b32 s3, v1, 63");
    CHECK(m.state.s[3] == 64);
    m.run("v_writelane_b32 v1, s3, 0");
    CHECK(m.vector(1, 0) == 64);
    m.run("v_mbcnt_lo_u32_b32 v0, -1, 0");
    CHECK(m.vector(0, 5) == 5);
}

TEST_CASE("emulator: DPP moves lanes within rows, and lanes without a source stay or become 0")
{
    lane_machine m;
    m.set_vector(1, [](u32 lane) { return lane; });
    m.set_vector(0, 1000);
    m.run("v_mov_b32_dpp v0, v1 quad_perm:[1,0,3,2] row_mask:0xf bank_mask:0xf");
    CHECK(m.vector(0, 6) == 7);
    m.set_vector(0, 1000);
    m.run("v_mov_b32_dpp v0, v1 row_shr:1 row_mask:0xf bank_mask:0xf");
    CHECK(m.vector(0, 17) == 16);
    CHECK(m.vector(0, 16) == 1000);
    m.run("v_mov_b32_dpp v0, v1 row_shr:1 row_mask:0xf bank_mask:0xf bound_ctrl:1");
    CHECK(m.vector(0, 16) == 0);
    m.set_vector(0, 1000);
    m.run("v_add_u32_dpp v0, v1, v1 row_ror:4 row_mask:0x1 bank_mask:0xf");
    CHECK(m.vector(0, 0) == 12);
    CHECK(m.vector(0, 16) == 1000);
    m.run("v_mov_b32_dpp v0, v1 row_half_mirror row_mask:0xf bank_mask:0xf");
    CHECK(m.vector(0, 9) == 14);
    m.set_vector(0, 1000);
    m.run("v_mov_b32_dpp v0, v1 row_bcast:15 row_mask:0xa bank_mask:0xf");
    CHECK(m.vector(0, 20) == 15);
    CHECK(m.vector(0, 40) == 1000);
}

TEST_CASE("emulator: LDS pairs count in elements, and an access outside is a fault")
{
    lane_machine m(9, 256);
    m.set_vector(1, [](u32 lane) { return lane * 4; });
    m.set_vector(2, [](u32 lane) { return lane; });
    m.run("ds_write_b32 v1, v2");
    m.set_vector(1, 0);
    m.run("ds_read2_b32 v[4:5], v1 offset0:3 offset1:63");
    CHECK(m.vector(4, 0) == 3);
    CHECK(m.vector(5, 9) == 63);
    m.run("ds_read_b64 v[4:5], v1 offset:16");
    CHECK(m.vector(4, 0) == 4);
    CHECK(m.vector(5, 0) == 5);
    CHECK(message_of(m, "ds_read_b32 v4, v1 offset:256") == "lane 0: LDS bytes 256 to 259, of 256 that the kernel has");
    CHECK(message_of(m, "ds_read2st64_b32 v[4:5], v1 offset1:1").find("LDS bytes 256") != std::string::npos);
    CHECK(message_of(m, "ds_read_b32 v4, v1 offset:2").find("no multiple") != std::string::npos);
}

TEST_CASE("emulator: memory is read and written where allocations are, by active lanes")
{
    lane_machine m;
    alignas(16) std::array<u32, 256> words{};
    for (u32 i = 0; i < words.size(); ++i) words[i] = i;
    const auto begin = reinterpret_cast<std::uintptr_t>(words.data());
    m.memory.add({begin, 1024, "buffer 1", true});
    m.state.s[4] = static_cast<u32>(begin);
    m.state.s[5] = static_cast<u32>(begin >> 32);
    m.set_vector(1, [](u32 lane) { return lane * 16; });
    m.run("global_load_dwordx4 v[4:7], v1, s[4:5]");
    CHECK(m.vector(7, 63) == 255);
    m.run("global_load_ushort v4, v1, s[4:5] offset:4");
    CHECK(m.vector(4, 3) == 13);
    const std::string past = message_of(m, "global_load_dwordx4 v[4:7], v1, s[4:5] offset:8");
    CHECK(past.find("lane 63: a read of 16 bytes") == 0);
    CHECK(past.find("1016 bytes into buffer 1 (1024 bytes") != std::string::npos);
    m.set_exec(0x7FFFFFFFFFFFFFFFU);
    m.run("global_load_dwordx4 v[4:7], v1, s[4:5] offset:8");  // the lane that strayed is off
    m.set_vector(2, 77);
    m.set_exec(2);
    m.run("global_store_dword v1, v2, s[4:5]");
    CHECK(words[4] == 77);
    CHECK(words[8] == 8);
    m.memory.remove(begin);
    m.state.recent = nullptr;
    CHECK(message_of(m, "global_store_dword v1, v2, s[4:5]").find("no memory is allocated") != std::string::npos);
    m.memory.add({begin, 1024, "buffer 1", false});
    CHECK(message_of(m, "global_store_dword v1, v2, s[4:5]").find("read-only") != std::string::npos);
}

TEST_CASE("emulator: scalar loads of parts are extended, and a buffer gives 0 past its end")
{
    lane_machine m(12);
    alignas(16) const std::array<u32, 4> words{0x8081FFFEU, 0x11223344U, 7, 9};
    const auto begin = reinterpret_cast<std::uintptr_t>(words.data());
    m.memory.add({begin, sizeof(words), "buffer 1", false});
    u32* s = m.state.s;
    s[4] = static_cast<u32>(begin), s[5] = static_cast<u32>(begin >> 32);
    m.run("s_load_u16 s0, s[4:5], 0x0");
    CHECK(s[0] == 0xFFFE);
    m.run("s_load_i16 s0, s[4:5], 0x2");
    CHECK(s[0] == 0xFFFF8081U);
    m.run("s_load_u8 s0, s[4:5], 0x3");
    CHECK(s[0] == 0x80);
    s[6] = 1;
    m.run("s_load_i8 s0, s[4:5], s6 offset:0x1");
    CHECK(s[0] == 0xFFFFFF81U);
    s[6] = 12;  // bytes of the buffer whose descriptor is s[4:7]
    m.run("s_buffer_load_b128 s[0:3], s[4:7], 0x4");
    CHECK(s[0] == 0x11223344U);
    CHECK(s[1] == 7);
    CHECK(s[2] == 0);
    s[5] |= 16U << 16;  // strides of 16 bytes
    s[6] = 1;
    m.run("s_buffer_load_b64 s[0:1], s[4:7], 0x8");
    CHECK(s[1] == 9);
    CHECK(message_of(m, "s_load_u16 s0, s[4:5], 0x10").find("a read of 2 bytes") == 0);
}
