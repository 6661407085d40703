// tests/compile/hints_test.cpp -- which loads of AMD code say that nothing reads the same bytes soon.
#include <doctest/doctest.h>

#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include <mhc/jit.hpp>

using namespace mhc;

namespace {

/// Loads and stores of 16 bytes in a kernel's machine code, and those of them with a hint; every hint of a shorter access.
struct wide_accesses {
    int loads = 0, hinted_loads = 0, stores = 0, hinted_stores = 0, hinted_others = 0;
};

bool has_hint(std::string_view line)
{
    for (const std::string_view each : {" nt", " slc", " th:"})
        if (line.find(each) != std::string_view::npos) return true;
    return false;
}

wide_accesses accesses_of(const std::string& assembly)
{
    wide_accesses found;
    std::istringstream lines(assembly);
    for (std::string line; std::getline(lines, line);) {
        if (line.find("global_") == std::string::npos) continue;
        const bool is_wide = line.find("x4") != std::string::npos || line.find("_b128") != std::string::npos;
        const bool is_load = line.find("global_load") != std::string::npos;
        if (!is_wide)
            found.hinted_others += has_hint(line);
        else if (is_load)
            ++found.loads, found.hinted_loads += has_hint(line);
        else
            ++found.stores, found.hinted_stores += has_hint(line);
    }
    return found;
}

/// Of each kernel of an operator, n = 4, bf16.
std::vector<wide_accesses> accesses_of(const char* target, jit::operation op, int alignment_bytes = 16, int n_streams = 4)
{
    jit::engine_options options = jit::engine_options::from_environment().value();
    options.backend = jit::compiler_backend::clang;
    options.level = jit::log_level::off;
    jit::layer_spec spec;
    spec.hidden_dim = 4096;
    spec.n_streams = n_streams;
    spec.alignment_bytes = alignment_bytes;
    std::vector<wide_accesses> all;
    const auto described = jit::describe(op, spec, target, 128, true, options).value();
    for (const jit::launch_description& launch : described.launches)
        all.push_back(accesses_of(jit::disassemble(described.target, launch.code_object, options).value()));
    return all;
}

constexpr const char* amd_targets[] = {"gfx90a", "gfx942", "gfx1030", "gfx1100", "gfx1201"};

}  // namespace

TEST_CASE("hints: what post, expand and a static layer read they read for the last time, and what they store is read next")
{
    using enum jit::operation;
    for (const char* target : amd_targets)
        for (const jit::operation op : {post_fwd, expand_fwd, apply_mix_fwd, static_layer_fwd}) {
            CAPTURE(target);
            CAPTURE(jit::to_string(op));
            const wide_accesses last = accesses_of(target, op).back();
            CHECK(last.stores > 0);
            CHECK(last.hinted_stores == 0);
            CHECK(last.hinted_others == 0);
            CHECK(last.hinted_loads == (op == expand_fwd      ? 1
                                        : op == post_fwd      ? 5
                                        : op == apply_mix_fwd ? 4
                                                              : last.hinted_loads));
            CHECK(last.hinted_loads >= 1);
        }
}

TEST_CASE("hints: a projection leaves the streams in the cache for the kernel that adds them")
{
    using enum jit::operation;
    for (const char* target : amd_targets)
        for (const jit::operation op : {pre_fwd, dynamic_layer_fwd}) {
            CAPTURE(target);
            CAPTURE(jit::to_string(op));
            const std::vector<wide_accesses> kernels = accesses_of(target, op);
            REQUIRE(kernels.size() == 3);
            CHECK(kernels.front().loads > 0);
            CHECK(kernels.front().hinted_loads == 0);
            CHECK(kernels.front().hinted_others == 0);
            CHECK(kernels.back().hinted_loads > 0);
        }
}

TEST_CASE("hints: what is read again, or in pieces of a line, is without")
{
    for (const char* target : amd_targets) {
        CAPTURE(target);
        const wide_accesses in_pieces = accesses_of(target, jit::operation::post_fwd, 4).front();
        CHECK(in_pieces.hinted_others == 0);
        const wide_accesses many = accesses_of(target, jit::operation::post_fwd, 16, 16).front();
        CHECK(many.hinted_loads == 1);  // y
    }
}
