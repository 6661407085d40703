// tests/host/bits_test.cpp -- a token's result has the same bits alone and in any batch, and every result twice, with any
// strides and alignment.
#include <doctest/doctest.h>

#include <cstring>
#include <numeric>

#include "tests/host/driver.hpp"
#include "tests/support/random.hpp"

using namespace mhc;
using namespace mhc::testing;

namespace {

constexpr std::int64_t batch = 320;

struct size {
    int n_streams;
    std::int64_t hidden_dim;
    jit::dtype type;
};
// Odd and even sizes, one vector and many, and every stream count at which a kernel may change its shape.
constexpr size sizes[] = {{1, 64, jit::dtype::bf16}, {3, 127, jit::dtype::fp32}, {4, 1280, jit::dtype::bf16},
                          {4, 7, jit::dtype::fp16},  {8, 64, jit::dtype::fp32},  {16, 127, jit::dtype::bf16},
                          {32, 7, jit::dtype::fp32}, {8, 136, jit::dtype::bf16}};

/// Gradients have several times the kernels: fewer sizes, of every type and with tails.
std::vector<size> sizes_of(jit::operation op)
{
    if (is_gradient(op)) return {sizes[1], sizes[2], sizes[3], sizes[5]};
    return {std::begin(sizes), std::end(sizes)};
}

test_case base_case(jit::operation op, const size& of)
{
    test_case made;
    made.op = op;
    made.tokens = batch;
    made.spec.n_streams = of.n_streams;
    made.spec.hidden_dim = of.hidden_dim;
    made.spec.dtype = of.type;
    made.spec.wanted = jit::operations{op};
    made.spec.norm_weight = jit::operations_with_norm_weight.contains(op);
    made.name = std::string("bits ") + std::string(name_of(op)) + " n=" + std::to_string(of.n_streams) +
                " C=" + std::to_string(of.hidden_dim);
    made.seed = seed_of(made.name);
    return made;
}

/// Calls check(base case, operands, result of the whole batch) for every operator and size.
template <class Check>
void for_each_batch(const Check& check)
{
    session& on = session::instance();
    for (int op = 0; op < jit::operation_count; ++op) {
        for (const size& of : sizes_of(static_cast<jit::operation>(op))) {
            const test_case base = base_case(static_cast<jit::operation>(op), of);
            if (base.name.find(case_filter()) == std::string::npos) continue;
            const operands whole = make_operands(base);
            const outcome got = run(on, base.spec, whole);
            for (const std::string& problem : got.problems) FAIL_CHECK(base.name << ": " << problem);
            check(on, base, whole, got);
        }
    }
}

std::vector<std::int64_t> range(std::int64_t first, std::int64_t count, std::int64_t step)
{
    std::vector<std::int64_t> made;
    for (std::int64_t i = 0; i < count; ++i) made.push_back(first + i * step);
    return made;
}

/// Whether token `there` of one result has the bits of token `here` of another. A parameter's gradient is a sum over the
/// tokens: it has the same bits where the tokens are the same.
void check_same_bits(const std::string& what, const operands& whole, const outcome& expected, const outcome& got,
                     const std::vector<std::int64_t>& tokens)
{
    for (const std::string& problem : got.problems) FAIL_CHECK(what << ": " << problem);
    for (const auto& [name, values] : got.outputs) {
        const operand& of = whole.at(name);
        if (!of.is_per_token) {
            const std::vector<float>& all = expected.outputs.at(name);
            REQUIRE(values.size() == all.size());
            const bool are_same = std::memcmp(values.data(), all.data(), values.size() * sizeof(float)) == 0;
            CHECK_MESSAGE((are_same || tokens != range(0, batch, 1)), what << ": " << name << " differs");
            continue;
        }
        const auto width = static_cast<std::size_t>(of.place.streams * of.place.width);
        REQUIRE(values.size() == tokens.size() * width);
        int different = 0;
        for (std::size_t i = 0; i < tokens.size(); ++i) {
            const float* here = values.data() + i * width;
            const float* there = expected.outputs.at(name).data() + static_cast<std::size_t>(tokens[i]) * width;
            different += std::memcmp(here, there, width * sizeof(float)) != 0;
        }
        CHECK_MESSAGE(different == 0,
                      what << ": " << name << " of " << different << " tokens differs from the batch of " << batch);
    }
}

}  // namespace

TEST_CASE("bits: a token alone, in 33 at any position and in 320 gives equal bits")
{
    for_each_batch([](session& on, const test_case& base, const operands& whole, const outcome& expected) {
        const std::vector<std::vector<std::int64_t>> choices = {
            {0}, {7}, {160}, {319}, {319, 0}, range(100, 33, 1), range(319, 33, -9)};
        for (const auto& tokens : choices) {
            const operands some = select_tokens(whole, base.spec, tokens, stride_kind::dense, stride_kind::dense);
            check_same_bits(base.name + " in " + std::to_string(tokens.size()), whole, expected, run(on, base.spec, some),
                            tokens);
        }
    });
}

TEST_CASE("bits: a few of many tokens, which other kernels may take, have equal bits")
{
    const std::int64_t many = environment("MHC_TEST_SMALL", "0") != "0" ? 70 : 1100;
    session& on = session::instance();
    for (const jit::operation op : {jit::operation::pre_fwd, jit::operation::head_fwd, jit::operation::dynamic_layer_fwd}) {
        for (const size& of :
             {size{8, 136, jit::dtype::bf16}, size{3, 520, jit::dtype::bf16}, size{8, 136, jit::dtype::fp32}}) {
            test_case base = base_case(op, of);
            if (base.name.find(case_filter()) == std::string::npos) continue;
            base.tokens = many;
            base.spec.norm_weight = false;
            const operands whole = make_operands(base);
            const outcome expected = run(on, base.spec, whole);
            for (const auto& tokens : {range(5, 1, 1), range(many - 1, 60, -1), range(0, many / 3, 3)}) {
                const operands some = select_tokens(whole, base.spec, tokens, stride_kind::dense, stride_kind::dense);
                check_same_bits(base.name + " in " + std::to_string(tokens.size()) + " of many", whole, expected,
                                run(on, base.spec, some), tokens);
            }
        }
    }
}

TEST_CASE("bits: two runs give equal bits")
{
    for_each_batch([](session& on, const test_case& base, const operands& whole, const outcome& expected) {
        check_same_bits(base.name + " again", whole, expected, run(on, base.spec, whole), range(0, batch, 1));
    });
}

TEST_CASE("bits: strides and alignment change no bits")
{
    for_each_batch([](session& on, const test_case& base, const operands& whole, const outcome& expected) {
        const auto all = range(0, batch, 1);
        const operands strided = select_tokens(whole, base.spec, all, stride_kind::padded_stream, stride_kind::interleaved);
        check_same_bits(base.name + " strided", whole, expected, run(on, base.spec, strided), all);
        if (forward_of(base.op) == jit::operation::sinkhorn_fwd) return;
        jit::layer_spec unaligned = base.spec;
        unaligned.alignment_bytes = jit::size_of(base.spec.dtype);
        check_same_bits(base.name + " unaligned", whole, expected, run(on, unaligned, whole), all);
    });
}

TEST_CASE("bits: streams that are read once, as those of aligned rows may be, give what those read several times give")
{
    session& on = session::instance();
    const bool is_small = environment("MHC_TEST_SMALL", "0") != "0";
    const std::vector<size> all = {{4, 392, jit::dtype::bf16},  {4, 1280, jit::dtype::bf16}, {4, 7168, jit::dtype::fp16},
                                   {4, 7680, jit::dtype::bf16}, {4, 8192, jit::dtype::fp16}, {4, 520, jit::dtype::fp32},
                                   {4, 1288, jit::dtype::fp32}, {4, 4096, jit::dtype::fp32}, {4, 5120, jit::dtype::fp32},
                                   {4, 7168, jit::dtype::fp32}};
    for (const jit::operation op :
         {jit::operation::pre_fwd, jit::operation::post_pre_fwd, jit::operation::head_fwd, jit::operation::post_head_fwd,
          jit::operation::delayed_pre_fwd, jit::operation::dynamic_layer_fwd})
        for (const size& of : all) {
            if (is_small && of.hidden_dim > 392) break;
            test_case base = base_case(op, of);
            if (base.name.find(case_filter()) == std::string::npos) continue;
            base.tokens = 33;
            base.spec.norm_weight = false;
            base.spec.alignment_bytes = 16;
            const operands whole = make_operands(base);
            jit::layer_spec unaligned = base.spec;
            unaligned.alignment_bytes = jit::size_of(of.type);
            check_same_bits(base.name, whole, run(on, base.spec, whole), run(on, unaligned, whole), range(0, 33, 1));
        }
}

TEST_CASE("bits: static coefficients give what the same coefficients of each token give")
{
    session& on = session::instance();
    for (const jit::operation op : {jit::operation::apply_mix_fwd, jit::operation::post_fwd, jit::operation::post_pre_fwd}) {
        for (const size& of : sizes) {
            test_case base = base_case(op, of);
            base.coefficients = coefficient_kind::all_static;
            const operands once = make_operands(base);
            operands repeated = once;
            repeated.pre_is_static = repeated.post_is_static = repeated.mix_is_static = false;
            for (const char* name : {"pre", "post", "mix"}) {
                if (repeated.find(name) == nullptr) continue;
                operand& row = repeated.at(name);
                const std::vector<float> values = row.values;
                row.place.tokens = batch;
                row.values.clear();
                for (std::int64_t t = 0; t < batch; ++t) row.values.insert(row.values.end(), values.begin(), values.end());
            }
            check_same_bits(base.name, once, run(on, base.spec, once), run(on, base.spec, repeated), range(0, batch, 1));
        }
    }
}

TEST_CASE("bits: the layers made with other operators beside it compute the same")
{
    session& on = session::instance();
    for (int op = 0; op < jit::operation_count; ++op) {
        const test_case base = base_case(static_cast<jit::operation>(op), {4, 64, jit::dtype::bf16});
        const operands whole = make_operands(base);
        jit::layer_spec all = base.spec;
        all.wanted = jit::operations::all();
        check_same_bits(base.name, whole, run(on, base.spec, whole), run(on, all, whole), range(0, batch, 1));
    }
}
