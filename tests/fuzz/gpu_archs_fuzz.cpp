// tests/fuzz/gpu_archs_fuzz.cpp -- lists of architectures, as in GPU_ARCHS.
#include <mhc/jit/prebuild.hpp>

#include "tests/fuzz/fuzz.hpp"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    using namespace mhc;
    const std::string_view text = fuzz::text_of(data, size);
    // To ask for this machine's GPUs is to load their drivers, which are not what is looked at here.
    if (text.find("native") != text.npos) return 0;
    const auto archs = jit::parse_gpu_archs(text);
    if (!archs) {
        fuzz::require(!archs.error().message.empty());
        return 0;
    }
    fuzz::require(!archs->empty());
    for (const std::string& one : *archs) {
        const auto again = jit::parse_gpu_archs(one);
        fuzz::require(again && again->size() == 1 && again->front() == one);
    }
    return 0;
}
