// tests/fake_hip/layers.hpp -- layers on the look-alike's gfx942, cases of every operator, and memory for their operands.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <mhc/jit/device.hpp>
#include <mhc/jit/engine.hpp>

#include "tests/host/operands.hpp"
#include "tests/support/cases.hpp"

namespace mhc::testing {

inline constexpr const char* fake_target = "gfx942";
inline constexpr int fake_ordinal = 1;  ///< not the device that is current in the tests' thread

/// For the look-alike's device `fake_ordinal`.
jit::engine_options options_with(const std::string& cache_dir);

/// An engine for it, over the cache that the tiers of a run share. Needs `fresh_fake` before.
jit::engine& shared_engine();

/// False where no compiler knows the target: then nothing can be launched, and the test says so.
bool can_compile();

/// Cases of the operator that differ in strides, types and static coefficients, few enough to compile; one has no tokens.
std::vector<test_case> some_cases(jit::operation op);

/// Memory for every operand of a launch, each an allocation of its own, and a stream.
class operand_memory {
public:
    operand_memory(const jit::compiled_layer& layer, const operands& of);
    ~operand_memory();
    operand_memory(const operand_memory&) = delete;
    operand_memory& operator=(const operand_memory&) = delete;

    void* pointer(std::string_view name) const;  ///< null for one that the launch leaves out
    jit::device& device() { return *device_; }

    void* stream = nullptr;

private:
    void add(const std::string& name, std::int64_t bytes);

    std::shared_ptr<jit::device> device_;
    std::map<std::string, void*, std::less<>> memory_;
};

jit::result<void> launch_with(const jit::compiled_layer& layer, const operands& of, const operand_memory& memory);

}  // namespace mhc::testing
