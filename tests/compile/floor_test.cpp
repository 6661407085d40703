// tests/compile/floor_test.cpp -- the floor kernel for AMD GPUs: it compiles, and its registers leave the GPU full of waves.
#include <doctest/doctest.h>

#include <algorithm>
#include <string>

#include <mhc/jit.hpp>

#include "codegen/plan.hpp"
#include "runtime/code_object.hpp"
#include "runtime/object_source.hpp"

using namespace mhc;

TEST_CASE("compile: the floor kernel has no scratch and leaves registers for half of a GPU's waves")
{
    jit::engine_options options = jit::engine_options::from_environment().value();
    options.level = jit::log_level::off;
    runtime::object_source source(options, std::make_shared<runtime::logger>(jit::log_level::warning, jit::log_sink()),
                                  std::make_shared<runtime::counters>());
    for (const char* name : {"gfx90a", "gfx942", "gfx1100", "sm_90"}) {
        CAPTURE(name);
        const codegen::target on = codegen::parse_target(name).value();
        const runtime::chosen_compiler by = source.compiler_for(on);
        if (by.backend.empty()) {
            MESSAGE(std::string(name) << " is not compiled: " << by.why_none);
            continue;
        }
        for (const auto& [rows_in, rows_out] : {std::pair{1, 1}, {4, 1}, {5, 4}, {5, 5}}) {
            CAPTURE(rows_in);
            const auto plan = codegen::plan_floor(rows_in, rows_out, 4096, jit::dtype::bf16, on).value();
            const runtime::keyed_kernel wanted = source.key_of(plan, on, by);
            const auto object = source.find(wanted);
            const cache::code_row row = object ? object->row : source.compile(wanted, by).value().row;
            const jit::resource_description used = runtime::resources_of(row.bytes, row.symbol);
            MESSAGE(std::string(name) << ' ' << rows_in << " to " << rows_out << ": " << used.vgprs << " registers");
            CHECK(used.scratch_bytes == 0);
            CHECK(used.vgprs > 0);
            CHECK(used.vgprs <= 64);
        }
    }
}
