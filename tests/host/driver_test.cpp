// tests/host/driver_test.cpp -- the driver itself: it finds a byte written anywhere but in an output's rows.
#include <doctest/doctest.h>

#include <limits>

#include "tests/host/driver.hpp"
#include "tests/reference/options.hpp"
#include "tests/support/random.hpp"

using namespace mhc;
using namespace mhc::testing;
using jit::operation;

namespace {

test_case padded_case(operation op)
{
    test_case made;
    made.op = op;
    made.name = name_of(op);
    made.seed = seed_of(made.name);
    made.tokens = 3;
    made.x_strides = made.out_strides = stride_kind::padded_stream;
    made.spec.n_streams = 2;
    made.spec.hidden_dim = 64;
    made.spec.options = reference::options_of(jit::preset::mhc_cu);
    made.spec.wanted = jit::operations{op};
    return made;
}

/// Writes two bytes of zeros at a distance from the start of an operand's array.
void write_bytes(const launch_memory& memory, std::string_view name, std::int64_t at)
{
    const std::byte zeros[2] = {};
    session::instance().device->upload(static_cast<std::byte*>(memory.pointer(name)) + at, zeros);
}

}  // namespace

TEST_CASE("driver: a write into the gaps or guards of an output is found, and one into its rows is the output")
{
    const test_case of = padded_case(operation::post_fwd);
    const operands made = make_operands(of);
    const operand& out = made.at("out");
    const jit::compiled_layer layer = session::instance().layer(of.spec);
    const std::int64_t row_bytes = 64 * 2, bytes = out.place.extent() * 2;
    for (const std::int64_t at : {std::int64_t{-2}, std::int64_t{-512}, row_bytes, bytes, bytes + 500}) {
        CAPTURE(at);
        const launch_memory memory(session::instance(), layer, made);
        REQUIRE(memory.launch().has_value());
        std::vector<std::string> problems;
        static_cast<void>(memory.output(out, problems));
        CHECK(problems.empty());
        write_bytes(memory, "out", at);
        static_cast<void>(memory.output(out, problems));
        CHECK(problems.size() == 1);
    }
    const launch_memory memory(session::instance(), layer, made);
    REQUIRE(memory.launch().has_value());
    write_bytes(memory, "out", 0);
    std::vector<std::string> problems;
    CHECK(memory.output(out, problems).front() == 0);
    CHECK(problems.empty());
}

TEST_CASE("driver: a changed input and a write beside the workspace are found")
{
    const test_case of = padded_case(operation::pre_fwd);
    const operands made = make_operands(of);
    const jit::compiled_layer layer = session::instance().layer(of.spec);
    const auto problems_after = [&](std::string_view name, std::int64_t at) {
        const launch_memory memory(session::instance(), layer, made);
        REQUIRE(memory.launch().has_value());
        write_bytes(memory, name, at);
        std::vector<std::string> problems;
        memory.check_inputs(problems);
        return problems.size();
    };
    CHECK(problems_after("x", 6) == 1);
    CHECK(problems_after("fn", -2) == 1);
    CHECK(problems_after("base", made.at("base").place.extent() * 4) == 1);
    const launch_memory memory(session::instance(), layer, made);
    if (memory.workspace_bytes() == 0) return;
    CHECK(problems_after("workspace", -2) == 1);
    CHECK(problems_after("workspace", memory.workspace_bytes()) == 1);
    CHECK(problems_after("workspace", 0) == 0);
}

TEST_CASE("driver: a result that is not the reference's, an element that was not written and a failed launch are reported")
{
    const test_case of = padded_case(operation::post_fwd);
    const operands made = make_operands(of);
    outcome got = run(session::instance(), of.spec, made);
    CHECK(compare_with_reference(of.spec, made, got).problems.empty());
    outcome wrong = got;
    wrong.outputs.at("out")[70] *= 1.1F;
    CHECK(compare_with_reference(of.spec, made, wrong).problems.size() == 1);
    outcome unwritten = got;
    unwritten.outputs.at("out")[70] = std::numeric_limits<float>::quiet_NaN();
    CHECK(compare_with_reference(of.spec, made, unwritten).problems.size() == 1);
    operands refused = made;
    refused.x_strides.token = -5;
    CHECK_FALSE(run(session::instance(), of.spec, refused).problems.empty());
}

TEST_CASE("driver: operands differ between tokens and streams, and a case's numbers depend on its seed alone")
{
    const test_case of = padded_case(operation::post_fwd);
    CHECK(make_operands(of).at("y").values == make_operands(of).at("y").values);
    test_case other = of;
    other.seed = 1;
    CHECK(make_operands(of).at("y").values != make_operands(other).at("y").values);
    const std::vector<float> x = make_operands(of).at("x").dense();
    CHECK(std::vector<float>(x.begin(), x.begin() + 64) != std::vector<float>(x.begin() + 64, x.begin() + 128));
    CHECK(std::vector<float>(x.begin(), x.begin() + 64) != std::vector<float>(x.begin() + 128, x.begin() + 192));
}
