// tests/host/in_place_test.cpp -- post_fwd and post_pre_fwd with out in x's place: the same bits as beside it; and the ways
// in which out may not meet x.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>

#include "tests/host/driver.hpp"
#include "tests/reference/options.hpp"
#include "tests/support/random.hpp"

using namespace mhc;
using namespace mhc::testing;
using jit::operation;

namespace {

test_case post_case(operation op, std::int32_t n, std::int64_t C, jit::dtype type, std::int64_t tokens)
{
    test_case made;
    made.op = op;
    made.name = std::string(name_of(op)) + " in place n=" + std::to_string(n) + " C=" + std::to_string(C);
    made.seed = seed_of(made.name);
    made.tokens = tokens;
    made.spec.n_streams = n;
    made.spec.hidden_dim = C;
    made.spec.dtype = type;
    made.spec.options = reference::options_of(jit::preset::deepseek);
    made.spec.wanted = jit::operations{op};
    made.has_bias = true;
    return made;
}

/// The same operands where x is what is written, in its own strides.
operands with_x_as_out(const operands& from)
{
    operands made = from;
    made.out_strides = made.x_strides;
    std::erase_if(made.list, [](const operand& of) { return of.name == "out"; });
    made.at("x").is_output = true;
    return made;
}

}  // namespace

TEST_CASE("in place: out may be x, and has the bits that it has beside x")
{
    session& on = session::instance();
    struct size {
        std::int32_t n;
        std::int64_t C;
        jit::dtype type;
    };
    // One chunk of channels and several, whole vectors and tails; every count of streams that is read at once.
    for (const size& of : {size{4, 1280, jit::dtype::bf16}, size{8, 4099, jit::dtype::fp16}, size{1, 127, jit::dtype::bf16},
                           size{3, 4096, jit::dtype::fp32}, size{5, 7, jit::dtype::bf16}}) {
        for (const operation op : {operation::post_fwd, operation::post_pre_fwd}) {
            const test_case base = post_case(op, of.n, of.C, of.type, 33);
            CAPTURE(base.name);
            const operands beside = make_operands(base), inside = with_x_as_out(beside);
            const outcome expected = run(on, base.spec, beside);
            CHECK(expected.problems.empty());

            const jit::compiled_layer layer = on.layer(base.spec);
            const launch_memory memory(on, layer, inside);
            const auto launched = memory.launch_with(inside, "out", memory.pointer("x"));
            REQUIRE_MESSAGE(launched.has_value(), launched.error().message);
            std::vector<std::string> problems;
            for (const operand& written : inside.list) {
                if (!written.is_output) continue;
                const std::vector<float> got = memory.output(written, problems);
                const std::vector<float>& as = expected.outputs.at(written.name == "x" ? "out" : written.name);
                REQUIRE(got.size() == as.size());
                CHECK_MESSAGE(std::memcmp(got.data(), as.data(), got.size() * sizeof(float)) == 0, written.name);
            }
            memory.check_inputs(problems);
            for (const std::string& problem : problems) FAIL_CHECK(problem);
        }
    }
}

TEST_CASE("in place: out that meets x in another way is refused, and the layers take no out in place")
{
    session& on = session::instance();
    // `out` begins `distance` elements behind x, in an array with room for it.
    const auto launch_at = [&](const test_case& base, std::int64_t distance, stride_kind out_strides) {
        operands made = make_operands(base);
        made.out_strides = strides_of(out_strides, base.spec, base.tokens);
        operand& x = made.at("x");
        x.place.tokens = 3 * base.tokens;  // the first third is read
        x.values.resize(static_cast<std::size_t>(x.place.extent()), 0.0F);
        const jit::compiled_layer layer = on.layer(base.spec);
        const launch_memory memory(on, layer, made);
        auto* const first = static_cast<std::byte*>(memory.pointer("x"));
        return memory.launch_with(made, "out", first + distance * jit::size_of(base.spec.dtype));
    };
    const auto check_refused = [&](const test_case& base, std::int64_t distance, stride_kind out_strides) {
        const auto launched = launch_at(base, distance, out_strides);
        CAPTURE(distance);
        REQUIRE_FALSE(launched.has_value());
        CHECK(launched.error().code == jit::errc::launch_failed);
        CHECK_MESSAGE(launched.error().message.find("out = 0x") != std::string::npos, launched.error().message);
        CHECK_MESSAGE(launched.error().message.find("apart from x") != std::string::npos, launched.error().message);
    };
    constexpr std::int64_t C = 64, tokens = 5, size = tokens * 4 * C;
    const test_case post = post_case(operation::post_fwd, 4, C, jit::dtype::bf16, tokens);
    CHECK(launch_at(post, 0, stride_kind::dense).has_value());
    CHECK(launch_at(post, size, stride_kind::dense).has_value());  // just behind it
    for (const std::int64_t distance : {C, 4 * C, size - C, size - 8}) check_refused(post, distance, stride_kind::dense);
    check_refused(post, 0, stride_kind::padded_token);
    check_refused(post, 0, stride_kind::interleaved);

    // More streams than a kernel reads before it writes.
    check_refused(post_case(operation::post_fwd, 9, C, jit::dtype::bf16, tokens), 0, stride_kind::dense);
    check_refused(post_case(operation::static_layer_fwd, 4, C, jit::dtype::bf16, tokens), 0, stride_kind::dense);
    check_refused(post_case(operation::dynamic_layer_fwd, 4, C, jit::dtype::bf16, tokens), 0, stride_kind::dense);
}

TEST_CASE("in place: rows of x and out that lie between each other share nothing")
{
    session& on = session::instance();
    test_case base = post_case(operation::post_fwd, 4, 64, jit::dtype::bf16, 5);
    base.x_strides = base.out_strides = stride_kind::dense;
    operands made = make_operands(base), apart = made;
    // Rows of x at even, of out at odd multiples of C.
    apart.x_strides = apart.out_strides = {8 * 64, 2 * 64};
    operand& x = apart.at("x");
    x.place.token_stride = 8 * 64;
    x.place.stream_stride = 2 * 64;
    x.values = placed(made.at("x").dense(), x.place);
    x.values.resize(x.values.size() + 64, 0.0F);  // the last row of out
    const jit::compiled_layer layer = on.layer(base.spec);
    const launch_memory memory(on, layer, apart);
    auto* const first = static_cast<std::byte*>(memory.pointer("x"));
    const auto launched = memory.launch_with(apart, "out", first + 64 * jit::size_of(base.spec.dtype));
    REQUIRE_MESSAGE(launched.has_value(), launched.error().message);

    operand out = x;
    out.place.token_stride = out.place.stream_stride = 64;  // every row there is, of x and of out in turn
    out.place.tokens = 1;
    out.place.streams = 2 * 4 * 5;
    std::vector<std::string> problems;
    const std::vector<float> rows = memory.output(out, problems);
    const outcome expected = run(on, base.spec, made);
    const std::vector<float>&from = expected.outputs.at("out"), given = made.at("x").dense();
    int different = 0;
    for (std::size_t row = 0; row < 4 * 5; ++row)
        different += std::memcmp(rows.data() + (2 * row + 1) * 64, from.data() + row * 64, 64 * sizeof(float)) != 0 ||
                     std::memcmp(rows.data() + 2 * row * 64, given.data() + row * 64, 64 * sizeof(float)) != 0;
    CHECK(different == 0);
}
