// runtime/emulated_device.cpp -- loads the emulator's plug-in and opens its devices.
#include <dlfcn.h>
#include <fmt/format.h>

#include "emulator/plugin.hpp"
#include "runtime/compile_service.hpp"
#include "runtime/gpu_driver.hpp"

namespace mhc::runtime {
namespace {

/// The plug-in's function, or why it is not here. Loaded once; never unloaded.
struct emulator_plugin {
    emulator::open_function* open = nullptr;
    std::string why_not;
};

emulator_plugin load_plugin()
{
    constexpr const char* file = "libmhc_emulator.so";
    emulator_plugin made;
    const std::string path = find_beside_worker(file);
    if (path.empty()) {
        made.why_not = fmt::format(
            "the emulator is not installed: {} is not beside the compile worker; it is built where LLVM "
            "is (Debian: llvm-19-dev libclang-19-dev liblld-19-dev)",
            file);
        return made;
    }
    void* const library = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) {
        made.why_not = fmt::format("the emulator does not load: {}", ::dlerror());
        return made;
    }
    made.open = reinterpret_cast<emulator::open_function*>(::dlsym(library, "mhc_emulator_open"));
    if (made.open == nullptr) made.why_not = path + " is not this library's emulator";
    return made;
}

}  // namespace

jit::result<std::shared_ptr<gpu_driver>> open_emulator(std::string_view processor)
{
    static const emulator_plugin& plugin = *new emulator_plugin(load_plugin());  // kernels may run while a process exits
    std::string why = plugin.why_not;
    std::shared_ptr<gpu_driver> device;
    if (plugin.open != nullptr) plugin.open(MHC_JIT_VERSION, std::string(processor).c_str(), &device, &why);
    if (!device) return jit::failure{jit::errc::unsupported_target, why};
    return device;
}

}  // namespace mhc::runtime
