// tests/fuzz/npy_fuzz.cpp -- NumPy's files: the header's text, and whole files.
#include "tests/fuzz/fuzz.hpp"
#include "tools/common/npy.hpp"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    using namespace mhc;
    const std::string_view bytes = fuzz::text_of(data, size);
    static_cast<void>(tools::parse_npy_header(bytes));
    const fuzz::memory_file file(bytes);
    const auto array = tools::read_npy(file.path());
    if (!array) return 0;
    const auto count = tools::element_count(array->shape);
    fuzz::require(count && static_cast<std::size_t>(*count) == array->values.size());
    fuzz::require(array->values.size() <= size / 4);
    // Written and read again, it is the same array.
    const fuzz::memory_file copy(tools::npy_bytes(*array));
    const auto again = tools::read_npy(copy.path());
    fuzz::require(again && again->shape == array->shape && again->values.size() == array->values.size());
    return 0;
}
