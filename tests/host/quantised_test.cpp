// tests/host/quantised_test.cpp -- layer_input in fp8: the conversion bit for bit, scales, and what is not a number.
//
// With one stream, delayed_pre_fwd's layer_input is its x where previous_pre is 1: any numbers can be asked for.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "tests/host/driver.hpp"
#include "tests/reference/dtypes.hpp"
#include "tests/reference/options.hpp"

using namespace mhc;
using namespace mhc::testing;
using jit::layer_input_quant;
using jit::operation;

namespace {

constexpr float not_a_number = std::numeric_limits<float>::quiet_NaN(), infinity = std::numeric_limits<float>::infinity();
constexpr float floor_scale = 1e-10F / 448;  // of zeros

struct quantised_rows {
    std::vector<float> stored, scales;
};

test_case row_case(std::int64_t hidden_dim, std::int64_t tokens, layer_input_quant quant)
{
    test_case made;
    made.op = operation::delayed_pre_fwd;
    made.tokens = tokens;
    made.spec.n_streams = 1;
    made.spec.hidden_dim = hidden_dim;
    made.spec.dtype = jit::dtype::fp32;
    made.spec.options = reference::options_of(jit::preset::paper);
    made.spec.layer_input_quant = quant;
    made.spec.wanted = jit::operations{made.op};
    return made;
}

quantised_rows quantise(const std::vector<float>& rows, std::int64_t hidden_dim, layer_input_quant quant)
{
    const test_case of = row_case(hidden_dim, static_cast<std::int64_t>(rows.size()) / hidden_dim, quant);
    operands made = make_operands(of);
    made.at("x").values = rows;
    for (float& v : made.at("previous_pre").values) v = 1;
    const outcome got = run(session::instance(), of.spec, made);
    for (const std::string& problem : got.problems) FAIL_CHECK(problem);
    return {got.outputs.at("layer_input"), got.outputs.at("layer_input_scale")};
}

bool is_same(float a, float b) { return std::isnan(a) ? std::isnan(b) : a == b && std::signbit(a) == std::signbit(b); }

float rounded(float v) { return static_cast<float>(reference::rounded_to_e4m3(static_cast<double>(v))); }

/// Every number of e4m3, the middles between them and the floats beside those, of both signs. The first is 448.
std::vector<float> telling_numbers()
{
    std::vector<float> all{448};
    for (int bits = 0; bits < 0x7F; ++bits) {
        const auto here = static_cast<float>(reference::from_e4m3(static_cast<std::uint8_t>(bits)));
        all.push_back(here);
        if (bits == 0x7E) break;
        const float middle = (here + static_cast<float>(reference::from_e4m3(static_cast<std::uint8_t>(bits + 1)))) / 2;
        for (const float v : {middle, std::nextafter(middle, 0.0F), std::nextafter(middle, 448.0F)}) all.push_back(v);
    }
    const std::vector<float> positive = all;
    for (const float v : positive) all.push_back(-v);
    return all;
}

}  // namespace

TEST_CASE("quantised: every number, every middle and its neighbours are rounded to the nearest, ties to even")
{
    std::vector<float> numbers = telling_numbers();
    const auto C = static_cast<std::int64_t>(numbers.size());
    REQUIRE(C > 1000);
    const quantised_rows got = quantise(numbers, C, layer_input_quant::fp8_row);
    CHECK(got.scales == std::vector<float>{1.0F});
    REQUIRE(got.stored.size() == numbers.size());
    for (std::size_t i = 0; i < numbers.size(); ++i) {
        CAPTURE(numbers[i]);
        CHECK(is_same(got.stored[i], rounded(numbers[i])));
    }
    // In blocks of 128 whose largest is 448 too: the numbers 127 at a time.
    std::vector<float> blocks;
    for (std::size_t i = 0; i < numbers.size(); ++i) {
        if (blocks.size() % 128 == 0) blocks.push_back(-448);
        blocks.push_back(numbers[i]);
    }
    const quantised_rows by_block =
        quantise(blocks, static_cast<std::int64_t>(blocks.size()), layer_input_quant::fp8_block128);
    CHECK(by_block.scales == std::vector<float>((blocks.size() + 127) / 128, 1.0F));
    for (std::size_t i = 0; i < blocks.size(); ++i) CHECK(is_same(by_block.stored[i], rounded(blocks[i])));
}

TEST_CASE("quantised: a row and a block have the scale of their largest number, the last block of fewer channels too")
{
    constexpr std::int64_t C = 300;
    std::vector<float> rows(3 * C, 0.0F);
    rows[5] = -2;  // the first row's largest; its second block's
    rows[130] = 0.5F;
    rows[299] = 1;                                          // of 44 channels
    rows[2 * C + 200] = std::numeric_limits<float>::max();  // the second row is of zeros
    rows[2 * C + 201] = -std::numeric_limits<float>::max();
    const auto scale = [](float largest) { return largest * (1.0F / 448.0F); };

    const quantised_rows by_row = quantise(rows, C, layer_input_quant::fp8_row);
    const float huge = scale(std::numeric_limits<float>::max());
    REQUIRE(by_row.scales.size() == 3);
    for (const auto& [got, expected] :
         {std::pair{by_row.scales[0], scale(2)}, {by_row.scales[1], floor_scale}, {by_row.scales[2], huge}})
        CHECK(std::abs(got - expected) <= expected * 0x1p-22F);
    CHECK(by_row.stored[5] == -448);
    CHECK(by_row.stored[130] == 112);
    CHECK(by_row.stored[299] == 224);
    CHECK(by_row.stored[2 * C + 200] == 448);
    CHECK(by_row.stored[2 * C + 201] == -448);
    CHECK(std::all_of(by_row.stored.begin() + C, by_row.stored.begin() + 2 * C, [](float v) { return v == 0; }));

    const quantised_rows by_block = quantise(rows, C, layer_input_quant::fp8_block128);
    const std::vector<float> expected{scale(2),    scale(0.5F), scale(1), floor_scale, floor_scale,
                                      floor_scale, floor_scale, huge,     floor_scale};
    REQUIRE(by_block.scales.size() == expected.size());
    for (std::size_t i = 0; i < expected.size(); ++i) {
        CAPTURE(i);
        CHECK(std::abs(by_block.scales[i] - expected[i]) <= expected[i] * 0x1p-22F);
    }
    for (const std::size_t largest : {130U, 299U}) CHECK(by_block.stored[largest] == 448);
}

TEST_CASE("quantised: a NaN is NaN and leaves the scale alone; an infinity makes NaN of itself and of the scale's numbers")
{
    constexpr std::int64_t C = 256;
    for (const layer_input_quant quant : {layer_input_quant::fp8_row, layer_input_quant::fp8_block128}) {
        std::vector<float> rows(4 * C, 2.0F);
        rows[7] = not_a_number;
        std::fill(rows.begin() + C, rows.begin() + 2 * C, not_a_number);
        rows[2 * C + 7] = -infinity;
        const quantised_rows got = quantise(rows, C, quant);
        const bool is_by_row = quant == layer_input_quant::fp8_row;
        const std::size_t blocks = is_by_row ? 1 : 2, reach = is_by_row ? C : 128;
        REQUIRE(got.scales.size() == 4 * blocks);
        for (std::size_t b = 0; b < got.scales.size(); ++b) {
            CAPTURE(b);
            const float expected = b / blocks == 1 ? floor_scale : 2.0F / 448.0F;
            if (b == 2 * blocks)
                CHECK(got.scales[b] == infinity);
            else
                CHECK(std::abs(got.scales[b] - expected) <= expected * 0x1p-22F);
        }
        for (std::size_t i = 0; i < rows.size(); ++i) {
            const std::size_t at = i % C;
            CAPTURE(i);
            const bool meets_infinity = i / C == 2 && at < reach;
            if (std::isnan(rows[i]) || std::isinf(rows[i]))
                CHECK(std::isnan(got.stored[i]));
            else
                CHECK(got.stored[i] == (meets_infinity ? 0.0F : 448.0F));
            // What comes back is no number wherever an infinity had a part in the scale.
            if (meets_infinity) CHECK(std::isnan(got.stored[i] * got.scales[2 * blocks]));
        }
    }
}

TEST_CASE("quantised: the other outputs have the bits that they have without, and a padded batch those of its tokens")
{
    for (int op = 0; op < jit::operation_count; ++op) {
        if (!jit::operations_with_layer_input_quant.contains(static_cast<operation>(op)) ||
            is_gradient(static_cast<operation>(op)))
            continue;
        test_case of = row_case(200, 5, layer_input_quant::fp8_block128);
        of.op = static_cast<operation>(op);
        of.name = name_of(of.op);
        of.spec.n_streams = 3;
        of.spec.norm_weight = true;
        of.spec.wanted = jit::operations{of.op};
        CAPTURE(of.name);
        const operands whole = make_operands(of);
        const outcome got = run(session::instance(), of.spec, whole);
        CHECK(got.problems.empty());
        test_case plain = of;
        plain.spec.layer_input_quant = layer_input_quant::none;
        for (const auto& [name, values] : run(session::instance(), plain.spec, make_operands(plain)).outputs)
            if (name != "layer_input") CHECK_MESSAGE(values == got.outputs.at(name), name << " differs");
        for (const char* name : {"layer_input", "layer_input_scale"}) {
            const outcome two = run(session::instance(), of.spec,
                                    select_tokens(whole, of.spec, {3, 1}, stride_kind::dense, stride_kind::dense));
            const std::vector<float>& values = got.outputs.at(name);
            const auto width = static_cast<std::ptrdiff_t>(values.size() / 5);
            std::vector<float> expected(values.begin() + 3 * width, values.begin() + 4 * width);
            expected.insert(expected.end(), values.begin() + width, values.begin() + 2 * width);
            CHECK_MESSAGE(two.outputs.at(name) == expected, name << " differs");
        }
    }
}

TEST_CASE("quantised: the scales' pointer is there iff the spec asks for them, and other operators have no such option")
{
    session& on = session::instance();
    const test_case of = row_case(64, 3, layer_input_quant::fp8_row);
    const operands made = make_operands(of);
    const jit::compiled_layer layer = on.layer(of.spec);
    const launch_memory memory(on, layer, made);
    const auto refused = memory.launch_with(made, "layer_input_scale", nullptr);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().message.find("layer_input_scale = null: allowed is") != std::string::npos);

    jit::layer_spec plain = of.spec;
    plain.layer_input_quant = layer_input_quant::none;
    const jit::compiled_layer without = on.layer(plain);
    const launch_memory unasked(on, without, made);
    const auto also_refused = unasked.launch();
    REQUIRE_FALSE(also_refused);
    CHECK(also_refused.error().message.find("allowed is null: the spec's layer_input_quant is none") != std::string::npos);
    CHECK(unasked.outputs_are_untouched());

    jit::layer_spec wrong = of.spec;
    wrong.wanted = jit::operations{operation::apply_mix_fwd, operation::post_head_fwd};
    const auto invalid = jit::validate(wrong);
    REQUIRE_FALSE(invalid);
    CHECK(invalid.error().message.find("layer_input_quant = fp8_row: allowed is none unless pre_fwd") == 0);
    wrong.layer_input_quant = static_cast<layer_input_quant>(3);
    CHECK(jit::validate(wrong).error().message == "layer_input_quant = 3: allowed is none, fp8_row, fp8_block128");
}
