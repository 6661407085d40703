// tests/reference/cases_test.cpp -- the case generator covers every pair that can be, in few cases of bounded size.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstdlib>
#include <set>

#include "tests/support/cases.hpp"

using namespace mhc;
using namespace mhc::testing;

namespace {

int chosen(const choice& of, factor f) { return of[static_cast<std::size_t>(f)]; }

/// Which pairs cannot be, said once more without the generator: fp32 elements at 2-byte addresses.
bool impossible(factor f, int v, factor g, int w)
{
    const std::string a = value_name(f, v), b = value_name(g, w);
    return (a == "fp32" && b == "align=2") || (a == "align=2" && b == "fp32");
}

}  // namespace

TEST_CASE("cases: every possible pair of values of two factors is in a case that computes something")
{
    for (const case_group& group : case_groups()) {
        const std::vector<choice> cases = pairwise_choices(group, {});
        CAPTURE(group.name());
        int pairs = 0, missing = 0;
        for (int i = 0; i < factor_count; ++i) {
            for (int j = i + 1; j < factor_count; ++j) {
                const auto f = static_cast<factor>(i), g = static_cast<factor>(j);
                if (value_count(group, f) == 1 || value_count(group, g) == 1) continue;
                for (int v = 0; v < value_count(group, f); ++v) {
                    for (int w = 0; w < value_count(group, g); ++w) {
                        if (impossible(f, v, g, w)) continue;
                        const bool is_without_tokens = (f == factor::tokens && v == 0) || (g == factor::tokens && w == 0);
                        const bool covered = std::any_of(cases.begin(), cases.end(), [&](const choice& of) {
                            return chosen(of, f) == v && chosen(of, g) == w &&
                                   (is_without_tokens || chosen(of, factor::tokens) != 0);
                        });
                        ++pairs;
                        missing += !covered;
                        if (!covered) MESSAGE("missing: " << value_name(f, v) << " with " << value_name(g, w));
                    }
                }
            }
        }
        CHECK(missing == 0);
        CHECK(pairs > 200);
    }
}

TEST_CASE("cases: at most 400 a group, none larger than 2^31 multiplications, none impossible, no name twice")
{
    for (const case_group& group : case_groups()) {
        CAPTURE(group.name());
        for (const choice& of : pairwise_choices(group, {})) {
            CHECK(work_of(group, of) <= std::int64_t{1} << 31);
            CHECK_FALSE(
                (value_name(factor::dtype, chosen(of, factor::dtype)) == "fp32" && chosen(of, factor::alignment) == 2));
        }
        const std::vector<test_case> cases = all_cases(group, {}, false);
        CHECK(cases.size() <= 400);
        std::set<std::string> names;
        for (const test_case& of : cases) names.insert(of.name);
        CHECK(names.size() == cases.size());
    }
}

TEST_CASE("cases: the work of a projection counts n*n + 2n rows, and a smaller limit makes smaller cases")
{
    const case_group pre{.op = jit::operation::pre_fwd};
    choice largest{};
    for (const factor f : {factor::n_streams, factor::hidden_dim, factor::tokens}) {
        largest[static_cast<std::size_t>(f)] = value_count(pre, f) - 1;
    }
    CHECK(work_of(pre, largest) == std::int64_t{1088} * 32 * 7168 * 320);
    CHECK(work_of({.op = jit::operation::post_fwd}, largest) == std::int64_t{32} * 32 * 7168 * 320);
    CHECK(work_of({.op = jit::operation::rmsnorm_fwd}, largest) == std::int64_t{32} * 7168 * 320);

    const case_limits small{.work_max = 1 << 20};
    const std::vector<choice> cases = pairwise_choices(pre, small);
    CHECK(cases.size() > 40);
    for (const choice& of : cases) CHECK(work_of(pre, of) <= small.work_max);
}

TEST_CASE("cases: the list is the same each time, and the corners are in it")
{
    for (const case_group& group : case_groups()) {
        CAPTURE(group.name());
        const auto first = all_cases(group, {}, false), again = all_cases(group, {}, false);
        REQUIRE(first.size() == again.size());
        for (std::size_t i = 0; i < first.size(); ++i) {
            CHECK(first[i].name == again[i].name);
            CHECK(first[i].seed == again[i].seed);
        }
        const auto has = [&](int n, std::int64_t c, std::int64_t t) {
            return std::any_of(first.begin(), first.end(), [&](const test_case& of) {
                return of.spec.n_streams == n && of.tokens == t && (group.sweeps_sinkhorn || of.spec.hidden_dim == c);
            });
        };
        CHECK(has(32, 1280, 2));
        CHECK(has(4, 7168, 320));
        CHECK(has(4, 127, 33));
        CHECK(has(4, 1280, 0));
    }
    for (const test_case& corner : named_corners({.op = jit::operation::post_fwd})) {
        if (corner.spec.hidden_dim != 127) continue;
        CHECK(corner.x_strides == stride_kind::padded_stream);
        CHECK(corner.out_strides == stride_kind::interleaved);
    }
}

TEST_CASE("cases: rows keep their alignment and, but for repeated ones, never overlap")
{
    for (const case_group& group : case_groups()) {
        for (const test_case& of : all_cases(group, {}, false)) {
            CAPTURE(of.name);
            for (const stride_kind kind : {of.x_strides, of.out_strides}) {
                const jit::strides s = strides_of(kind, of.spec, of.tokens);
                const std::int64_t bytes = jit::size_of(of.spec.dtype);
                CHECK(s.token * bytes % row_alignment(of.spec) == 0);
                CHECK(s.stream * bytes % row_alignment(of.spec) == 0);
                CHECK((of.spec.n_streams - 1) * s.stream + of.spec.hidden_dim <= std::int64_t{1} << 31);
                if (kind == stride_kind::repeated_token || kind == stride_kind::repeated_stream) continue;
                const bool streams_inside =
                    s.stream >= of.spec.hidden_dim && s.token >= (of.spec.n_streams - 1) * s.stream + of.spec.hidden_dim;
                const bool tokens_inside =
                    s.token >= of.spec.hidden_dim && s.stream >= (of.tokens - 1) * s.token + of.spec.hidden_dim;
                CHECK((streams_inside || tokens_inside));
            }
            CHECK((of.out_strides != stride_kind::repeated_token && of.out_strides != stride_kind::repeated_stream));
        }
    }
}

TEST_CASE("cases: every option of a changed case differs from its preset, and every spec is one operator's")
{
    for (const case_group& group : case_groups()) {
        for (const test_case& of : all_cases(group, {}, false)) {
            CHECK(of.spec.wanted == jit::operations{of.op});
            if (of.name.find("changed_options") == std::string::npos) continue;
            CHECK(of.spec.options.norm_eps.has_value());
            CHECK(of.spec.options.norm_eps.value_or(0) != of.spec.options.rms_eps);
            CHECK(of.spec.options.sinkhorn_iters == (of.name.ends_with("of_limit") ? 200 : 3));  // a limit is reached
        }
    }
}

TEST_CASE("cases: the product by hand has every n, C, T and dtype that fits")
{
    const case_group group{.op = jit::operation::post_fwd};
    std::set<std::array<int, 4>> seen;
    for (const choice& of : product_choices(group, {})) {
        CHECK(work_of(group, of) <= std::int64_t{1} << 31);
        seen.insert({chosen(of, factor::n_streams), chosen(of, factor::hidden_dim), chosen(of, factor::tokens),
                     chosen(of, factor::dtype)});
    }
    CHECK(seen.size() == 8 * 8 * 5 * 3 - 3);  // only n=32, C=7168, T=320 is above 2^31
}
