// tests/host/driver.hpp -- runs one numerical case on the target under test and compares it with the reference. Start here.
//
// Environment: MHC_TEST_TARGET (default host), MHC_TEST_CASE (runs only cases whose name contains it), MHC_TEST_FULL=1 (the
// product of factors instead of pairs), MHC_TEST_GRADIENTS=all (of gradients as many cases as of other operators),
// MHC_TEST_SMALL=K (every K-th of the cases with C up to 4096 and T up to 33; of gradients every K-th of those with fewer
// sizes), MHC_TEST_SMALL_FEWER=L (of gradients and of Sinkhorn's options every L-th), MHC_JIT_DIR (the cache folder, shared
// by the tiers of a run).
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <mhc/jit/engine.hpp>

#include "tests/host/device.hpp"
#include "tests/host/operands.hpp"
#include "tests/reference/tensors.hpp"
#include "tests/support/cases.hpp"

namespace mhc::testing {

/// The target under test: its engine and its device, made once. Throws std::runtime_error when there is none.
struct session {
    std::string target;
    std::unique_ptr<jit::engine> engine;
    std::unique_ptr<testing::device> device;

    static session& instance();

    /// The layer of a spec; throws jit::exception, with the compiler's log, when there is none.
    jit::compiled_layer layer(const jit::layer_spec& spec);
};

/// Numbers that `type`, bf16 or fp16, has, as memory holds them.
std::vector<std::uint16_t> narrowed(const std::vector<float>& values, jit::dtype type);

/// The memory of one launch: inputs uploaded, outputs and workspace full of NaN, everything between guards.
class launch_memory {
public:
    launch_memory(session& on, const jit::compiled_layer& layer, const operands& of);

    void* pointer(std::string_view name) const;  ///< null for an operand that the launch leaves out
    jit::result<void> launch() const;
    /// With one pointer replaced: what a wrong call does.
    jit::result<void> launch_with(const operands& changed, std::string_view name, void* replacement) const;

    /// The output as dense float32. Adds to `problems` each byte written outside its rows.
    std::vector<float> output(const operand& of, std::vector<std::string>& problems) const;
    /// Adds the names of inputs that changed and of a workspace written outside its bounds.
    void check_inputs(std::vector<std::string>& problems) const;
    /// Whether no output has been written at all.
    bool outputs_are_untouched() const;

    std::int64_t workspace_bytes() const { return workspace_bytes_; }

private:
    session& session_;
    const jit::compiled_layer& layer_;
    const operands& operands_;
    std::int64_t workspace_bytes_ = 0;
    std::map<std::string, std::unique_ptr<guarded_array>, std::less<>> arrays_;
};

/// What a launch gave.
struct outcome {
    std::map<std::string, std::vector<float>> outputs;  ///< dense
    std::vector<std::string> problems;                  ///< empty: launched, and only outputs were written
};
outcome run(session& on, const jit::layer_spec& spec, const operands& of);
outcome run(session& on, const jit::compiled_layer& layer, const operands& of);

/// The float64 reference of every output; of pre_project_fwd, of the sums over its splits. The second half of post_pre_fwd
/// reads `out` as stored, so its reference reads the `out` of `got`; those of post_pre_bwd and post_head_bwd, which make it
/// again and keep it, the `out` that post_fwd gives.
std::map<std::string, reference::tensor> expected_of(const jit::layer_spec& spec, const operands& of,
                                                     const outcome& got = {});

/// How near results came to their bounds.
struct agreement {
    std::vector<std::string> problems;  ///< each one line, empty when all is well
    double norm_ratio = 0, element_ratio = 0;
    std::int64_t elements = 0;
};
agreement compare_with_reference(const jit::layer_spec& spec, const operands& of, const outcome& got);

/// Runs a case and compares it; the problems begin with the case's name.
agreement check_case(session& on, const test_case& of);

/// Counts of one kind of test, printed when the program ends.
void add_to_summary(const std::string& group, const test_case& of, const agreement& found, double seconds);

/// MHC_TEST_CASE, or empty.
std::string case_filter();
/// The value of a variable of the environment, or `otherwise`.
std::string environment(const char* name, const std::string& otherwise);

}  // namespace mhc::testing
