// runtime/engine_impl.hpp -- what an engine is made of, and what a compiled layer keeps.
#pragma once

#include <array>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include <mhc/jit/engine.hpp>
#include <mhc/jit/layer.hpp>

#include "codegen/plan.hpp"
#include "runtime/known_layers.hpp"
#include "runtime/loader.hpp"
#include "runtime/object_source.hpp"
#include "runtime/select_target.hpp"

namespace mhc::runtime {

/// A loaded kernel and what is told about it. Immortal once made: launches hold no count.
struct kernel {
    std::shared_ptr<const loaded_kernel> code;
    jit::kernel_info info;
};
using kernel_result = jit::result<std::shared_ptr<const kernel>>;

/// One operator of a layer, ready to launch.
struct ready_operator {
    codegen::operator_plan plan;
    std::vector<std::shared_ptr<const kernel>> kernels;  ///< as plan.kernels
};

}  // namespace mhc::runtime

namespace mhc::jit {

struct compiled_layer::impl {
    layer_spec spec;
    std::string target;
    std::array<std::unique_ptr<const runtime::ready_operator>, operation_count> operators;
    std::vector<kernel_info> kernels;
    std::int32_t row_align = 1, weight_align = 1;  ///< bytes
};

struct engine::impl {
    impl(engine_options with, runtime::selected_target chosen);

    /// The steps of the main path after the request, in order (engine.cpp).
    result<compiled_layer> make(const layer_spec& spec);
    std::vector<runtime::kernel_result> kernels_of(const std::vector<const codegen::kernel_plan*>& plans);
    runtime::kernel_result from_stores_or_compiler(const runtime::keyed_kernel& wanted, const runtime::chosen_compiler& by,
                                                   bool may_compile);
    std::optional<runtime::found_object> find(const runtime::keyed_kernel& wanted);
    runtime::kernel_result load(const runtime::found_object& object);

    const engine_options options;
    const codegen::target on;
    const std::string target_name;               ///< as users name it; `on` is what kernels are compiled for
    const std::optional<codegen::target> exact;  ///< the device's own id, whose prebuilt objects come first
    std::shared_ptr<runtime::logger> log;
    std::shared_ptr<runtime::counters> counts;
    std::unique_ptr<runtime::loader> loader;
    runtime::object_source objects;
    runtime::known_layers known;

    /// L1: kernels by key_nofp; one future for all who ask while it is being made.
    std::mutex l1_mutex;
    std::map<cache::digest, std::shared_future<runtime::kernel_result>> l1;
};

}  // namespace mhc::jit
