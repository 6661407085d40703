// tests/fuzz/key_json_fuzz.cpp -- clear-text keys of anyone's rows, as an import, a lookup and why-miss read them.
#include "cache/rows.hpp"
#include "runtime/cache_tools.hpp"
#include "tests/fuzz/fuzz.hpp"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    using namespace mhc;
    cache::code_row row;
    row.key_json = fuzz::text_of(data, size);
    row.target = "gfx942";
    // No row whose key is zero can be right.
    fuzz::require(!jit::cache_tools::objection(row).empty());
    // What is its own text without a toolchain has none to remove.
    if (cache::is_text_without_toolchain(row.key_json, row.key_json))
        fuzz::require(row.key_json.find("\"toolchain\"") == std::string::npos || row.key_json.find("{\"toolchain\"") != 0);
    cache::is_text_without_toolchain(row.key_json, "{}");
    row.compiler.descr = row.key_json;
    jit::cache_tools::as_object(row);  // names the compiler by its description
    return 0;
}
