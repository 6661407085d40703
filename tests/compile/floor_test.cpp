// tests/compile/floor_test.cpp -- the floor kernel for AMD GPUs: it compiles, and its registers leave the GPU full of waves.
#include <doctest/doctest.h>

#include <algorithm>
#include <string>

#include <mhc/jit.hpp>

#include "codegen/plan.hpp"
#include "runtime/code_object.hpp"
#include "runtime/object_source.hpp"

using namespace mhc;

TEST_CASE("compile: the floor kernel has no scratch and at least half of a SIMD's waves")
{
    jit::engine_options options = jit::engine_options::from_environment().value();
    options.backend = jit::compiler_backend::clang;
    runtime::object_source source(options, std::make_shared<runtime::logger>(jit::log_level::warning, jit::log_sink()),
                                  std::make_shared<runtime::counters>());
    for (const char* name : {"gfx90a", "gfx942", "gfx1100"}) {
        CAPTURE(name);
        const codegen::target on = codegen::parse_target(name).value();
        const runtime::chosen_compiler by = source.compiler_for(on);
        for (const auto& [rows_in, rows_out] : {std::pair{1, 1}, {4, 1}, {5, 4}, {5, 5}}) {
            CAPTURE(rows_in);
            const auto plan = codegen::plan_floor(rows_in, rows_out, 4096, jit::dtype::bf16, on).value();
            const runtime::keyed_kernel wanted = source.key_of(plan, on, by);
            auto object = source.find(wanted);
            const std::string code = object ? object->row.bytes : source.compile(wanted, by).value().row.bytes;
            const auto kernels = runtime::read_metadata(code).value();
            REQUIRE(kernels.size() == 1);
            CHECK(kernels.front().resources.scratch_bytes == 0);
            CHECK(kernels.front().resources.vgprs <= 64);
        }
    }
}
