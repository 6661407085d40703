// tests/emulated/planted_test.cpp -- faults planted in a kernel of this library, RMS norm: none may stay unnoticed.
#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "codegen/plan.hpp"
#include "codegen/render.hpp"
#include "tests/emulated/compiled_kernel.hpp"

using namespace mhc;
using emulator::testing::compilation;

namespace {

constexpr std::int64_t tokens = 3, channels = 4096;

/// What is changed before the kernel runs.
struct plant {
    std::string line = {}, becomes = {};  ///< of the kernel's text
    std::uint32_t offset = 0;             ///< added to the place of all arguments but the first
};

struct planned_kernel {
    codegen::target on;
    codegen::kernel_plan kernel;
    double epsilon = 0;
};

planned_kernel rms_norm(const std::string& processor)
{
    jit::layer_spec spec;
    spec.hidden_dim = channels;
    spec.dtype = jit::dtype::fp32;
    spec.wanted = {jit::operation::rmsnorm_fwd};
    planned_kernel made;
    made.on = codegen::parse_target(processor).value();
    made.kernel = codegen::plan(spec, made.on, jit::operation::rmsnorm_fwd).value().kernels.front();
    made.epsilon = std::stod(made.kernel.bindings.at("norm_eps"));
    return made;
}

std::string source_with(const planned_kernel& of, const plant& change)
{
    std::string source = codegen::render(of.kernel, of.on, "k");
    if (change.line.empty()) return source;
    const std::size_t at = source.find(change.line);
    REQUIRE(at != std::string::npos);
    REQUIRE(source.find(change.line, at + 1) == std::string::npos);
    return source.replace(at, change.line.size(), change.becomes);
}

std::vector<float> input()
{
    std::vector<float> x(tokens * channels);
    // Uneven, so that a lane counted twice and another left out make a difference.
    for (std::size_t i = 0; i < x.size(); ++i)
        x[i] = (std::sin(static_cast<float>(i) * 0.37F) + 0.25F) * (i % 256 < 4 ? 8.0F : 1.0F);
    return x;
}

/// The kernel's result for `input`, each weight 1, or what the launch said.
jit::result<std::vector<float>> run(const std::string& processor, const plant& change)
{
    const planned_kernel of = rms_norm(processor);
    const auto device = emulator::make_device(emulator::facts_of(processor), emulator::checks::all);
    const std::string object = emulator::testing::compile({.processor = processor, .source = source_with(of, change)});
    void* const module = device->load_module(object).value();
    const std::vector<float> x = input(), ones(channels, 1.0F);
    const std::size_t bytes = x.size() * sizeof(float);
    void *const x_memory = device->allocate(bytes).value(), *const y_memory = device->allocate(bytes).value(),
                *const weight_memory = device->allocate(ones.size() * sizeof(float)).value(),
                *const rms_memory = device->allocate(tokens * sizeof(float)).value();
    device->upload(x_memory, x.data(), bytes).value();
    device->upload(weight_memory, ones.data(), ones.size() * sizeof(float)).value();

    std::vector<char> block(of.kernel.argument_bytes + change.offset);
    for (const codegen::argument& each : of.kernel.args) {
        std::uint64_t value = 0;
        if (each.what == codegen::slot::rms) value = reinterpret_cast<std::uintptr_t>(rms_memory);
        if (each.what == codegen::slot::x) value = reinterpret_cast<std::uintptr_t>(x_memory);
        if (each.what == codegen::slot::y) value = reinterpret_cast<std::uintptr_t>(y_memory);
        if (each.what == codegen::slot::weight || each.what == codegen::slot::norm_weight)
            value = reinterpret_cast<std::uintptr_t>(weight_memory);
        if (each.what == codegen::slot::tokens) value = static_cast<std::uint64_t>(tokens);
        if (each.what == codegen::slot::groups) value = static_cast<std::uint64_t>(of.kernel.grid.groups(tokens));
        const std::uint32_t moved = each.offset == 0 ? 0 : change.offset;
        std::memcpy(block.data() + each.offset + moved, &value, each.size);
    }
    const auto done = device->launch(device->function_of(module, "k").value(), of.kernel.grid.groups(tokens),
                                     of.kernel.block, block.data(), block.size(), nullptr);
    std::vector<float> y(x.size());
    device->download(y.data(), y_memory, bytes).value();
    for (void* each : {x_memory, y_memory, weight_memory, rms_memory}) device->release(each);
    device->unload_module(module);
    if (!done) return done.error();
    return y;
}

/// The largest relative error against the formula in double.
double error_of(const std::vector<float>& y, double epsilon)
{
    const std::vector<float> x = input();
    double largest = 0;
    for (std::size_t token = 0; token < tokens; ++token) {
        double squares = 0;
        for (std::size_t c = 0; c < channels; ++c) squares += std::pow(static_cast<double>(x[token * channels + c]), 2);
        const double scale = 1 / std::sqrt(squares / channels + epsilon);
        for (std::size_t i = token * channels; i < (token + 1) * channels; ++i)
            largest = std::max(largest, std::fabs(static_cast<double>(y[i]) - x[i] * scale) / std::fabs(x[i] * scale));
    }
    return largest;
}

void check_names(const std::string& processor, const plant& change, const std::vector<std::string>& parts)
{
    CAPTURE(processor);
    const auto got = run(processor, change);
    REQUIRE_FALSE(got);
    const std::string& message = got.error().message;
    CAPTURE(message);
    for (const std::string& part : parts) {
        CAPTURE(part);
        CHECK(message.find(part) != std::string::npos);
    }
}

constexpr const char* processors[] = {"gfx90a", "gfx942", "gfx1100", "gfx1200"};

}  // namespace

TEST_CASE("planted: the kernel as it is computes what it should, and a wrong lane in its shuffle does not")
{
    for (const std::string processor : processors) {
        CAPTURE(processor);
        const double epsilon = rms_norm(processor).epsilon;
        const auto right = run(processor, {});
        REQUIRE_MESSAGE(right, (right ? "" : right.error().message));
        CHECK(error_of(*right, epsilon) < 1e-5);
        const auto wrong = run(processor, {.line = "v += moved<0x4e>(v);", .becomes = "v += moved<0xb1>(v);"});
        REQUIRE_MESSAGE(wrong, (wrong ? "" : wrong.error().message));
        CHECK(error_of(*wrong, epsilon) > 1e-2);
    }
}

TEST_CASE("planted: a missing barrier is a race for the bytes it guards")
{
    const plant change{.line = "    waves.meet();\n    float total", .becomes = "    float total"};
    for (const char* processor : processors)
        check_names(processor, change, {"a race for LDS bytes ", "no barrier is between that and wave "});
}

TEST_CASE("planted: a store past the end is outside the buffer")
{
    // Of the form that keeps the row in registers: it has the deeper indentation.
    const plant change{.line = "\n                Rows::store(y + t * Rows::C, c, v);",
                       .becomes = "\n                Rows::store(y + t * Rows::C, c + 4, v);"};
    for (const char* processor : processors)
        check_names(processor, change, {"work-item ", "a write of 16 bytes", "0 bytes past the end of buffer "});
}

TEST_CASE("planted: an LDS word that no wave writes is named by the store of what came of it")
{
    const plant change{.line = "if (at.lane() == 0) slice_sums[wave] = slice_sum;",
                       .becomes = "if (at.lane() == 0 && wave != 1) slice_sums[wave] = slice_sum;"};
    for (const char* processor : processors) check_names(processor, change, {"depends on LDS byte 4, which nothing wrote"});
}

TEST_CASE("planted: arguments at other offsets than the kernel's are addresses of nothing")
{
    for (const char* processor : processors) check_names(processor, {.offset = 8}, {" of "});
}
