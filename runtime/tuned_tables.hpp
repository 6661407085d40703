// runtime/tuned_tables.hpp -- the tuned choices that an engine of these options plans by.
#pragma once

#include <mhc/jit/engine.hpp>

#include "codegen/tuning.hpp"
#include "runtime/log.hpp"

namespace mhc::runtime {

/// The library's table, which prebuilt kernels are made by.
codegen::tuned_table shipped_choices(const codegen::target& on);

/// That, and the user's over it where `options` let it count: a warning for each line that is none.
codegen::tuned_table choices_of(const jit::engine_options& options, const codegen::target& on, const logger& log);

}  // namespace mhc::runtime
