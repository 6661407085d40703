// tests/unit/host_engine.hpp -- an engine for this CPU with a cache of its own.
#pragma once

#include <mhc/jit/engine.hpp>

#include "tests/support/temporary_directory.hpp"

namespace mhc::testing {

/// Options of an engine for `host`, without a log.
inline jit::engine_options host_options(const test::temporary_directory& dir)
{
    jit::engine_options options;
    options.target = "host";
    options.cache_dir = dir.path();
    options.level = jit::log_level::off;
    return options;
}

}  // namespace mhc::testing
