// tools/mhc-show/roofline.hpp -- what bounds an operator on an AMD GPU that need not be here: a model of emulated counts.
#pragma once

#include <string>

#include "tools/mhc-show/report.hpp"

namespace mhc::tools {

/// The operator is executed once by the emulator of the target's processor, all its tokens, and counted. Each resource's
/// time is what was counted over what the whole GPU does a second, all compute units at their peak:
///
///   memory  lines missing the last-level cache x bytes of a line / bandwidth
///   vector  (vector x cycles + transcendental x their cycles) / (compute units x SIMDs x clock)
///   matrix  matrix instructions x 2 x 16 x 16 x 16 / peak of bf16 (every one that kernels here have is of that size)
///   lds     lds_cycles / (compute units x clock)
///
/// The predicted time is the longest. No latency, launch, tail or instruction fetch is in it: it is a bound from below, and
/// says which resource a change would have to spare. emulator/processor_facts.cpp has the numbers and their sources.
/// `options.target` is the processor's name, such as "gfx942". `gpu` is the product, such as "mi308x": its compute units,
/// clock, bandwidth and last-level cache; empty: the one that the processor is counted for. The plan, and how many
/// work-groups share the cache, are the processor's whatever the product. Throws mhc::jit::exception where no emulator has
/// the processor.
std::string roofline_text(const shown_operator& shown, const jit::engine_options& options, const std::string& gpu);
std::string roofline_json(const shown_operator& shown, const jit::engine_options& options,
                          const std::string& gpu);  ///< one object, with a line end

/// The processor of a product. Exit code 2, with the list, where there is none of that name.
std::string processor_of_gpu(const std::string& gpu);

}  // namespace mhc::tools
