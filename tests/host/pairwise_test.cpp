// tests/host/pairwise_test.cpp -- every operator within the bounds of MATH.md 6.1a over the generated cases.
#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "tests/host/driver.hpp"

using namespace mhc;
using namespace mhc::testing;

namespace {

/// Has the layers of coming cases compiled while the ones before are checked: a kernel's compilation occupies one processor.
class compile_ahead {
public:
    compile_ahead(session& on, const std::vector<test_case>& cases)
    {
        const unsigned count = std::max(2U, std::thread::hardware_concurrency());
        for (unsigned i = 0; i < count; ++i) {
            threads_.emplace_back([&on, &cases, this] {
                for (std::size_t at = next_++; at < cases.size() && !stopped_; at = next_++) {
                    // A failure is not lost: the case asks for the same layer and reports it.
                    static_cast<void>(on.engine->layer(cases[at].spec).has_value());
                }
            });
        }
    }
    ~compile_ahead()
    {
        stopped_ = true;
        for (std::thread& thread : threads_) thread.join();
    }
    compile_ahead(const compile_ahead&) = delete;
    compile_ahead& operator=(const compile_ahead&) = delete;

private:
    std::atomic<std::size_t> next_ = 0;
    std::atomic<bool> stopped_ = false;
    std::vector<std::thread> threads_;
};

/// Operators that join others, whose parts run all their small cases under their own names.
bool is_joined(jit::operation op)
{
    constexpr jit::operations joined = {jit::operation::post_head_fwd, jit::operation::multilayer_recompute,
                                        jit::operation::rmsnorm_matmul_fwd, jit::operation::post_head_bwd};
    return joined.contains(op);
}

/// Every `small`-th of the small cases, of joined operators every third of those, or, at 0, all cases.
std::vector<test_case> chosen_cases(const case_group& group, std::size_t small)
{
    const bool is_full = environment("MHC_TEST_FULL", "0") == "1";
    // A gradient has several kernels of its own for every spec, and compiling them is most of the time.
    const bool is_thinned = is_gradient(group.op) && environment("MHC_TEST_GRADIENTS", "") != "all";
    const case_limits fewer{.work_max = std::int64_t{1} << 28, .sizes = size_set::few};
    if (small == 0) return all_cases(group, is_thinned && !is_full ? fewer : case_limits{}, is_full);
    // So has each combination of Sinkhorn's options.
    if (is_thinned || group.sweeps_sinkhorn) small = std::stoul(environment("MHC_TEST_SMALL_FEWER", std::to_string(small)));
    if (is_joined(group.op)) small *= 3;
    const case_limits limits{.work_max = std::int64_t{1} << 25,
                             .hidden_dim_max = is_thinned ? 1280 : 4096,
                             .tokens_max = 33,
                             .sizes = is_thinned ? size_set::few : size_set::listed};
    std::vector<test_case> cases = all_cases(group, limits, false), some;
    // Groups begin at different cases, so that they do not all leave out the same.
    for (std::size_t i = static_cast<std::size_t>(group.op) % small; i < cases.size(); i += small)
        some.push_back(std::move(cases[i]));
    return some;
}

void check_group(const case_group& group)
{
    session& on = session::instance();
    std::vector<test_case> cases = chosen_cases(group, std::stoul(environment("MHC_TEST_SMALL", "0")));
    const std::string filter = case_filter();
    std::erase_if(cases, [&](const test_case& of) { return of.name.find(filter) == std::string::npos; });

    const compile_ahead ahead(on, cases);
    for (const test_case& of : cases) {
        const auto begin = std::chrono::steady_clock::now();
        agreement found;
        try {
            found = check_case(on, of);
        } catch (const std::exception& why) {  // one kernel that does not compile must not hide the other cases
            found.problems = {"MHC_TEST_CASE='" + of.name + "': " + why.what()};
        }
        for (const std::string& problem : found.problems) FAIL_CHECK(problem);
        CHECK(found.problems.empty());
        add_to_summary(group.name(), of, found,
                       std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
    }
}

}  // namespace

TEST_CASE("pairwise: sinkhorn_fwd agrees with the float64 reference") { check_group({.op = jit::operation::sinkhorn_fwd}); }

TEST_CASE("pairwise: sinkhorn_fwd agrees for every start, order, eps mode and iteration count")
{
    check_group({.op = jit::operation::sinkhorn_fwd, .sweeps_sinkhorn = true});
}

TEST_CASE("pairwise: rmsnorm_fwd agrees with the float64 reference") { check_group({.op = jit::operation::rmsnorm_fwd}); }

TEST_CASE("pairwise: apply_mix_fwd agrees with the float64 reference")
{
    check_group({.op = jit::operation::apply_mix_fwd});
}

TEST_CASE("pairwise: expand_fwd agrees with the float64 reference") { check_group({.op = jit::operation::expand_fwd}); }

TEST_CASE("pairwise: post_fwd agrees with the float64 reference") { check_group({.op = jit::operation::post_fwd}); }

TEST_CASE("pairwise: pre_fwd agrees with the float64 reference") { check_group({.op = jit::operation::pre_fwd}); }

TEST_CASE("pairwise: static_layer_fwd agrees with the float64 reference")
{
    check_group({.op = jit::operation::static_layer_fwd});
}

TEST_CASE("pairwise: dynamic_layer_fwd agrees with the float64 reference")
{
    check_group({.op = jit::operation::dynamic_layer_fwd});
}

TEST_CASE("pairwise: post_pre_fwd agrees with the float64 reference") { check_group({.op = jit::operation::post_pre_fwd}); }

TEST_CASE("pairwise: head_fwd agrees with the float64 reference") { check_group({.op = jit::operation::head_fwd}); }

TEST_CASE("pairwise: pre_project_fwd agrees with the float64 reference")
{
    check_group({.op = jit::operation::pre_project_fwd});
}

TEST_CASE("pairwise: split_mixes_fwd agrees with the float64 reference")
{
    check_group({.op = jit::operation::split_mixes_fwd});
}

TEST_CASE("pairwise: coeffs_fwd agrees with the float64 reference") { check_group({.op = jit::operation::coeffs_fwd}); }

TEST_CASE("pairwise: pre_big_fuse agrees with the float64 reference") { check_group({.op = jit::operation::pre_big_fuse}); }

TEST_CASE("pairwise: broadcast_pre_fwd agrees with the float64 reference")
{
    check_group({.op = jit::operation::broadcast_pre_fwd});
}

TEST_CASE("pairwise: delayed_pre_fwd agrees with the float64 reference")
{
    check_group({.op = jit::operation::delayed_pre_fwd});
}

TEST_CASE("pairwise: post_head_fwd agrees with the float64 reference")
{
    check_group({.op = jit::operation::post_head_fwd});
}

TEST_CASE("pairwise: multilayer_recompute agrees with the float64 reference")
{
    check_group({.op = jit::operation::multilayer_recompute});
}

TEST_CASE("pairwise: rmsnorm_matmul_fwd agrees with the float64 reference")
{
    check_group({.op = jit::operation::rmsnorm_matmul_fwd});
}

TEST_CASE("pairwise: sinkhorn_bwd agrees with the float64 reference") { check_group({.op = jit::operation::sinkhorn_bwd}); }

TEST_CASE("pairwise: rmsnorm_bwd agrees with the float64 reference") { check_group({.op = jit::operation::rmsnorm_bwd}); }

TEST_CASE("pairwise: apply_mix_bwd agrees with the float64 reference")
{
    check_group({.op = jit::operation::apply_mix_bwd});
}

TEST_CASE("pairwise: expand_bwd agrees with the float64 reference") { check_group({.op = jit::operation::expand_bwd}); }

TEST_CASE("pairwise: post_bwd agrees with the float64 reference") { check_group({.op = jit::operation::post_bwd}); }

TEST_CASE("pairwise: pre_bwd agrees with the float64 reference") { check_group({.op = jit::operation::pre_bwd}); }

TEST_CASE("pairwise: static_layer_bwd agrees with the float64 reference")
{
    check_group({.op = jit::operation::static_layer_bwd});
}

TEST_CASE("pairwise: dynamic_layer_bwd agrees with the float64 reference")
{
    check_group({.op = jit::operation::dynamic_layer_bwd});
}

TEST_CASE("pairwise: post_pre_bwd agrees with the float64 reference") { check_group({.op = jit::operation::post_pre_bwd}); }

TEST_CASE("pairwise: head_bwd agrees with the float64 reference") { check_group({.op = jit::operation::head_bwd}); }

TEST_CASE("pairwise: pre_project_bwd agrees with the float64 reference")
{
    check_group({.op = jit::operation::pre_project_bwd});
}

TEST_CASE("pairwise: split_mixes_bwd agrees with the float64 reference")
{
    check_group({.op = jit::operation::split_mixes_bwd});
}

TEST_CASE("pairwise: coeffs_bwd agrees with the float64 reference") { check_group({.op = jit::operation::coeffs_bwd}); }

TEST_CASE("pairwise: post_head_bwd agrees with the float64 reference")
{
    check_group({.op = jit::operation::post_head_bwd});
}

TEST_CASE("pairwise: rmsnorm_matmul_bwd agrees with the float64 reference")
{
    check_group({.op = jit::operation::rmsnorm_matmul_bwd});
}

TEST_CASE("pairwise: sinkhorn_bwd agrees for every start, order, eps mode and iteration count")
{
    check_group({.op = jit::operation::sinkhorn_bwd, .sweeps_sinkhorn = true});
}
