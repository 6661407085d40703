// tests/emulated/buffer_test.cpp -- gfx9's buffers that are memory: addresses, ranges, loads to LDS; and work-groups in
// three dimensions.
#include <doctest/doctest.h>

#include <array>
#include <cstring>
#include <numeric>
#include <string>
#include <vector>

#include "emulator/counter.hpp"
#include "tests/emulated/lane_machine.hpp"
#include "tests/emulated/text_kernel.hpp"

using namespace mhc::emulator;
using mhc::emulator::testing::lane_machine;
using mhc::emulator::testing::text_kernel;

namespace {

/// A machine whose s[4:7] describe a raw buffer of `bytes` at words[0], which are 100, 101 and so on. v0: 4 times the lane.
struct buffer_machine {
    static constexpr u32 count = 128;
    lane_machine m;
    alignas(16) std::array<u32, count> words{};

    explicit buffer_machine(u32 bytes = count * 4) : m(9, 1024)
    {
        std::iota(words.begin(), words.end(), 100U);
        const auto begin = reinterpret_cast<std::uintptr_t>(words.data());
        m.memory.add({begin, sizeof(words), "buffer 1", true});
        describe(begin, bytes);
        m.set_vector(0, [](u32 lane) { return lane * 4; });
    }
    void describe(u64 begin, u32 bytes, u32 stride = 0)
    {
        m.state.s[4] = static_cast<u32>(begin), m.state.s[5] = static_cast<u32>(begin >> 32) | stride << 16;
        m.state.s[6] = bytes, m.state.s[7] = 0x00020000U;
    }
    u32 lds(u32 word)
    {
        u32 value = 0;
        std::memcpy(&value, m.group.lds.data() + std::size_t{word} * 4, 4);
        return value;
    }
};

}  // namespace

TEST_CASE("buffers: an address is the descriptor's, the lane's, the wave's and the instruction's")
{
    buffer_machine of;
    of.m.run("buffer_load_dword v1, v0, s[4:7], 0 offen");
    CHECK(of.m.vector(1, 63) == 163);
    of.m.state.s[8] = 32;
    of.m.run("buffer_load_dword v1, v0, s[4:7], s8 offen offset:16 nt");
    CHECK(of.m.vector(1, 0) == 112);
    CHECK(of.m.vector(1, 63) == 175);
    of.m.run("buffer_load_dwordx2 v[2:3], off, s[4:7], 64 offset:4");
    CHECK(of.m.vector(2, 5) == 117);
    CHECK(of.m.vector(3, 5) == 118);
    of.m.set_exec(2);
    of.m.run("buffer_store_dwordx2 v[2:3], v0, s[4:7], 0 offen offset:8");
    CHECK(of.words[2] == 102);
    CHECK(of.words[3] == 117);
    CHECK(of.words[4] == 118);
    CHECK(of.words[5] == 105);
}

TEST_CASE("buffers: parts of words, extended or beside the other half")
{
    buffer_machine of;
    of.words[0] = 0x8A8BF3F4U;
    of.m.set_exec(1);
    of.m.set_vector(1, 0x11112222U);
    const auto loaded = [&](const std::string& line) {
        of.m.run(line);
        return of.m.vector(1, 0);
    };
    CHECK(loaded("buffer_load_ubyte v1, v0, s[4:7], 0 offen offset:1") == 0xF3);
    CHECK(loaded("buffer_load_sbyte v1, v0, s[4:7], 0 offen offset:1") == 0xFFFFFFF3U);
    CHECK(loaded("buffer_load_ushort v1, v0, s[4:7], 0 offen offset:2") == 0x8A8B);
    CHECK(loaded("buffer_load_sshort v1, v0, s[4:7], 0 offen offset:2") == 0xFFFF8A8BU);
    CHECK(loaded("buffer_load_short_d16 v1, v0, s[4:7], 0 offen") == 0xFFFFF3F4U);
    CHECK(loaded("buffer_load_short_d16_hi v1, v0, s[4:7], 0 offen") == 0xF3F4F3F4U);
    of.m.run("buffer_store_short_d16_hi v1, v0, s[4:7], 0 offen offset:4");
    of.m.run("buffer_store_byte v1, v0, s[4:7], 0 offen offset:6");
    CHECK(of.words[1] == 0x00F4F3F4U);
}

TEST_CASE("buffers: what is outside reads as 0 and is not written, word by word")
{
    buffer_machine of(5 * 4);
    of.m.run("buffer_load_dwordx4 v[10:13], v0, s[4:7], 0 offen offset:8");
    CHECK(of.m.vector(12, 0) == 104);
    CHECK(of.m.vector(13, 0) == 0);
    CHECK(of.m.vector(10, 2) == 104);
    CHECK(of.m.vector(11, 2) == 0);
    CHECK(of.m.vector(10, 3) == 0);
    of.m.set_vector(1, ~1U);  // -2, beyond every buffer: how kernels turn lanes off
    of.m.run("buffer_store_dword v0, v1, s[4:7], 0 offen");
    of.m.set_exec(8);
    of.m.run("buffer_store_dwordx4 v[10:13], v0, s[4:7], 0 offen");
    CHECK(of.words[3] == 0);
    CHECK(of.words[4] == 0);
    CHECK(of.words[5] == 105);
    of.m.state.s[8] = 8;
    of.m.set_vector(10, 7);
    of.m.run("buffer_store_dword v10, v0, s[4:7], s8 offen");  // the wave's part counts for the range
    CHECK(of.words[5] == 105);
}

TEST_CASE("buffers: those with a stride, and memory that nobody allocated, are faults")
{
    buffer_machine of;
    const auto begin = reinterpret_cast<std::uintptr_t>(of.words.data());
    of.describe(begin, 512, 16);
    CHECK_THROWS_AS(of.m.run("buffer_load_dword v1, v0, s[4:7], 0 offen"), fault);
    of.describe(begin, 1024);  // more than there is
    of.m.run("buffer_load_dword v1, v0, s[4:7], 0 offen");
    CHECK_THROWS_AS(of.m.run("buffer_load_dword v1, v0, s[4:7], 0 offen offset:512"), fault);
    CHECK_THROWS_AS(of.m.run("buffer_load_dword v1, v0, s[4:7], 0 idxen"), fault);
}

TEST_CASE("buffers: a load to LDS puts a word a lane behind M0 and the instruction's offset")
{
    buffer_machine of(70 * 4);
    of.m.group.lds.assign(1024, 0xFF);
    of.m.state.s[scalar::m0] = 64;
    of.m.set_exec(~u64{2});
    of.m.run("buffer_load_dword v0, s[4:7], 0 offen offset:32 lds");
    CHECK(of.lds(24) == 108);
    CHECK(of.lds(25) == ~0U);  // a lane that is off
    CHECK(of.lds(24 + 61) == 169);
    CHECK(of.lds(24 + 62) == 0);  // outside the buffer
    CHECK(of.lds(24 + 64) == ~0U);
    of.m.run("buffer_load_dword off, s[4:7], 4 lds");
    CHECK(of.lds(16) == 101);
    CHECK(of.lds(16 + 63) == 101);
    of.m.state.s[scalar::m0] = 1024 - 63 * 4;
    CHECK_THROWS_AS(of.m.run("buffer_load_dword v0, s[4:7], 0 offen lds"), fault);
}

namespace {

/// s[4:7] is the buffer of the launch, 4096 bytes; v1 is 4 times the lane.
const std::string described =
    "s_load_dwordx2 s[4:5], s[0:1], 0x0\ns_movk_i32 s6, 0x1000\ns_mov_b32 s7, 0x20000\n"
    "v_lshlrev_b32_e32 v1, 2, v0\nv_and_b32_e32 v1, 0xfc, v1\n";

text_kernel kernel_of(const std::string& lines)
{
    text_kernel made("gfx942", described + lines + "\ns_endpgm");
    made.entry().lds_bytes = 1024;
    std::iota(made.buffer.begin(), made.buffer.end(), 7U);
    return made;
}

}  // namespace

TEST_CASE("buffers: the checks follow what a load to LDS needs and leaves")
{
    const std::string load = "s_mov_b32 m0, 0\nbuffer_load_dword v1, s[4:7], 0 offen lds\n";
    const std::string copy = "ds_read_b32 v2, v1\nbuffer_store_dword v2, v1, s[4:7], 0 offen offset:512\n";
    text_kernel good = kernel_of(load + "s_barrier\n" + copy);
    CHECK(good.message() == "no fault");
    CHECK(good.buffer[128 + 63] == 7 + 63);

    text_kernel racing = kernel_of("v_lshlrev_b32_e32 v3, 2, v0\n" + load + copy);
    racing.block = 128;
    CHECK(racing.message().find("a race for LDS bytes") != std::string::npos);
    const auto says = [](const std::string& lines, const char* part) {
        const std::string message = kernel_of(lines).message();
        CAPTURE(message);
        CHECK(message.find(part) != std::string::npos);
    };
    says(copy, "depends on LDS byte 0, which nothing wrote");
    says("buffer_load_dword v1, s[4:7], 0 offen lds", "the address, m0, depends on m0");
    says("buffer_load_dword v9, v8, s[4:7], 0 offen", "the address, v8, depends on v8");
    says("buffer_load_dword v9, v1, s[8:11], 0 offen", "the address, s8, depends on s8");
    says("buffer_store_dword v9, v1, s[4:7], 0 offen", "what is stored, v9, depends on v9");
}

TEST_CASE("buffers: bytes inside are counted, those outside are not")
{
    text_kernel of = kernel_of(
        "s_movk_i32 s6, 0x28\nbuffer_load_dwordx4 v[4:7], v1, s[4:7], 0 offen\n"
        "s_mov_b32 m0, 0\nbuffer_load_dword v1, s[4:7], 0 offen lds\n"
        "buffer_store_dword v1, v1, s[4:7], 0 offen");
    launch_record record(128);
    of.record = &record;
    REQUIRE(of.message() == "no fault");
    // Lanes 0 to 6 have four words inside the ten, the next three have 3, 2 and 1.
    CHECK(record.counts.bytes_read == (7 * 4 + 3 + 2 + 1) * 4 + 10 * 4);
    CHECK(record.counts.bytes_written == 10 * 4);
    CHECK(record.counts.global == 3);
}

TEST_CASE("buffers: beside them scratch keeps four words a lane")
{
    text_kernel of = kernel_of(
        "v_add_u32_e32 v4, 1, v0\nv_add_u32_e32 v5, 2, v0\nv_add_u32_e32 v6, 3, v0\nv_add_u32_e32 v7, 4, v0\n"
        "scratch_store_dwordx4 off, v[4:7], off offset:16\nscratch_load_dwordx4 v[8:11], off, off offset:16\n"
        "v_lshlrev_b32_e32 v1, 4, v0\nbuffer_store_dwordx4 v[8:11], v1, s[4:7], 0 offen");
    of.entry().scratch_bytes = 32;
    REQUIRE(of.message() == "no fault");
    for (u32 lane = 0; lane < 64; ++lane)
        for (u32 word = 0; word < 4; ++word) CHECK(of.buffer[lane * 4 + word] == lane + 1 + word);
}

TEST_CASE("buffers: a mode's denormals are set by fields of its register")
{
    lane_machine m;
    m.set_vector(1, 0x00400000U);
    const auto doubled = [&] {
        m.run("v_add_f32_e32 v2, v1, v1");
        return m.vector(2, 0);
    };
    CHECK(doubled() == 0x00800000U);
    m.run("s_setreg_imm32_b32 hwreg(HW_REG_MODE, 4, 2), 0");
    CHECK(doubled() == 0);
    CHECK(m.state.half_and_double.in);
    m.state.s[3] = 3;
    m.run("s_setreg_b32 hwreg(HW_REG_MODE, 4, 2), s3");
    CHECK(doubled() == 0x00800000U);
    CHECK_THROWS_AS(m.run("s_setreg_imm32_b32 hwreg(HW_REG_MODE, 0, 2), 1"), fault);
    CHECK_THROWS_AS(m.run("s_setreg_imm32_b32 hwreg(HW_REG_MODE, 8, 1), 1"), fault);
}

TEST_CASE("launch: work-groups in three dimensions, their numbers in scalars, those along x first")
{
    text_kernel of("gfx942",
                   "s_load_dwordx2 s[6:7], s[0:1], 0x0\ns_lshl_b32 s8, s4, 8\ns_lshl_b32 s9, s3, 4\n"
                   "s_or_b32 s8, s8, s9\ns_or_b32 s8, s8, s2\nv_mov_b32_e32 v1, s8\n"
                   "s_mul_i32 s9, s4, 2\ns_add_i32 s9, s9, s3\ns_mul_i32 s9, s9, 3\ns_add_i32 s9, s9, s2\n"
                   "s_lshl_b32 s9, s9, 2\nv_mov_b32_e32 v2, s9\nglobal_store_dword v2, v1, s[6:7]\ns_endpgm");
    of.entry().has_group_y = of.entry().has_group_z = true;
    of.block = 1;
    of.groups = 3, of.groups_y = 2, of.groups_z = 4;
    REQUIRE(of.message() == "no fault");
    for (u32 i = 0; i < 24; ++i) CHECK(of.buffer[i] == (i / 6 << 8 | i / 3 % 2 << 4 | i % 3));
    of.groups_z = 0;
    CHECK(of.message().find("3 x 2 x 0 work-groups are none, or 2^32 or more") != std::string::npos);
}
