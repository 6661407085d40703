// runtime/engine_impl.hpp -- what an engine is made of, and what a compiled layer keeps.
#pragma once

#include <array>
#include <atomic>
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
#include "runtime/tuned_tables.hpp"

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

/// Whose prebuilt objects a device may run, in order: its own id's with its features, where someone made them; its
/// processor's; those of the other code object version, which its runtime may load as well.
std::vector<codegen::target> targets_of_prebuilt(const selected_target& chosen);

}  // namespace mhc::runtime

namespace mhc::jit {

struct compiled_layer::impl {
    layer_spec spec;
    std::string target;
    std::array<std::shared_ptr<const runtime::ready_operator>, operation_count> operators;
    std::vector<kernel_info> kernels;
    std::int32_t row_align = 1, weight_align = 1;  ///< bytes
    bool may_overlap = false;                      ///< launches, what is ahead of them in the stream
};

struct engine::impl {
    impl(engine_options with, runtime::selected_target chosen);

    /// The steps of the main path after the request, in order (engine.cpp).
    result<compiled_layer> make(const layer_spec& spec, const tuning* choices = nullptr);
    std::vector<runtime::kernel_result> kernels_of(const std::vector<const codegen::kernel_plan*>& plans);
    runtime::kernel_result from_stores_or_compiler(const runtime::keyed_kernel& wanted, const runtime::chosen_compiler& by,
                                                   bool may_compile);
    /// A kernel of L1 that others wait for, and this call is to make.
    struct claim {
        runtime::keyed_kernel wanted;
        std::shared_ptr<std::promise<runtime::kernel_result>> promise;
    };
    void make(std::vector<claim> mine);
    void finish(const claim& one, runtime::kernel_result made);
    result<runtime::chosen_compiler> compiler();
    runtime::kernel_result from_prebuilt(const runtime::keyed_kernel& wanted);
    runtime::kernel_result load_stored(const runtime::found_object& object, bool is_to_blame);
    runtime::kernel_result load(const runtime::found_object& object);

    const engine_options options;
    const codegen::target on;
    const std::string target_name;                    ///< as users name it; `on` is what kernels are compiled for
    const std::vector<codegen::target> prebuilt_for;  ///< whose prebuilt objects may do, in order
    std::atomic<bool> other_version_fails = false;    ///< a code object version that the runtime does not know
    std::shared_ptr<runtime::logger> log;
    std::shared_ptr<runtime::counters> counts;
    const codegen::tuned_table tuned;
    std::unique_ptr<runtime::loader> loader;
    runtime::object_source objects;
    runtime::known_layers known;

    /// L1: kernels by key_nofp; one future for all who ask while it is being made.
    std::mutex l1_mutex;
    std::map<cache::digest, std::shared_future<runtime::kernel_result>> l1;
};

}  // namespace mhc::jit
