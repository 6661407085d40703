// tests/emulated/matrix_test.cpp -- where matrix instructions have their elements, and how they round.
//
// Places are written down from the tables of the MI300, RDNA3 and RDNA4 ISA documents, numbers worked out by hand.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "tests/emulated/lane_machine.hpp"

using namespace mhc::emulator;
using mhc::emulator::testing::lane_machine;

namespace {

struct place {
    u32 lane, word, shift;  ///< register from the operand's first, bit in it
};
/// 2 at one place of A, 3 at one of B: then 6 is at one place of D, and 0 elsewhere.
struct layout_case {
    const char* name;
    u32 a_words, d_words;
    place a, b;
    u32 two, three;
    place d;
    u32 six_low, six_high = 0;  ///< a second word of D is the upper half of a double
};

constexpr u32 a_at = 0, b_at = 8, c_at = 16, d_at = 64;

std::string range(char file, u32 first, u32 words)
{
    const std::string begin = std::to_string(first);
    return words == 1 ? file + begin : file + ("[" + begin) + ":" + std::to_string(first + words - 1) + "]";
}

void clear(lane_machine& m)
{
    for (u32 i = 0; i < 128; ++i) m.set_vector(i, 0);
    for (u32 i = 0; i < 32; ++i) m.set_vector(first_accumulator + i, 0);
}
std::string line_of(const layout_case& of, char file)
{
    const bool is_accumulator = file == 'a';
    return std::string(of.name) + " " + range(file, is_accumulator ? 0 : d_at, of.d_words) + ", " +
           range('v', a_at, of.a_words) + ", " + range('v', b_at, of.a_words) + ", " +
           range(file, is_accumulator ? 0 : c_at, of.d_words);
}

void check_layout(lane_machine& m, const layout_case& of, char file = 'v')
{
    CAPTURE(of.name);
    clear(m);
    m.vector(a_at + of.a.word, of.a.lane) = of.two << of.a.shift;
    m.vector(b_at + of.b.word, of.b.lane) = of.three << of.b.shift;
    m.run(line_of(of, file));
    const u32 first = file == 'a' ? u32{first_accumulator} : d_at;
    for (u32 word = 0; word < of.d_words; ++word)
        for (u32 lane = 0; lane < m.state.lanes; ++lane) {
            const bool is_place = lane == of.d.lane;
            const u32 expected = is_place && word == of.d.word                           ? of.six_low << of.d.shift
                                 : is_place && of.six_high != 0 && word == of.d.word + 1 ? of.six_high
                                                                                         : 0;
            if (m.vector(first + word, lane) == expected) continue;
            FAIL_CHECK("register " << word << ", lane " << lane << " holds " << m.vector(first + word, lane));
            return;
        }
}

constexpr u32 single_2 = 0x40000000, single_3 = 0x40400000, single_6 = 0x40C00000;
constexpr u32 half_2 = 0x4000, half_3 = 0x4200, bfloat_2 = 0x4000, bfloat_3 = 0x4040;

const std::vector<layout_case>& mfma_cases()
{
    static const std::vector<layout_case> cases{
        // fp32: one k a lane; blocks side by side, the second block's rows in the upper registers
        {"v_mfma_f32_32x32x1f32", 1, 32, {37, 0, 0}, {39, 0, 0}, single_2, single_3, {39, 17, 0}, single_6},
        {"v_mfma_f32_32x32x1_2b_f32", 1, 32, {37, 0, 0}, {39, 0, 0}, single_2, single_3, {39, 17, 0}, single_6},
        {"v_mfma_f32_16x16x1f32", 1, 16, {51, 0, 0}, {57, 0, 0}, single_2, single_3, {9, 15, 0}, single_6},
        {"v_mfma_f32_16x16x1_4b_f32", 1, 16, {51, 0, 0}, {57, 0, 0}, single_2, single_3, {9, 15, 0}, single_6},
        {"v_mfma_f32_4x4x1f32", 1, 4, {26, 0, 0}, {25, 0, 0}, single_2, single_3, {25, 2, 0}, single_6},
        {"v_mfma_f32_4x4x1_16b_f32", 1, 4, {26, 0, 0}, {25, 0, 0}, single_2, single_3, {25, 2, 0}, single_6},
        {"v_mfma_f32_32x32x2f32", 1, 16, {52, 0, 0}, {62, 0, 0}, single_2, single_3, {62, 8, 0}, single_6},
        {"v_mfma_f32_32x32x2_f32", 1, 16, {52, 0, 0}, {62, 0, 0}, single_2, single_3, {62, 8, 0}, single_6},
        {"v_mfma_f32_16x16x4f32", 1, 4, {45, 0, 0}, {41, 0, 0}, single_2, single_3, {57, 1, 0}, single_6},
        {"v_mfma_f32_16x16x4_f32", 1, 4, {45, 0, 0}, {41, 0, 0}, single_2, single_3, {57, 1, 0}, single_6},
        // fp64: rows go over lanes first
        {"v_mfma_f64_16x16x4f64", 2, 8, {22, 1, 0}, {18, 1, 0}, 0x40000000, 0x40080000, {34, 2, 0}, 0, 0x40180000},
        {"v_mfma_f64_16x16x4_f64", 2, 8, {22, 1, 0}, {18, 1, 0}, 0x40000000, 0x40080000, {34, 2, 0}, 0, 0x40180000},
        {"v_mfma_f64_4x4x4f64", 2, 2, {41, 1, 0}, {43, 1, 0}, 0x40000000, 0x40080000, {39, 0, 0}, 0, 0x40180000},
        {"v_mfma_f64_4x4x4_4b_f64", 2, 2, {41, 1, 0}, {43, 1, 0}, 0x40000000, 0x40080000, {39, 0, 0}, 0, 0x40180000},
        // 16 bits: four k a lane, two a register
        {"v_mfma_f32_16x16x16f16", 2, 4, {39, 1, 0}, {36, 1, 0}, half_2, half_3, {20, 3, 0}, single_6},
        {"v_mfma_f32_16x16x16_f16", 2, 4, {39, 1, 0}, {36, 1, 0}, half_2, half_3, {20, 3, 0}, single_6},
        {"v_mfma_f32_16x16x16bf16_1k", 2, 4, {39, 1, 0}, {36, 1, 0}, bfloat_2, bfloat_3, {20, 3, 0}, single_6},
        {"v_mfma_f32_16x16x16_bf16", 2, 4, {39, 1, 0}, {36, 1, 0}, bfloat_2, bfloat_3, {20, 3, 0}, single_6},
        {"v_mfma_f32_16x16x32_bf16", 4, 4, {39, 3, 16}, {36, 3, 16}, bfloat_2, bfloat_3, {20, 3, 0}, single_6},
        {"v_mfma_f32_32x32x8f16", 2, 16, {52, 1, 16}, {62, 1, 16}, half_2, half_3, {62, 8, 0}, single_6},
        {"v_mfma_f32_32x32x8_f16", 2, 16, {52, 1, 16}, {62, 1, 16}, half_2, half_3, {62, 8, 0}, single_6},
        {"v_mfma_f32_32x32x8bf16_1k", 2, 16, {52, 1, 16}, {62, 1, 16}, bfloat_2, bfloat_3, {62, 8, 0}, single_6},
        {"v_mfma_f32_32x32x8_bf16", 2, 16, {52, 1, 16}, {62, 1, 16}, bfloat_2, bfloat_3, {62, 8, 0}, single_6},
        {"v_mfma_f32_4x4x4f16", 2, 4, {13, 1, 0}, {15, 1, 0}, half_2, half_3, {15, 1, 0}, single_6},
        {"v_mfma_f32_4x4x4_16b_f16", 2, 4, {13, 1, 0}, {15, 1, 0}, half_2, half_3, {15, 1, 0}, single_6},
        {"v_mfma_f32_4x4x4bf16_1k", 2, 4, {13, 1, 0}, {15, 1, 0}, bfloat_2, bfloat_3, {15, 1, 0}, single_6},
        {"v_mfma_f32_4x4x4_16b_bf16", 2, 4, {13, 1, 0}, {15, 1, 0}, bfloat_2, bfloat_3, {15, 1, 0}, single_6},
        {"v_mfma_f32_32x32x4f16", 2, 32, {37, 0, 16}, {39, 0, 16}, half_2, half_3, {39, 17, 0}, single_6},
        {"v_mfma_f32_32x32x4_2b_bf16", 2, 32, {37, 0, 16}, {39, 0, 16}, bfloat_2, bfloat_3, {39, 17, 0}, single_6},
        {"v_mfma_f32_16x16x4bf16_1k", 2, 16, {51, 1, 0}, {57, 1, 0}, bfloat_2, bfloat_3, {9, 15, 0}, single_6},
        {"v_mfma_f32_16x16x4_4b_f16", 2, 16, {51, 1, 0}, {57, 1, 0}, half_2, half_3, {9, 15, 0}, single_6},
        // gfx90a's first bf16: two k a lane
        {"v_mfma_f32_16x16x8bf16", 1, 4, {39, 0, 16}, {36, 0, 16}, bfloat_2, bfloat_3, {20, 3, 0}, single_6},
        {"v_mfma_f32_32x32x4bf16", 1, 16, {52, 0, 16}, {62, 0, 16}, bfloat_2, bfloat_3, {62, 8, 0}, single_6},
        {"v_mfma_f32_4x4x2bf16", 1, 4, {13, 0, 0}, {15, 0, 0}, bfloat_2, bfloat_3, {15, 1, 0}, single_6},
        // xf32: two k a lane
        {"v_mfma_f32_16x16x8_xf32", 2, 4, {34, 1, 0}, {35, 1, 0}, single_2, single_3, {3, 2, 0}, single_6},
        {"v_mfma_f32_32x32x4_xf32", 2, 16, {52, 1, 0}, {62, 1, 0}, single_2, single_3, {62, 8, 0}, single_6},
        // bytes: eight k a lane on gfx942, four on gfx90a
        {"v_mfma_f32_16x16x32_fp8_fp8", 2, 4, {37, 0, 24}, {33, 0, 24}, 0x48, 0x4C, {17, 1, 0}, single_6},
        {"v_mfma_f32_16x16x32_bf8_fp8", 2, 4, {37, 0, 24}, {33, 0, 24}, 0x44, 0x4C, {17, 1, 0}, single_6},
        {"v_mfma_f32_16x16x32_fp8_bf8", 2, 4, {37, 1, 8}, {33, 1, 8}, 0x48, 0x46, {17, 1, 0}, single_6},
        {"v_mfma_f32_32x32x16_bf8_bf8", 2, 16, {33, 1, 8}, {32, 1, 8}, 0x44, 0x46, {0, 1, 0}, single_6},
        {"v_mfma_i32_32x32x16_i8", 2, 16, {33, 1, 8}, {32, 1, 8}, 2, 3, {0, 1, 0}, 6},
        {"v_mfma_i32_16x16x32_i8", 2, 4, {37, 0, 24}, {33, 0, 24}, 2, 3, {17, 1, 0}, 6},
        {"v_mfma_i32_16x16x16i8", 1, 4, {39, 0, 16}, {36, 0, 16}, 2, 3, {20, 3, 0}, 6},
        {"v_mfma_i32_32x32x8i8", 1, 16, {52, 0, 24}, {62, 0, 24}, 2, 3, {62, 8, 0}, 6},
    };
    return cases;
}

u32 bits(float v) { return to_bits(v); }

/// D's element in register d_at, lane 0 (row 0, column 0), of k numbers in row 0 of A and column 0 of B, two a register.
u32 dot(lane_machine& m, const std::string& name, const std::vector<std::pair<u32, u32>>& products, u32 c)
{
    clear(m);
    for (u32 k = 0; k < products.size(); ++k) {
        const u32 lane = k / 4 * 16, word = k % 4 / 2, shift = k % 2 * 16;
        m.vector(a_at + word, lane) |= products[k].first << shift;
        m.vector(b_at + word, lane) |= products[k].second << shift;
    }
    m.vector(c_at, 0) = c;
    m.run(name + " v[64:67], v[0:1], v[8:9], v[16:19]");
    return m.vector(d_at, 0);
}

}  // namespace

TEST_CASE("emulator: MFMA's elements are where the tables say, in either file of registers")
{
    lane_machine m;
    for (const layout_case& each : mfma_cases()) {
        check_layout(m, each);
        check_layout(m, each, 'a');
    }
    m.set_exec(1);  // and whatever lanes are active
    check_layout(m, mfma_cases().front());
}

TEST_CASE("emulator: MFMA takes constants, blocks of others, lanes of others and signs")
{
    lane_machine m;
    clear(m);
    m.run("v_mfma_f32_16x16x4_f32 v[64:67], v0, v8, 1.0");
    CHECK(m.vector(66, 5) == bits(1.0F));
    m.run("v_mfma_f64_16x16x4_f64 v[64:71], v[0:1], v[8:9], 1.0");
    CHECK(m.vector(66, 5) == 0);
    CHECK(m.vector(67, 5) == 0x3FF00000U);

    m.vector(a_at, 4) = single_2;  // block 1, row 0, of blocks of four lanes
    for (u32 block = 0; block < 16; ++block) m.vector(b_at, block * 4) = single_3;
    m.run("v_mfma_f32_4x4x1_16b_f32 v[64:67], v0, v8, 0 cbsz:2 abid:1");
    for (u32 block = 0; block < 16; ++block) CHECK(m.vector(64, block * 4) == (block < 4 ? single_6 : 0));

    clear(m);
    m.vector(a_at, 0) = single_2, m.vector(a_at, 32) = bits(10.0F);
    m.vector(b_at, 0) = single_3, m.vector(b_at, 32) = bits(100.0F);
    m.run("v_mfma_f32_32x32x2_f32 v[64:79], v0, v8, 0 blgp:1");
    CHECK(m.vector(64, 0) == bits(36.0F));
    m.run("v_mfma_f32_32x32x2_f32 v[64:79], v0, v8, 0 blgp:2");
    CHECK(m.vector(64, 0) == bits(1200.0F));
    m.run("v_mfma_f32_32x32x2_f32 v[64:79], v0, v8, 0");
    CHECK(m.vector(64, 0) == bits(1006.0F));
    CHECK_THROWS_AS(m.run("v_mfma_f32_32x32x2_f32 v[64:79], v0, v8, 0 blgp:3"), fault);

    clear(m);
    m.vector(a_at + 1, 0) = 0x40000000U, m.vector(b_at + 1, 0) = 0x40080000U;
    m.run("v_mfma_f64_16x16x4_f64 v[64:71], v[0:1], v[8:9], 1.0 neg:[1,0,1]");
    CHECK(m.vector(65, 0) == 0xC01C0000U);  // -(2 * 3) - 1 = -7
}

TEST_CASE("emulator: MFMA adds as the machines were measured to do")
{
    lane_machine m;
    const std::string old_half = "v_mfma_f32_16x16x16f16", half = "v_mfma_f32_16x16x16_f16";
    const std::string old_bfloat = "v_mfma_f32_16x16x16bf16_1k", bfloat = "v_mfma_f32_16x16x16_bf16";
    // gfx942: what is 25 bits below the largest product is cut off, also of eight products; 24 bits are not.
    CHECK(dot(m, half, {{0x3C00, 0x3C00}, {0x0C00, 0x0800}}, 0) == bits(1.0F));                     // 1 + 2^-25
    CHECK(dot(m, half, {{0x3C00, 0x3C00}, {0x0C00, 0x0C00}, {0x0C00, 0x0C00}}, 0) == 0x3F800001U);  // 1 + 2 * 2^-24
    // A small negative addend is rounded down: 1 - 2^-26 becomes 1 - 2^-24.
    CHECK(dot(m, half, {{0x3C00, 0x3C00}}, bits(-0x1p-26F)) == 0x3F7FFFFFU);
    CHECK(dot(m, old_half, {{0x3C00, 0x3C00}}, bits(-0x1p-26F)) == bits(1.0F));
    // gfx90a: (2^24 + 1) + (-2^24 + 0) in fp32 is 0, and 1 is added to that. gfx942 adds the products exactly.
    const std::vector<std::pair<u32, u32>> cancelling{{0x6C00, 0x6C00}, {0x3C00, 0x3C00}, {0x6C00, 0xEC00}};
    CHECK(dot(m, old_half, cancelling, bits(1.0F)) == bits(1.0F));
    CHECK(dot(m, half, cancelling, bits(1.0F)) == bits(2.0F));
    // gfx90a knows no subnormals, of sources, results or addends.
    CHECK(dot(m, old_half, {{0x0001, 0x3C00}}, 0) == 0);
    CHECK(dot(m, half, {{0x0001, 0x3C00}}, 0) == bits(0x1p-24F));
    CHECK(dot(m, old_bfloat, {{0x2000, 0x1F80}}, 0) == 0);  // 2^-63 * 2^-64
    CHECK(dot(m, bfloat, {{0x2000, 0x1F80}}, 0) == bits(0x1p-127F));
    CHECK(dot(m, old_bfloat, {}, 0x00000001U) == 0);
    CHECK(dot(m, bfloat, {}, 0x00000001U) == 0x00000001U);
    // Infinities and NaN.
    CHECK(dot(m, half, {{0x7C00, 0x3C00}}, 0) == 0x7F800000U);
    CHECK((dot(m, half, {{0x7C00, 0}}, 0) & 0x7FC00000U) == 0x7FC00000U);
    CHECK(dot(m, bfloat, {{0x7F00, 0x7F00}}, 0) == 0x7F800000U);
    CHECK((dot(m, bfloat, {{0x7F00, 0x7F00}, {0x7F00, 0xFF00}}, 0) & 0x7FC00000U) == 0x7FC00000U);
    // fp32 is a chain of fma: the products are not rounded.
    clear(m);
    m.vector(a_at, 0) = m.vector(b_at, 0) = bits(1.0F + 0x1p-23F);
    m.vector(c_at, 0) = bits(-(1.0F + 0x1p-22F));
    m.run("v_mfma_f32_16x16x4_f32 v[64:67], v0, v8, v[16:19]");
    CHECK(m.vector(64, 0) == bits(0x1p-46F));
    // gfx950: 32 products of 3 * 1 in four groups of eight.
    clear(m);
    for (u32 word = 0; word < 4; ++word)
        for (u32 lane = 0; lane < 64; lane += 16)
            m.vector(a_at + word, lane) = bfloat_3 | bfloat_3 << 16, m.vector(b_at + word, lane) = 0x3F803F80U;
    m.set_vector(c_at, bits(1.0F));
    m.run("v_mfma_f32_16x16x32_bf16 v[64:67], v[0:3], v[8:11], v[16:19]");
    CHECK(m.vector(64, 0) == bits(97.0F));
    clear(m);
    m.vector(a_at, 0) = m.vector(b_at, 0) = bits(1.0F + 0x1p-23F);
    // xf32 cuts off the last 13 bits of its sources.
    m.set_vector(c_at, 0);
    m.run("v_mfma_f32_16x16x8_xf32 v[64:67], v[0:1], v[8:9], v[16:19]");
    CHECK(m.vector(64, 0) == bits(1.0F));
}

TEST_CASE("emulator: an infinity, or a NaN, of MFMA is its own element's alone")
{
    lane_machine m;
    for (const std::string name : {"v_mfma_f32_16x16x16f16", "v_mfma_f32_16x16x16_f16"}) {
        CAPTURE(name);
        clear(m);
        for (u32 lane = 0; lane < 16; ++lane) {
            m.vector(a_at, lane) = half_2;                        // every row, k 0
            m.vector(b_at, lane) = lane == 5 ? 0x7C00U : half_3;  // every column, and an infinite one
        }
        m.vector(c_at + 2, 32 + 7) = bits(std::numeric_limits<float>::infinity());  // row 10, column 7
        m.run(name + " v[64:67], v[0:1], v[8:9], v[16:19]");
        for (u32 lane = 0; lane < 64; ++lane)
            for (u32 item = 0; item < 4; ++item) {
                const bool is_infinite = lane % 16 == 5 || (lane == 39 && item == 2);
                CHECK(m.vector(d_at + item, lane) == (is_infinite ? 0x7F800000U : single_6));
            }
        m.vector(a_at, 3) = 0;  // row 3
        m.run(name + " v[64:67], v[0:1], v[8:9], v[16:19]");
        CHECK(std::isnan(to_float(m.vector(d_at + 3, 5))));
        CHECK(m.vector(d_at + 3, 4) == 0);
        CHECK(m.vector(d_at + 2, 5) == 0x7F800000U);
    }
}

TEST_CASE("emulator: WMMA's elements are where the tables of gfx11 and gfx12 say")
{
    lane_machine older(11), newer(12);
    for (const bool is_half : {true, false}) {
        const u32 two = is_half ? half_2 : bfloat_2, three = is_half ? half_3 : bfloat_3;
        const std::string name = is_half ? "v_wmma_f32_16x16x16_f16" : "v_wmma_f32_16x16x16_bf16";
        clear(older);
        for (const u32 twice : {0U, 16U}) older.vector(a_at + 4, 3 + twice) = two << 16;    // row 3, k 9
        for (const u32 twice : {0U, 16U}) older.vector(b_at + 4, 6 + twice) = three << 16;  // column 6
        older.run(name + " v[64:71], v[0:7], v[8:15], v[16:23]");
        CHECK(older.vector(65, 22) == single_6);
        CHECK(older.vector(65, 6) == 0);
        older.vector(a_at + 4, 3) = 0;
        CHECK_THROWS_AS(older.run(name + " v[64:71], v[0:7], v[8:15], v[16:23]"), fault);

        clear(newer);
        newer.vector(a_at, 19) = two << 16;    // row 3, k 9
        newer.vector(b_at, 22) = three << 16;  // column 6
        newer.run(name + " v[64:71], v[0:3], v[8:11], 1.0");
        CHECK(newer.vector(67, 6) == bits(7.0F));
        CHECK(newer.vector(67, 22) == bits(1.0F));
    }
    // Results of 16 bits: a half of each register on gfx11, two a register on gfx12.
    clear(older);
    for (const u32 lane : {3U, 19U}) older.vector(a_at, lane) = half_2;
    for (const u32 lane : {6U, 22U}) older.vector(b_at, lane) = half_3;
    older.set_vector(65, 0x12345678U);
    older.run("v_wmma_f16_16x16x16_f16 v[64:71], v[0:7], v[8:15], v[16:23]");
    CHECK(older.vector(65, 22) == 0x12344600U);
    older.run("v_wmma_f16_16x16x16_f16 v[64:71], v[0:7], v[8:15], v[16:23] op_sel:[0,0,1]");
    CHECK(older.vector(65, 22) == 0x46004600U);
    clear(newer);
    newer.vector(a_at, 3) = bfloat_2, newer.vector(b_at, 6) = bfloat_3;
    newer.run("v_wmma_bf16_16x16x16_bf16 v[64:67], v[0:3], v[8:11], v[16:19]");
    CHECK(newer.vector(65, 6) == 0x40C00000U);
}
