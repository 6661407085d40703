// emulator/plugin.cpp -- the plug-in's entry: is it this library's, and can this CPU run it?
//
// This file is compiled for any CPU; the others need what is asked for here.
#include "emulator/plugin.hpp"

#include <algorithm>
#include <array>
#include <map>
#include <mutex>
#include <string_view>

#include "emulator/device.hpp"

__attribute__((visibility("default"))) void mhc_emulator_open(const char* version, const char* processor,
                                                              std::shared_ptr<mhc::runtime::gpu_driver>* device,
                                                              std::string* why)
{
    if (std::string_view(version) != MHC_JIT_VERSION) {
        *why = std::string("the emulator is of version " MHC_JIT_VERSION ", the library of ") + version;
        return;
    }
#if defined(__x86_64__)
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma") || !__builtin_cpu_supports("f16c")) {
        *why = "the emulator needs a CPU with AVX2, FMA and F16C";
        return;
    }
#endif
    static constexpr std::array<std::string_view, 4> processors{"gfx90a", "gfx942", "gfx1100", "gfx1200"};
    if (std::find(processors.begin(), processors.end(), processor) == processors.end()) {
        *why = std::string("the emulator has gfx90a, gfx942, gfx1100 and gfx1200, not ") + processor;
        return;
    }
    // One device a processor, as there would be one GPU: engines, programs and tools share its memory. Never destroyed.
    static std::mutex& mutex = *new std::mutex;
    static auto& devices = *new std::map<std::string, std::shared_ptr<mhc::runtime::gpu_driver>, std::less<>>;
    const std::lock_guard lock(mutex);
    mhc::emulator::checks which{};
    if (devices.find(processor) == devices.end()) {
        const mhc::emulator::processor_facts* const on = mhc::emulator::read_product(processor, *why);
        if (on == nullptr || !mhc::emulator::read_checks(which, *why)) return;
        devices[processor] = mhc::emulator::make_device(*on, which);
    }
    *device = devices[processor];
}
