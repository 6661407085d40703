// tests/gpu/catalogue_test.cpp -- the catalogue's own kernels, as they ship, within the bounds of MATH.md 6.1a. The compile
// tier leaves them in the cache.
#include <doctest/doctest.h>

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "tests/host/driver.hpp"
#include "tests/support/catalogue_rows.hpp"
#include "tests/support/random.hpp"

using namespace mhc;
using namespace mhc::testing;
using jit::operation;

namespace {

/// Of a weight that meets all streams of a token, n*n + 2n rows of n*C numbers: more of them are the reference's time alone.
constexpr std::int64_t weights_max = std::int64_t{1} << 23;

/// As most launches are, or with static coefficients, a bias and a batch of which tokens are padding.
test_case case_of(const jit::prebuild_item& row, operation op, bool is_other, std::int64_t tokens)
{
    test_case made;
    made.op = op;
    made.spec = row.spec;
    made.spec.wanted = jit::operations{op};
    made.tokens = tokens;
    made.rows = forward_of(op) == operation::rmsnorm_matmul_fwd ? 37 : 0;
    made.layers = op == operation::multilayer_recompute ? 2 : 1;
    made.coefficients = is_other ? coefficient_kind::all_static : coefficient_kind::per_token;
    made.has_bias = is_other;
    made.is_padded = is_other;
    made.name = std::string(name_of(op)) + " n=" + std::to_string(row.spec.n_streams) +
                " C=" + std::to_string(row.spec.hidden_dim) + " " + std::string(jit::to_string(row.spec.dtype)) +
                (is_other ? " static bias padded" : "");
    made.seed = seed_of(made.name);
    return made;
}

std::vector<test_case> cases_of(const std::vector<jit::prebuild_item>& rows)
{
    std::vector<test_case> cases;
    for (std::size_t i = 0; i < rows.size(); ++i) {
        const std::int64_t n = rows[i].spec.n_streams, weights = n * n * (n + 2) * rows[i].spec.hidden_dim;
        for (int j = 0; j < jit::operation_count; ++j) {
            const auto op = static_cast<operation>(j);
            if (!rows[i].spec.wanted.contains(op)) continue;
            const bool is_other = (i / 2 + static_cast<std::size_t>(j)) % 2 == 1;
            const bool projects =
                jit::operations_with_fn.contains(forward_of(op)) || forward_of(op) == operation::dynamic_layer_fwd;
            if (projects && weights > weights_max) continue;
            // More than is added up at once, in the first rows.
            const std::int64_t tokens = i < 2 ? 33 : 3;
            cases.push_back(case_of(rows[i], op, is_other, tokens));
            if (is_gradient(op)) cases.push_back(case_of(rows[i], op, !is_other, tokens));
        }
    }
    std::erase_if(cases, [](const test_case& of) { return of.name.find(case_filter()) == std::string::npos; });
    return cases;
}

void check_rows(const std::string& group, const std::vector<jit::prebuild_item>& rows)
{
    for (const test_case& of : cases_of(rows)) {
        const auto begin = std::chrono::steady_clock::now();
        const agreement found = check_case(session::instance(), of);
        for (const std::string& problem : found.problems) FAIL_CHECK(problem);
        CHECK(found.problems.empty());
        add_to_summary(group, of, found, std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
    }
}

}  // namespace

TEST_CASE("catalogue: the forward operators of every row agree with the float64 reference")
{
    check_rows("catalogue", jit::catalogue(2).value());
}

TEST_CASE("catalogue: the gradients of some rows, or of all, agree with the float64 reference")
{
    check_rows("catalogue gradients", environment("MHC_TEST_GRADIENTS", "") == "all" ? all_gradients() : some_gradients());
}
