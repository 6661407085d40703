// runtime/choose_compiler.cpp -- which compiler makes code for a target: of those for its kind, the first that knows it.
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>

#include "codegen/compile_options.hpp"
#include "runtime/object_source.hpp"
#include "runtime/toolchain_memory.hpp"

namespace mhc::runtime {
namespace {

// Variables that HIPRTC and comgr read: they change the code, so they are part of the key.
constexpr const char* injected_options[] = {"HIPRTC_COMPILE_OPTIONS_APPEND", "HIPRTC_LINK_OPTIONS_APPEND",
                                            "AMD_COMGR_DRIVER_OPTIONS_APPEND", "GPU_ENABLE_WGP_MODE"};

std::map<std::string, std::string> injected_by_environment()
{
    std::map<std::string, std::string> found;
    for (const char* name : injected_options)
        if (const char* value = secure_getenv(name); value != nullptr && *value != '\0') found[name] = value;
    return found;
}

/// The compilers for a kind of target, in order. Only AMD targets have a choice.
std::vector<std::string> compiler_order(codegen::target_kind kind, jit::compiler_backend wanted)
{
    std::vector<std::string> order;
    for (const std::string_view name : codegen::compilers_of(kind)) {
        const bool is_other = (wanted == jit::compiler_backend::clang && name != "clang") ||
                              (wanted == jit::compiler_backend::hiprtc && name != "hiprtc");
        if (kind != codegen::target_kind::amdgpu || !is_other) order.emplace_back(name);
    }
    return order;
}

}  // namespace

std::vector<backend_info> object_source::known_backends()
{
    {
        const std::lock_guard lock(mutex_);
        if (backends_) return *backends_;
    }
    cache::code_store* store = user_store_if_there();
    return store == nullptr ? std::vector<backend_info>{} : recall_backends(*store, service().worker_path());
}

chosen_compiler object_source::compiler_for(const codegen::target& on)
{
    chosen_compiler chosen;
    const bool is_host = on.kind == codegen::target_kind::host;
    const std::string wanted_name = is_host ? "host" : on.processor;
    if (is_host && service().worker_path().empty()) {  // no need to look for compilers that could not help
        find_worker(options_.worker, &chosen.why_none);
        return chosen;
    }
    const std::vector<std::string> order = compiler_order(on.kind, options_.backend);

    const auto pick = [&](const std::vector<backend_info>& from, bool wants_all) {
        for (const std::string& name : order) {
            const auto at = std::find_if(from.begin(), from.end(), [&](const auto& b) { return b.name == name; });
            if (at == from.end() && wants_all) return;  // nothing is known of a compiler that would come first
            if (at == from.end() || !at->available) continue;
            if (std::find(at->targets.begin(), at->targets.end(), wanted_name) == at->targets.end()) continue;
            chosen.backend = name;
            chosen.identity = at->identity;
            return;
        }
    };
    pick(known_backends(), true);
    if (chosen.backend.empty()) {
        counts_->compilers_asked++;
        const std::vector<backend_info> asked = backends();
        {
            const std::lock_guard lock(mutex_);
            backends_ = asked;
        }
        if (cache::code_store* store = user_store()) remember_backends(*store, asked, service().worker_path());
        pick(asked, false);
        if (chosen.backend.empty()) chosen.why_none = why_no_compiler(asked, order, wanted_name);
    }
    if (chosen.backend == "hiprtc") chosen.environment = injected_by_environment();
    return chosen;
}

}  // namespace mhc::runtime
