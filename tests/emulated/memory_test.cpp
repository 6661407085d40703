// tests/emulated/memory_test.cpp -- atomic operations, flat accesses, and every width of LDS.
#include <doctest/doctest.h>

#include <array>
#include <cstring>
#include <string>

#include "tests/emulated/lane_machine.hpp"

using namespace mhc::emulator;
using mhc::emulator::testing::lane_machine;

namespace {

/// A machine with 256 bytes of memory at s[4:5], one active lane, its offset 8 in v0, its address in v[2:3], data in v4 to
/// v7.
struct memory_machine {
    lane_machine m;
    alignas(16) std::array<u32, 64> words{};

    explicit memory_machine(int generation = 9) : m(generation, 256)
    {
        const auto begin = reinterpret_cast<std::uintptr_t>(words.data());
        m.memory.add({begin, sizeof(words), "buffer 1", true});
        m.state.s[4] = static_cast<u32>(begin), m.state.s[5] = static_cast<u32>(begin >> 32);
        m.set_vector(0, 8);
        m.set_vector(2, static_cast<u32>(begin + 8)), m.set_vector(3, static_cast<u32>((begin + 8) >> 32));
        m.set_exec(1);
    }
    /// Old and new value of an operation on a word, or two.
    std::pair<u64, u64> done(const std::string& line, u64 old, u64 data, u64 second = 0)
    {
        std::memcpy(words.data() + 2, &old, sizeof(old));
        std::memcpy(m.group.lds.data() + 8, &old, sizeof(old));
        m.set_vector(4, static_cast<u32>(data)), m.set_vector(5, static_cast<u32>(data >> 32));
        m.set_vector(6, static_cast<u32>(second)), m.set_vector(7, static_cast<u32>(second >> 32));
        m.set_vector(10, 0), m.set_vector(11, 0);
        m.run(line);
        u64 now = 0;
        if (line.starts_with("ds_"))
            std::memcpy(&now, m.group.lds.data() + 8, sizeof(now));
        else
            std::memcpy(&now, words.data() + 2, sizeof(now));
        return {joined(m.vector(10, 0), m.vector(11, 0)), now};
    }
};

}  // namespace

TEST_CASE("emulator: atomic operations on memory give the old value where they say so")
{
    memory_machine old;
    using both = std::pair<u64, u64>;
    CHECK(old.done("global_atomic_add v10, v0, v4, s[4:5] glc", 0x1FFFFFFFFU, 3) == both{0xFFFFFFFFU, 0x100000002U});
    CHECK(old.done("global_atomic_add v0, v4, s[4:5]", 5, 3) == both{0, 8});
    CHECK(old.done("global_atomic_add_x2 v[10:11], v0, v[4:5], s[4:5] sc0", 0xFFFFFFFFU, 1) ==
          both{0xFFFFFFFFU, 0x100000000U});
    CHECK(old.done("global_atomic_sub v10, v[2:3], v4, off sc0", 2, 3) == both{2, 0xFFFFFFFFU});
    CHECK(old.done("global_atomic_smin v10, v0, v4, s[4:5] glc", 2, 0xFFFFFFFFU) == both{2, 0xFFFFFFFFU});
    CHECK(old.done("global_atomic_umin v10, v0, v4, s[4:5] glc", 2, 0xFFFFFFFFU) == both{2, 2});
    CHECK(old.done("global_atomic_smax v10, v0, v4, s[4:5] glc", 2, 0xFFFFFFFFU) == both{2, 2});
    CHECK(old.done("global_atomic_umax_x2 v[10:11], v0, v[4:5], s[4:5] glc", 2, 0xFFFFFFFFFFU) == both{2, 0xFFFFFFFFFFU});
    CHECK(old.done("global_atomic_and v0, v4, s[4:5]", 0xF0, 0x3C) == both{0, 0x30});
    CHECK(old.done("global_atomic_or v0, v4, s[4:5]", 0xF0, 0x3C) == both{0, 0xFC});
    CHECK(old.done("global_atomic_xor v0, v4, s[4:5]", 0xF0, 0x3C) == both{0, 0xCC});
    CHECK(old.done("global_atomic_swap v10, v0, v4, s[4:5] glc", 0xF0, 0x3C) == both{0xF0, 0x3C});
    CHECK(old.done("global_atomic_inc v10, v0, v4, s[4:5] glc", 7, 7) == both{7, 0});
    CHECK(old.done("global_atomic_inc v10, v0, v4, s[4:5] glc", 6, 7) == both{6, 7});
    CHECK(old.done("global_atomic_dec v10, v0, v4, s[4:5] glc", 0, 7) == both{0, 7});
    CHECK(old.done("global_atomic_add_f32 v0, v4, s[4:5]", 0x3F800000U, 0x40000000U) == both{0, 0x40400000U});
    CHECK(old.done("global_atomic_add_f64 v0, v[4:5], s[4:5]", 0x3FF0000000000000U, 0x4000000000000000U) ==
          both{0, 0x4008000000000000U});
    CHECK(old.done("global_atomic_pk_add_f16 v0, v4, s[4:5]", 0x40003C00U, 0x3C003C00U) == both{0, 0x42004000U});
    CHECK(old.done("global_atomic_pk_add_bf16 v0, v4, s[4:5]", 0x40003F80U, 0x3F803F80U) == both{0, 0x40404000U});
    // The data comes first, then what is compared with.
    CHECK(old.done("global_atomic_cmpswap v10, v0, v[4:5], s[4:5] glc", 7, joined(9, 7)) == both{7, 9});
    CHECK(old.done("global_atomic_cmpswap v10, v0, v[4:5], s[4:5] glc", 7, joined(9, 8)) == both{7, 7});
    CHECK(old.done("global_atomic_cmpswap_x2 v[10:11], v0, v[4:7], s[4:5] glc", 7, 9, 7) == both{7, 9});
    CHECK(old.done("flat_atomic_add v10, v[2:3], v4 glc", 5, 3) == both{5, 8});

    memory_machine later(12);
    CHECK(later.done("global_atomic_add_u32 v10, v0, v4, s[4:5] th:TH_ATOMIC_RETURN", 5, 3) == both{5, 8});
    CHECK(later.done("global_atomic_min_i64 v0, v[4:5], s[4:5]", 5, ~u64{0}) == both{0, ~u64{0}});
    CHECK(later.done("global_atomic_max_num_f32 v0, v4, s[4:5]", 0x3F800000U, 0x7FC00000U) == both{0, 0x3F800000U});
    CHECK(later.done("global_atomic_cmpswap_b32 v10, v0, v[4:5], s[4:5] th:TH_ATOMIC_RETURN", 7, joined(9, 7)) ==
          both{7, 9});
    CHECK(later.done("flat_atomic_swap_b64 v[2:3], v[4:5]", 7, 9) == both{0, 9});
}

TEST_CASE("emulator: lanes that meet at one word add up, and a stray one is a fault")
{
    memory_machine of;
    of.m.set_exec(~u64{0});
    of.m.set_vector(4, [](u32 lane) { return lane; });
    of.m.run("global_atomic_add v10, v0, v4, s[4:5] glc");
    CHECK(of.words[2] == 63 * 64 / 2);
    CHECK(of.m.vector(10, 3) == 0 + 1 + 2);  // what the lanes before it added
    of.m.set_vector(0, [](u32 lane) { return lane * 8; });
    CHECK_THROWS_AS(of.m.run("global_atomic_add v0, v4, s[4:5]"), fault);
    of.m.set_exec(1);
    of.m.set_vector(0, 2);
    CHECK_THROWS_AS(of.m.run("global_atomic_add v0, v4, s[4:5]"), fault);
}

TEST_CASE("emulator: atomic operations on LDS")
{
    memory_machine old;
    using both = std::pair<u64, u64>;
    CHECK(old.done("ds_add_u32 v0, v4", 5, 3) == both{0, 8});
    CHECK(old.done("ds_add_rtn_u32 v10, v0, v4", 5, 3) == both{5, 8});
    CHECK(old.done("ds_add_rtn_u64 v[10:11], v0, v[4:5]", 0xFFFFFFFFU, 1) == both{0xFFFFFFFFU, 0x100000000U});
    CHECK(old.done("ds_rsub_u32 v0, v4", 5, 3) == both{0, 0xFFFFFFFEU});
    CHECK(old.done("ds_min_rtn_i32 v10, v0, v4", 5, 0xFFFFFFFFU) == both{5, 0xFFFFFFFFU});
    CHECK(old.done("ds_max_u32 v0, v4", 5, 0xFFFFFFFFU) == both{0, 0xFFFFFFFFU});
    CHECK(old.done("ds_and_b32 v0, v4", 0xF0, 0x3C) == both{0, 0x30});
    CHECK(old.done("ds_or_b32 v0, v4", 0xF0, 0x3C) == both{0, 0xFC});
    CHECK(old.done("ds_xor_rtn_b64 v[10:11], v0, v[4:5]", 0xF0, 0x3C) == both{0xF0, 0xCC});
    CHECK(old.done("ds_wrxchg_rtn_b32 v10, v0, v4", 5, 3) == both{5, 3});
    CHECK(old.done("ds_add_f32 v0, v4", 0x3F800000U, 0x40000000U) == both{0, 0x40400000U});
    CHECK(old.done("ds_max_rtn_f32 v10, v0, v4", 0x3F800000U, 0x40000000U) == both{0x3F800000U, 0x40000000U});
    // gfx9 has what is compared with before the data, gfx11 behind it.
    CHECK(old.done("ds_cmpst_rtn_b32 v10, v0, v4, v6", 5, 5, 9) == both{5, 9});
    CHECK(old.done("ds_cmpst_b32 v0, v4, v6", 5, 6, 9) == both{0, 5});
    memory_machine later(11);
    CHECK(later.done("ds_cmpstore_rtn_b32 v10, v0, v4, v6", 5, 9, 5) == both{5, 9});
    CHECK(later.done("ds_storexchg_rtn_b64 v[10:11], v0, v[4:5]", 5, 9) == both{5, 9});
    CHECK_THROWS_AS(old.m.run("ds_add_u32 v0, v4 offset:256"), fault);
    CHECK_THROWS_AS(old.m.run("ds_add_u32 v0, v4 offset:2"), fault);
}

TEST_CASE("emulator: flat loads and stores are those of memory")
{
    memory_machine of(9);
    of.words[2] = 0x8081FFFEU, of.words[3] = 7;
    of.m.run("flat_load_dwordx2 v[10:11], v[2:3]");
    CHECK(joined(of.m.vector(10, 0), of.m.vector(11, 0)) == 0x78081FFFEU);
    of.m.run("flat_load_sbyte v10, v[2:3] offset:3");
    CHECK(of.m.vector(10, 0) == 0xFFFFFF80U);
    of.m.set_vector(10, 0x11112222U);
    of.m.run("flat_load_short_d16_hi v10, v[2:3]");
    CHECK(of.m.vector(10, 0) == 0xFFFE2222U);
    of.m.run("flat_load_sbyte_d16 v10, v[2:3] offset:3");
    CHECK(of.m.vector(10, 0) == 0xFFFEFF80U);
    of.m.set_vector(4, 0xAABBCCDDU);
    of.m.run("flat_store_byte_d16_hi v[2:3], v4 offset:1");
    CHECK(of.words[2] == 0x8081BBFEU);
    memory_machine later(11);
    later.words[2] = 0xFFU;
    later.m.run("flat_load_u8 v10, v[2:3]");
    CHECK(later.m.vector(10, 0) == 0xFF);
    later.m.run("flat_store_b32 v[2:3], v10 offset:4");
    CHECK(later.words[3] == 0xFF);
}

TEST_CASE("emulator: every width of LDS, and swizzles of lanes")
{
    lane_machine m(9, 1056);
    for (u32 i = 0; i < 1024; ++i) m.group.lds[i] = static_cast<u8>(i * 7);
    const auto word = [&](u32 at) {
        u32 value = 0;
        std::memcpy(&value, m.group.lds.data() + at, 4);
        return value;
    };
    m.set_vector(0, [](u32 lane) { return lane * 16; });
    m.run("ds_read_b96 v[4:6], v0");
    CHECK(m.vector(6, 2) == word(40));
    m.run("ds_read_b128 v[4:7], v0");
    CHECK(m.vector(7, 63) == word(1020));
    m.run("ds_read_i8 v4, v0 offset:19");  // 133, which is negative
    CHECK(m.vector(4, 0) == 0xFFFFFF85U);
    m.run("ds_read_u8 v4, v0 offset:19");
    CHECK(m.vector(4, 0) == 0x85);
    m.set_vector(4, 0x11112222U);
    m.run("ds_read_u8_d16_hi v4, v0 offset:19");
    CHECK(m.vector(4, 0) == 0x00852222U);
    m.run("ds_read_i8_d16 v4, v0 offset:19");
    CHECK(m.vector(4, 0) == 0x0085FF85U);
    m.run("ds_read_u16_d16 v4, v0");
    CHECK(m.vector(4, 0) == 0x00850700U);
    m.set_vector(5, 0xAABBCCDDU);
    m.run("ds_write_b8_d16_hi v0, v5 offset:3");
    CHECK(m.group.lds[3] == 0xBB);
    m.run("ds_write_b16_d16_hi v0, v5");
    CHECK(word(0) == 0xBB0EAABBU);
    m.set_vector(5, [](u32 lane) { return lane; }), m.set_vector(6, 60), m.set_vector(7, 70), m.set_vector(8, 80);
    m.run("ds_write_b128 v0, v[5:8]");
    CHECK(word(16 * 9) == 9);
    CHECK(word(16 * 9 + 12) == 80);
    m.run("ds_write2_b64 v0, v[5:6], v[7:8] offset1:1");
    CHECK(word(16 * 9 + 8) == 70);
    m.set_vector(1, [](u32 lane) { return lane * 4; });
    m.run("ds_write2st64_b32 v1, v5, v6 offset1:1");
    CHECK(word(256 + 4 * 63) == 60);

    m.run("ds_swizzle_b32 v4, v5 offset:swizzle(BITMASK_PERM,\"0000p\")");
    CHECK(m.vector(4, 37) == 33);
    m.run("ds_swizzle_b32 v4, v5 offset:swizzle(SWAP,16)");
    CHECK(m.vector(4, 37) == 53);
    m.run("ds_swizzle_b32 v4, v5 offset:swizzle(QUAD_PERM,1,0,3,2)");
    CHECK(m.vector(4, 38) == 39);
    m.run("ds_swizzle_b32 v4, v5 offset:swizzle(REVERSE,8)");
    CHECK(m.vector(4, 9) == 14);
    m.run("ds_swizzle_b32 v4, v5 offset:swizzle(BROADCAST,4,1)");
    CHECK(m.vector(4, 38) == 37);
    m.run("ds_swizzle_b32 v4, v5 offset:33792");  // xor 1
    CHECK(m.vector(4, 38) == 36);
    m.set_vector(1, [](u32 lane) { return (lane + 1) * 4; });
    m.run("ds_permute_b32 v4, v1, v5");
    CHECK(m.vector(4, 0) == 63);
    CHECK(m.vector(4, 12) == 11);
}
