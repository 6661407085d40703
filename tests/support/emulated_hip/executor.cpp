// tests/support/emulated_hip/executor.cpp -- the fake HIP runtime's kernels, executed by the emulator's gfx942.
//
// libamdhip64.so.6 in the build folder's emulated_hip/ is the fake with this instead of nothing: the same checks of every
// call, and results.
#include <dlfcn.h>

#include <cstdio>
#include <cstdlib>
#include <string>

#include "emulator/plugin.hpp"
#include "tests/support/fake_hip/state.hpp"

namespace {

/// A runtime that cannot execute is of no use: the program ends and says why.
[[noreturn]] void give_up(const std::string& why)
{
    std::fprintf(stderr, "emulated HIP: %s\n", why.c_str());
    std::exit(1);
}

std::shared_ptr<mhc::runtime::gpu_driver> open_emulator()
{
    void* const plugin = ::dlopen(MHC_EMULATOR, RTLD_NOW | RTLD_LOCAL);
    if (plugin == nullptr) give_up(::dlerror());
    auto* const open = reinterpret_cast<mhc::emulator::open_function*>(::dlsym(plugin, "mhc_emulator_open"));
    if (open == nullptr) give_up(MHC_EMULATOR " is not the emulator");
    std::shared_ptr<mhc::runtime::gpu_driver> device;
    std::string why;
    open(MHC_JIT_VERSION, "gfx942", &device, &why);
    if (!device) give_up(why);
    return device;
}

}  // namespace

mhc::runtime::gpu_driver* mhc::fake_hip::executor()
{
    static const auto& the_one =
        *new std::shared_ptr<runtime::gpu_driver>(open_emulator());  // programs call HIP until they end
    return the_one.get();
}
