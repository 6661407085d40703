// tests/fuzz/shapes_fuzz.cpp -- files of shapes, as in mhc-prebuild --shapes.
#include "tests/fuzz/fuzz.hpp"
#include "tools/common/tool.hpp"
#include "tools/mhc-prebuild/request.hpp"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    using namespace mhc;
    const fuzz::memory_file file(fuzz::text_of(data, size));
    try {
        const auto items = tools::read_shapes(file.path(), {jit::operation::pre_fwd});
        fuzz::require(!items.empty());
        // What is accepted is a spec that can be.
        for (const jit::prebuild_item& item : items) fuzz::require(jit::validate(item.spec).has_value());
    } catch (const tools::tool_error& e) {
        fuzz::require(e.code() == 2 && *e.what() != '\0');
    }
    return 0;
}
