// mhc/jit/warm_up.hpp -- making many layers before they are needed: `engine::warm_up`.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include <mhc/jit/result.hpp>
#include <mhc/jit/spec.hpp>

namespace mhc::jit {

/// What is told after each layer.
struct warm_up_step {
    int done = 0, total = 0;  ///< layers, this one included
    std::string layer;        ///< such as "hidden_dim 4096, n_streams 4, bf16: pre_fwd, post_fwd"
    bool is_ready = false;
    std::string what;  ///< "known", "4 kernels: 3 compiled, 1 from the user database", or the failure's first line
};

/// Called from any thread, one call at a time; may not call the engine's `warm_up`. False: begin no further layer. An
/// exception counts as false.
using warm_up_progress = std::function<bool(const warm_up_step&)>;

struct warm_up_failure {
    std::size_t index = 0;  ///< in the list of specs
    std::string layer;      ///< as in `warm_up_step`
    failure why;
};

struct warm_up_report {
    int ready = 0;                          ///< layers that `layer(spec)` now answers from its table
    int cancelled = 0;                      ///< layers that were not begun
    std::vector<warm_up_failure> failures;  ///< by index
    double seconds = 0;
};

}  // namespace mhc::jit
