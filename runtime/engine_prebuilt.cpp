// runtime/engine_prebuilt.cpp -- the step of the main path that needs no compiler: kernels from prebuilt databases.
#include <fmt/format.h>

#include "runtime/engine_impl.hpp"

namespace mhc::runtime {

std::vector<codegen::target> targets_of_prebuilt(const selected_target& chosen)
{
    std::vector<codegen::target> all;
    if (chosen.exact) all.push_back(*chosen.exact);
    all.push_back(chosen.on);
    if (chosen.on.kind != codegen::target_kind::amdgpu) return all;
    // Every runtime from ROCm 5.2 on knows versions 4 and 5; which one is compiled for is the surer choice (hip_driver.cpp).
    const std::size_t own = all.size();
    for (std::size_t i = 0; i < own; ++i) {
        codegen::target other = all[i];
        other.code_object_version = other.code_object_version == 4 ? 5 : 4;
        all.push_back(std::move(other));
    }
    return all;
}

}  // namespace mhc::runtime

namespace mhc::jit {

/// A miss is a null kernel.
runtime::kernel_result engine::impl::from_prebuilt(const runtime::keyed_kernel& wanted)
try {
    for (const codegen::target& of : prebuilt_for) {
        const bool is_other = of.code_object_version != on.code_object_version;
        if (!objects.has_prebuilt(of.name) || (is_other && other_version_fails)) continue;
        if (auto refused = objects.refused_prebuilt(of.name)) return *refused;
        const auto found = objects.find_prebuilt(objects.key_of(*wanted.plan, of, {}));
        if (!found) continue;
        // That a runtime does not know a version is no fault of the object's: it stays for those that do.
        runtime::kernel_result loaded = load_stored(*found, !is_other);
        if (!is_other || !loaded || *loaded) return loaded;
        other_version_fails = true;
    }
    return std::shared_ptr<const runtime::kernel>();
} catch (const std::exception& e) {
    return failure{errc::load_failed, fmt::format("{}: {}", wanted.symbol, e.what())};
}

}  // namespace mhc::jit
