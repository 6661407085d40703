// runtime/host_cpu.cpp -- features of this CPU, as LLVM names them.
#include "runtime/host_cpu.hpp"

#include <sys/utsname.h>

#include <string>
#include <vector>

namespace mhc::runtime {

codegen::target this_host()
{
    std::vector<std::string> features;
#if defined(__x86_64__)
    // Those that change the code of our kernels; __builtin_cpu_supports also asks whether the system saves the registers.
    const auto add = [&](bool has, const char* name) {
        if (has) features.emplace_back(name);
    };
    __builtin_cpu_init();
    add(__builtin_cpu_supports("sse3"), "sse3");
    add(__builtin_cpu_supports("ssse3"), "ssse3");
    add(__builtin_cpu_supports("sse4.1"), "sse4.1");
    add(__builtin_cpu_supports("sse4.2"), "sse4.2");
    add(__builtin_cpu_supports("popcnt"), "popcnt");
    add(__builtin_cpu_supports("avx"), "avx");
    add(__builtin_cpu_supports("avx2"), "avx2");
    add(__builtin_cpu_supports("fma"), "fma");
    add(__builtin_cpu_supports("f16c"), "f16c");
    add(__builtin_cpu_supports("bmi"), "bmi");
    add(__builtin_cpu_supports("bmi2"), "bmi2");
    add(__builtin_cpu_supports("lzcnt"), "lzcnt");
    add(__builtin_cpu_supports("movbe"), "movbe");
    add(__builtin_cpu_supports("avx512f"), "avx512f");
    add(__builtin_cpu_supports("avx512bw"), "avx512bw");
    add(__builtin_cpu_supports("avx512cd"), "avx512cd");
    add(__builtin_cpu_supports("avx512dq"), "avx512dq");
    add(__builtin_cpu_supports("avx512vl"), "avx512vl");
#endif
    utsname system{};
    uname(&system);
    return codegen::host_target(system.machine, std::move(features));
}

}  // namespace mhc::runtime
