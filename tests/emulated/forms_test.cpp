// tests/emulated/forms_test.cpp -- every form of the instructions that compilers choose among: comparisons, modifiers of
// sources, parts of registers, widths of accesses. What is expected is worked out here, or by the plain form.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "tests/emulated/lane_machine.hpp"

using namespace mhc::emulator;
using mhc::emulator::testing::lane_machine;

namespace {

constexpr std::array<u64, 8> integers{0, 1, 2, 0x7FFF, 0x8000, 0xFFFF, 0x8000000000000000U, ~u64{0}};

template <class T>
bool compared(const std::string& how, T a, T b)
{
    if (how == "eq") return a == b;
    if (how == "ne" || how == "lg") return a != b;
    if (how == "lt") return a < b;
    if (how == "le") return a <= b;
    if (how == "gt") return a > b;
    REQUIRE(how == "ge");
    return a >= b;
}

/// All comparisons of one integer type, of vectors in both forms.
template <class T>
void compare_vectors(const std::string& type, int generation)
{
    const bool is_wide = sizeof(T) == 8;
    for (const std::string how : {"eq", "ne", "lt", "le", "gt", "ge"})
        for (const u64 a : integers)
            for (const u64 b : integers) {
                lane_machine m(generation);
                m.set_vector(2, static_cast<u32>(a)), m.set_vector(3, static_cast<u32>(a >> 32));
                m.set_vector(4, static_cast<u32>(b)), m.set_vector(5, static_cast<u32>(b >> 32));
                const std::string sources = is_wide ? "v[2:3], v[4:5]" : "v2, v4";
                const bool is = compared(how, static_cast<T>(a), static_cast<T>(b));
                const u64 lanes = is ? m.state.all_lanes() : 0;
                const std::string name = fmt::format("v_cmp_{}_{}", how, type);
                const bool is_64 = generation == 9;
                CAPTURE(name);
                CAPTURE(a);
                CAPTURE(b);
                m.run(fmt::format("{}_e32 {}, {}", name, is_64 ? "vcc" : "vcc_lo", sources));
                CHECK((is_64 ? m.state.vcc() : m.state.vcc() & 0xFFFFFFFFU) == lanes);
                m.run(fmt::format("{}_e64 {}, {}", name, is_64 ? "s[10:11]" : "s10", sources));
                CHECK(m.state.s[10] == static_cast<u32>(lanes));
            }
}

template <class T>
void compare_floats(const std::string& type, int generation)
{
    const auto word_of = [](T value) {
        u64 bits = 0;
        std::memcpy(&bits, &value, sizeof(T));
        return bits;
    };
    const T nan = std::numeric_limits<T>::quiet_NaN();
    const std::array<T, 5> values{T(-1), T(0), T(1.5), std::numeric_limits<T>::infinity(), nan};
    const auto expected = [](const std::string& how, T a, T b) {
        const bool is_ordered = a == a && b == b;
        if (how == "o" || how == "u") return (how == "o") == is_ordered;
        if (how == "neq") return !(a == b);
        if (how == "lg") return is_ordered && a != b;
        return how.starts_with('n') ? !is_ordered || !compared(how.substr(1), a, b) : is_ordered && compared(how, a, b);
    };
    for (const std::string how : {"eq", "lg", "lt", "le", "gt", "ge", "o", "u", "neq", "nlg", "nlt", "nle", "ngt", "nge"})
        for (const T a : values)
            for (const T b : values) {
                lane_machine m(generation);
                m.set_vector(2, static_cast<u32>(word_of(a))), m.set_vector(3, static_cast<u32>(word_of(a) >> 32));
                m.set_vector(4, static_cast<u32>(word_of(b))), m.set_vector(5, static_cast<u32>(word_of(b) >> 32));
                const std::string first = sizeof(T) == 8 ? "v[2:3]" : "v2", second = sizeof(T) == 8 ? "v[4:5]" : "v4";
                const std::string name = fmt::format("v_cmp_{}_{}", how, type);
                CAPTURE(name);
                CAPTURE(a);
                CAPTURE(b);
                const std::string vcc = generation == 9 ? "vcc" : "vcc_lo", to = generation == 9 ? "s[10:11]" : "s10";
                m.run(fmt::format("{}_e32 {}, {}, {}", name, vcc, first, second));
                CHECK((m.state.vcc() & 1) == u64{expected(how, a, b)});
                const auto check = [&](const std::string& sources, T x, T y) {
                    m.run(fmt::format("{}_e64 {}, {}", name, to, sources));
                    CHECK((m.state.s[10] & 1) == u32{expected(how, x, y)});
                };
                check(first + ", " + second, a, b);
                check(fmt::format("|{}|, {}", first, second), std::fabs(a), b);
                check(fmt::format("{}, -{}", first, second), a, -b);
                check(fmt::format("-|{}|, {}", first, second), -std::fabs(a), b);
            }
}

/// The part of a word that a selector of SDWA names, with or without its sign.
u32 part_of(u32 word, const std::string& selector, bool is_signed)
{
    if (selector == "DWORD") return word;
    const u32 number = static_cast<u32>(selector.back() - '0');
    if (selector.starts_with("BYTE")) {
        const u32 byte = word >> (8 * number) & 0xFF;
        return is_signed ? static_cast<u32>(static_cast<i32>(static_cast<std::int8_t>(byte))) : byte;
    }
    const u32 half = word >> (16 * number) & 0xFFFF;
    return is_signed ? static_cast<u32>(static_cast<i32>(static_cast<std::int16_t>(half))) : half;
}

const std::vector<std::string> selectors{"DWORD", "BYTE_0", "BYTE_1", "BYTE_2", "BYTE_3", "WORD_0", "WORD_1"};

}  // namespace

TEST_CASE("emulator: comparisons of integers, all kinds and both forms")
{
    for (const int generation : {9, 11, 12}) {
        compare_vectors<std::int16_t>("i16", generation);
        compare_vectors<std::uint16_t>("u16", generation);
        compare_vectors<i32>("i32", generation);
        compare_vectors<u32>("u32", generation);
        compare_vectors<i64>("i64", generation);
        compare_vectors<u64>("u64", generation);
    }
}

TEST_CASE("emulator: comparisons of floats, all kinds, forms and modifiers, NaN included")
{
    for (const int generation : {9, 11, 12}) {
        compare_floats<float>("f32", generation);
        compare_floats<double>("f64", generation);
    }
}

TEST_CASE("emulator: comparisons of scalars, with registers and with constants")
{
    for (const int generation : {9, 11, 12})
        for (const u64 a : integers)
            for (const u64 b : integers) {
                lane_machine m(generation);
                m.state.s[4] = static_cast<u32>(a), m.state.s[5] = static_cast<u32>(a >> 32);
                m.state.s[6] = static_cast<u32>(b), m.state.s[7] = static_cast<u32>(b >> 32);
                const auto low_a = static_cast<u32>(a), low_b = static_cast<u32>(b);
                CAPTURE(a);
                CAPTURE(b);
                CAPTURE(generation);
                const auto check = [&](const std::string& line, bool expected) {
                    CAPTURE(line);
                    m.run(line);
                    CHECK(m.state.scc == u32{expected});
                };
                for (const std::string how : {"eq", "lg", "lt", "le", "gt", "ge"}) {
                    check(fmt::format("s_cmp_{}_u32 s4, s6", how), compared(how, low_a, low_b));
                    check(fmt::format("s_cmp_{}_i32 s4, s6", how),
                          compared(how, static_cast<i32>(low_a), static_cast<i32>(low_b)));
                    if (generation == 12) continue;  // gfx12 has no s_cmpk
                    check(fmt::format("s_cmpk_{}_u32 s4, {:#x}", how, low_b & 0xFFFF), compared(how, low_a, low_b & 0xFFFF));
                    check(fmt::format("s_cmpk_{}_i32 s4, {:#x}", how, low_b & 0xFFFF),
                          compared(how, static_cast<i32>(low_a), static_cast<i32>(static_cast<std::int16_t>(b))));
                }
                check("s_cmp_eq_u64 s[4:5], s[6:7]", a == b);
                check("s_cmp_lg_u64 s[4:5], s[6:7]", a != b);
                check("s_bitcmp0_b32 s4, s6", (low_a >> (low_b & 31) & 1) == 0);
                check("s_bitcmp1_b32 s4, s6", (low_a >> (low_b & 31) & 1) == 1);
                check("s_bitcmp0_b64 s[4:5], s6", (a >> (low_b & 63) & 1) == 0);
                check("s_bitcmp1_b64 s[4:5], s6", (a >> (low_b & 63) & 1) == 1);
            }
}

TEST_CASE("emulator: a modifier of a source is the plain instruction on a modified source")
{
    struct form {
        const char* name;
        int sources;
    };
    const auto forms_of = [](int generation) {
        std::vector<form> all{{"v_add_f32_e64", 2},  {"v_sub_f32_e64", 2}, {"v_subrev_f32_e64", 2}, {"v_mul_f32_e64", 2},
                              {"v_fma_f32", 3},      {"v_rcp_f32_e64", 1}, {"v_sqrt_f32_e64", 1},   {"v_rsq_f32_e64", 1},
                              {"v_exp_f32_e64", 1},  {"v_log_f32_e64", 1}, {"v_rndne_f32_e64", 1},  {"v_floor_f32_e64", 1},
                              {"v_trunc_f32_e64", 1}};
        if (generation == 12)
            all.insert(all.end(), {{"v_max_num_f32_e64", 2}, {"v_min_num_f32_e64", 2}});
        else
            all.insert(all.end(), {{"v_max_f32_e64", 2}, {"v_min_f32_e64", 2}, {"v_max3_f32", 3}, {"v_med3_f32", 3}});
        return all;
    };
    const std::array<float, 4> values{1.5F, -2.25F, 0.0F, -0.375F};
    for (const int generation : {9, 11, 12})
        for (const form& each : forms_of(generation))
            for (int modified = 0; modified < each.sources; ++modified)
                for (const std::string kind : {"neg", "abs", "both"}) {
                    lane_machine m(generation);
                    const auto bits = [](float value) {
                        u32 word = 0;
                        std::memcpy(&word, &value, 4);
                        return word;
                    };
                    const auto change = [&](float value) {
                        const float magnitude = kind == "neg" ? value : std::fabs(value);
                        return kind == "abs" ? magnitude : -magnitude;
                    };
                    std::string with, plain;
                    for (int i = 0; i < each.sources; ++i) {
                        const auto value = [&](u32 lane) { return values[(lane >> (2 * i)) % 4]; };
                        const u32 given = 2 + static_cast<u32>(i), ready = 8 + static_cast<u32>(i);
                        m.set_vector(given, [&](u32 lane) { return bits(value(lane)); });
                        m.set_vector(ready,
                                     [&](u32 lane) { return bits(i == modified ? change(value(lane)) : value(lane)); });
                        const char* const shape = i != modified   ? ", v{}"
                                                  : kind == "neg" ? ", -v{}"
                                                  : kind == "abs" ? ", |v{}|"
                                                                  : ", -|v{}|";
                        with += fmt::format(fmt::runtime(shape), given);
                        plain += fmt::format(", v{}", ready);
                    }
                    m.run(fmt::format("{} v0{}", each.name, with));
                    m.run(fmt::format("{} v1{}", each.name, plain));
                    CAPTURE(each.name);
                    CAPTURE(kind);
                    CAPTURE(modified);
                    for (u32 lane = 0; lane < m.state.lanes; ++lane) CHECK(m.vector(0, lane) == m.vector(1, lane));
                }
}

TEST_CASE("emulator: v_cndmask_b32 changes the signs of what it chooses")
{
    for (const int generation : {9, 11, 12}) {
        lane_machine m(generation);
        m.set_vector(2, 0x40000000U), m.set_vector(3, 0xC0400000U);
        m.state.s[10] = 0x2, m.state.s[11] = 0;
        const std::string mask = generation == 9 ? "s[10:11]" : "s10";
        const auto chosen = [&](const std::string& sources) {
            m.run(fmt::format("v_cndmask_b32_e64 v0, {}, {}", sources, mask));
            return std::pair(m.vector(0, 0), m.vector(0, 1));
        };
        CHECK(chosen("v2, v3") == std::pair(0x40000000U, 0xC0400000U));
        CHECK(chosen("-v2, |v3|") == std::pair(0xC0000000U, 0x40400000U));
        CHECK(chosen("v2, -|v3|") == std::pair(0x40000000U, 0xC0400000U));
        CHECK(chosen("|v2|, -v3") == std::pair(0x40000000U, 0x40400000U));
    }
}

TEST_CASE("emulator: parts of sources, with and without signs, in integer operations and comparisons")
{
    constexpr u32 first = 0x81F27305U, second = 0x7FE3A206U;
    lane_machine m;
    m.set_vector(2, first), m.set_vector(3, second);
    for (const std::string& left : selectors)
        for (const std::string& right : selectors)
            for (const bool is_signed : {false, true}) {
                const std::string a = is_signed ? "sext(v2)" : "v2", b = is_signed ? "sext(v3)" : "v3";
                const std::string sources = fmt::format("{}, {}", a, b);
                const std::string parts = fmt::format("src0_sel:{} src1_sel:{}", left, right);
                const u32 x = part_of(first, left, is_signed), y = part_of(second, right, is_signed);
                CAPTURE(parts);
                CAPTURE(is_signed);
                const auto result = [&](const std::string& name) {
                    m.run(fmt::format("{}_sdwa v0, {} dst_sel:DWORD dst_unused:UNUSED_PAD {}", name, sources, parts));
                    return m.vector(0, 0);
                };
                CHECK(result("v_add_u32") == x + y);
                CHECK(result("v_sub_u32") == x - y);
                CHECK(result("v_add_u16") == ((x + y) & 0xFFFFU));
                CHECK(result("v_and_b32") == (x & y));
                CHECK(result("v_or_b32") == (x | y));
                CHECK(result("v_xor_b32") == (x ^ y));
                CHECK(result("v_lshlrev_b32") == y << (x & 31));
                CHECK(result("v_lshrrev_b32") == y >> (x & 31));
                CHECK(result("v_min_u32") == std::min(x, y));
                CHECK(result("v_max_i32") == static_cast<u32>(std::max(static_cast<i32>(x), static_cast<i32>(y))));
                for (const std::string how : {"eq", "ne", "lt", "le", "gt", "ge"}) {
                    const auto is = [&](const std::string& type) {
                        m.run(fmt::format("v_cmp_{}_{}_sdwa s[10:11], {} {}", how, type, sources, parts));
                        return m.state.s[10] != 0;
                    };
                    CHECK(is("u32") == compared(how, x, y));
                    CHECK(is("i32") == compared(how, static_cast<i32>(x), static_cast<i32>(y)));
                    CHECK(is("u16") == compared(how, static_cast<std::uint16_t>(x), static_cast<std::uint16_t>(y)));
                    CHECK(is("i16") == compared(how, static_cast<std::int16_t>(x), static_cast<std::int16_t>(y)));
                }
            }
}

TEST_CASE("emulator: a part of the destination, the rest padded, signed or kept")
{
    lane_machine m;
    m.set_vector(2, 0x000000F0U), m.set_vector(3, 0x00000007U);
    for (const std::string& to : selectors) {
        if (to == "DWORD") continue;
        const bool is_byte = to.starts_with("BYTE");
        const u32 shift = (is_byte ? 8U : 16U) * static_cast<u32>(to.back() - '0');
        const u32 mask = is_byte ? 0xFFU : 0xFFFFU;
        const auto result = [&](const std::string& rest) {
            m.set_vector(0, 0x11223344U);
            m.run(fmt::format("v_or_b32_sdwa v0, v2, v3 dst_sel:{} dst_unused:{} src0_sel:DWORD src1_sel:DWORD", to, rest));
            return m.vector(0, 0);
        };
        CAPTURE(to);
        CHECK(result("UNUSED_PAD") == 0xF7U << shift);
        CHECK(result("UNUSED_PRESERVE") == ((0x11223344U & ~(mask << shift)) | 0xF7U << shift));
        const i32 extended = is_byte ? static_cast<i32>(static_cast<std::int8_t>(0xF7)) : 0xF7;
        CHECK(result("UNUSED_SEXT") == static_cast<u32>(extended) << shift);
    }
}

TEST_CASE("emulator: loads and stores of every width, from memory and LDS, with offsets and addresses of either kind")
{
    for (const int generation : {9, 11, 12}) {
        const bool is_old = generation == 9;
        lane_machine m(generation, 256);
        alignas(16) std::array<u32, 64> words{};
        for (u32 i = 0; i < 64; ++i) words[i] = 0x01010101U * i + 0x80;
        std::memcpy(m.group.lds.data(), words.data(), sizeof(words));
        const auto begin = reinterpret_cast<std::uintptr_t>(words.data());
        m.memory.add({begin, sizeof(words), "buffer 1", true});
        m.state.s[4] = static_cast<u32>(begin), m.state.s[5] = static_cast<u32>(begin >> 32);
        m.set_exec(1);
        m.set_vector(0, 16);
        m.set_vector(2, static_cast<u32>(begin + 16)), m.set_vector(3, static_cast<u32>((begin + 16) >> 32));
        for (u32 count = 1; count <= 4; ++count) {
            const std::string bits = fmt::format("b{}", 32 * count);
            const std::string old = count == 1 ? "dword" : fmt::format("dwordx{}", count);
            const std::string data = count == 1 ? "v10" : fmt::format("v[10:{}]", 9 + count);
            const std::string load = "global_load_" + (is_old ? old : bits), store = "global_store_" + (is_old ? old : bits);
            const std::string lds = (is_old ? "ds_read_" : "ds_load_") + bits;
            const std::string lds_store = (is_old ? "ds_write_" : "ds_store_") + bits;
            for (const u32 offset : {0U, 32U}) {
                const std::string behind = offset == 0 ? "" : fmt::format(" offset:{}", offset);
                for (const std::string& line : {fmt::format("{} {}, v0, s[4:5]{}", load, data, behind),
                                                fmt::format("{} {}, v[2:3], off{}", load, data, behind),
                                                fmt::format("{} {}, v0{}", lds, data, behind)}) {
                    CAPTURE(line);
                    for (u32 i = 0; i < 5; ++i) m.set_vector(10 + i, 7);
                    m.run(line);
                    for (u32 i = 0; i < 5; ++i) CHECK(m.vector(10 + i, 0) == (i < count ? words[4 + offset / 4 + i] : 7U));
                }
                for (const std::string& line : {fmt::format("{} v0, {}, s[4:5]{}", store, data, behind),
                                                fmt::format("{} v[2:3], {}, off{}", store, data, behind),
                                                fmt::format("{} v0, {}{}", lds_store, data, behind)}) {
                    CAPTURE(line);
                    const std::array<u32, 64> before = words;
                    for (u32 i = 0; i < 4; ++i) m.set_vector(10 + i, 0xA0 + i);
                    m.run(line);
                    std::array<u32, 64> now = words;
                    if (line.starts_with("ds_")) std::memcpy(now.data(), m.group.lds.data(), sizeof(now));
                    for (u32 i = 0; i < 64; ++i) {
                        const u32 at = i - 4 - offset / 4;
                        CHECK(now[i] == (at < count ? 0xA0 + at : before[i]));
                    }
                    words = before;
                    std::memcpy(m.group.lds.data(), words.data(), sizeof(words));
                }
            }
        }
    }
}
