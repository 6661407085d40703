// codegen/compile_options.cpp -- how kernels are compiled.
//
// No contraction and no reassociation: the order of every sum is the operator's (docs/OPERATORS.md, Bits).
#include "codegen/compile_options.hpp"

namespace mhc::codegen {
namespace {

void add(std::vector<std::string>& to, std::initializer_list<const char*> more)
{
    to.insert(to.end(), more.begin(), more.end());
}

std::vector<std::string> clang_common(const target& on)
{
    std::vector<std::string> o{"-triple", on.triple, "-emit-obj"};
    add(o, {"-disable-free",
            "-clear-ast-before-backend",
            "-disable-llvm-verifier",
            "-discard-value-names",
            "-mrelocation-model",
            "pic",
            "-pic-level",
            "2",
            "-mframe-pointer=none",
            "-ffp-contract=off",
            "-fno-rounding-math",
            "-nostdsysteminc",
            "-nobuiltininc",
            "-O3",
            "-std=c++17",
            "-fgnuc-version=4.2.1",
            "-vectorize-slp",
            "-Wall",
            "-Wextra",
            "-Werror",
            "-Wno-unused-function"});
    return o;
}

/// Said to every compiler, whose own defaults differ: a HIP 5 runtime wants 4, one from 6 on takes 5.
std::string code_object_version(const target& on)
{
    return "-mcode-object-version=" + std::to_string(on.code_object_version);
}

std::vector<std::string> clang_amdgpu(const target& on)
{
    std::vector<std::string> o = clang_common(on);
    add(o, {"-vectorize-loops", "-fvisibility=hidden", "-fapply-global-visibility-to-externs", "-fcuda-is-device",
            "-fcuda-allow-variadic-functions"});
    o.push_back(code_object_version(on));
    o.insert(o.end(), {"-target-cpu", on.processor});
    for (const std::string& feature : on.features)
        o.insert(o.end(), {"-target-feature", feature.back() + feature.substr(0, feature.size() - 1)});
    add(o, {"-x", "hip"});
    return o;
}

std::vector<std::string> clang_host(const target& on)
{
    std::vector<std::string> o = clang_common(on);
    // Loops are over explicit vectors already; there are no C++ run-time libraries in the object.
    // Vectors wider than the CPU's registers are passed between inlined functions only, so how they would be is no matter.
    add(o, {"-fvisibility=hidden", "-ffreestanding", "-fno-threadsafe-statics", "-fno-rtti", "-Wno-psabi"});
    o.insert(o.end(), {"-target-cpu", on.processor});
    for (const std::string& feature : on.features) o.insert(o.end(), {"-target-feature", "+" + feature});
    add(o, {"-x", "c++"});
    return o;
}

std::vector<std::string> hiprtc(const target& on)
{
    return {"--offload-arch=" + on.name,
            "-O3",
            "-std=c++17",
            "-ffp-contract=off",
            "--hiprtc-no-builtin-header",
            "-nogpuinc",
            "-nogpulib",
            "-Wall",
            "-Wextra",
            "-Werror",
            "-Wno-unused-function",
            code_object_version(on)};
}

std::vector<std::string> nvrtc(const target& on)
{
    // Fused multiply-adds are written out; division and square root are rounded as IEEE 754 says, denormals are kept.
    return {"--gpu-architecture=" + on.processor,
            "-std=c++17",
            "-default-device",
            "--fmad=false",
            "--ftz=false",
            "--prec-div=true",
            "--prec-sqrt=true",
            "--extra-device-vectorization"};
}

}  // namespace

std::vector<std::string_view> compilers_of(target_kind kind)
{
    switch (kind) {
        case target_kind::host:
            return {"clang"};
        case target_kind::amdgpu:
            return {"hiprtc", "clang"};
        case target_kind::cuda:
            return {"nvrtc"};
    }
    return {};
}

std::vector<std::string> compile_options(std::string_view backend, const target& on)
{
    if (backend == "hiprtc") return hiprtc(on);
    if (backend == "nvrtc") return nvrtc(on);
    return on.kind == target_kind::host ? clang_host(on) : clang_amdgpu(on);
}

}  // namespace mhc::codegen
