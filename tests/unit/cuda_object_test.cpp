// tests/unit/cuda_object_test.cpp -- cubins are judged: architecture, kernel, what it uses; broken ones are refused.
//
// NVRTC makes the cubins where it is here; the figures are what ptxas prints for the same kernel (CUDA 13.0, -Xptxas -v).
#include <doctest/doctest.h>

#include <cstdio>

#include "runtime/code_object.hpp"
#include "runtime/compile_service.hpp"
#include "runtime/cuda_object.hpp"
#include "tests/support/made_elf.hpp"

using namespace mhc;
using namespace mhc::runtime;

namespace {

constexpr const char* source = R"(
extern "C" __global__ void __launch_bounds__(64) two(const float* in, double* out, long long n, int k)
{
    __shared__ float shared[128];
    shared[threadIdx.x] = in[threadIdx.x];
    __syncthreads();
    out[threadIdx.x] = shared[63 - threadIdx.x] * k + n;
}
)";

/// The cubin; empty: NVRTC is not here, and the test says so.
std::string cubin_for(const std::string& target)
{
    static const std::unique_ptr<compile_service> service = make_compile_service({});
    const compile_result made = service->compile({.backend = "nvrtc",
                                                  .target = target,
                                                  .name = "test.cu",
                                                  .source = source,
                                                  .options = {"--gpu-architecture=" + target}});
    if (made.status == compile_status::no_compiler) {
        std::printf("not run: %s\n", made.log.c_str());
        return {};
    }
    REQUIRE_MESSAGE(made.status == compile_status::ok, made.log);
    return made.code;
}

}  // namespace

TEST_CASE("cubin: the architecture and the kernel it was made for are found, and no other")
{
    for (const std::string target : {"sm_80", "sm_90", "sm_90a"}) {
        const std::string code = cubin_for(target);
        if (code.empty()) return;
        CAPTURE(target);
        CHECK(verify_code_object(code, target, "two"));
        CHECK_FALSE(verify_code_object(code, target, "tw"));
        CHECK_FALSE(verify_code_object(code, target, "out"));
        const auto other = verify_code_object(code, target == "sm_80" ? "sm_90" : "sm_80", "two");
        REQUIRE_FALSE(other);
        CHECK(other.error().message.find("not sm_") != std::string::npos);
        CHECK_FALSE(verify_code_object(code, "gfx942", "two"));
        CHECK_FALSE(verify_code_object(code, "host", "two"));
    }
}

TEST_CASE("cubin: parameters, registers, shared memory and the largest block are read")
{
    const std::string code = cubin_for("sm_80");
    if (code.empty()) return;
    const elf_object object = read_elf(code).value();
    const std::vector<cubin_argument> arguments = cubin_arguments(object, "two");
    REQUIRE(arguments.size() == 4);
    constexpr std::uint32_t offsets[] = {0, 8, 16, 24}, sizes[] = {8, 8, 8, 4};
    for (std::size_t i = 0; i < arguments.size(); ++i) {
        CHECK(arguments[i].offset == offsets[i]);
        CHECK(arguments[i].size == sizes[i]);
    }
    const jit::resource_description uses = resources_of(code, "two");
    CHECK(uses.vgprs >= 8);
    CHECK(uses.vgprs <= 32);
    CHECK(uses.lds_bytes == 512);
    CHECK(uses.scratch_bytes == 0);
    CHECK(uses.kernarg_bytes == 28);
    CHECK(uses.max_workgroup == 64);
    CHECK(uses.wave_size == 32);
}

TEST_CASE("cubin: cut short or with any byte changed it is read or refused, never misread past its end")
{
    const std::string code = cubin_for("sm_80");
    if (code.empty()) return;
    int refused = 0;
    for (std::size_t size = 0; size < code.size(); size += 7) {
        const std::string part(code.data(), size);  // its own allocation: a read past the end is seen by a sanitizer
        if (!verify_code_object(part, "sm_80", "two")) ++refused;
        static_cast<void>(resources_of(part, "two"));
    }
    CHECK(refused > 0);
    for (std::size_t at = 0; at < code.size(); ++at) {
        std::string changed = code;
        changed[at] = static_cast<char>(changed[at] ^ 0xff);
        static_cast<void>(verify_code_object(changed, "sm_80", "two"));
        static_cast<void>(resources_of(changed, "two"));
        if (const auto object = read_elf(changed)) static_cast<void>(cubin_arguments(*object, "two"));
    }
}

TEST_CASE("cubin: one made byte by byte is judged and read as NVRTC's are")
{
    const std::string bytes = testing::make_cubin("k");
    CHECK(verify_code_object(bytes, "sm_90", "k"));
    CHECK_FALSE(verify_code_object(bytes, "sm_80", "k"));
    CHECK_FALSE(verify_code_object(bytes, "sm_90", "other"));
    const jit::resource_description uses = resources_of(bytes, "k");
    CHECK(uses.vgprs == 24);
    CHECK(uses.lds_bytes == 512);
    CHECK(uses.max_workgroup == 256);
    CHECK(uses.kernarg_bytes == 8);
    const auto object = read_elf(bytes);
    REQUIRE(object);
    const std::vector<cubin_argument> arguments = cubin_arguments(*object, "k");
    REQUIRE(arguments.size() == 1);
    CHECK(arguments[0].size == 8);
}
