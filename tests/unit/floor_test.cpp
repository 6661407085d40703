// tests/unit/floor_test.cpp -- the floor kernel: its sums on `host`, its place in the caches, its errors, its plan.
#include <doctest/doctest.h>

#include <bit>
#include <cstdint>
#include <string>
#include <vector>

#include <mhc/jit.hpp>

#include "codegen/plan.hpp"
#include "codegen/render.hpp"
#include "tests/unit/host_engine.hpp"

using namespace mhc::jit;
using mhc::testing::host_options;

namespace {

/// -3 to 3, other in neighbouring rows and channels: sums of 64 of them are exact in every type.
float value_at(std::int64_t i) { return static_cast<float>((i * 2654435761LL >> 7) % 7) - 3.0F; }

template <class T>
T element(float value)
{
    if constexpr (sizeof(T) == 2)
        return static_cast<T>(std::bit_cast<std::uint32_t>(value) >> 16);
    else
        return value;
}

/// Runs the kernel and compares every element, and the ones behind the last, with sums made here.
template <class T>
void check_sums(engine& on, dtype type, std::int64_t rows_in, std::int64_t rows_out, std::int64_t C, std::int64_t tokens)
{
    CAPTURE(rows_in);
    CAPTURE(rows_out);
    CAPTURE(C);
    const floor_kernel floor = floor_kernel::make(on, rows_in, rows_out, C, type).value();
    const auto size = [](std::int64_t count) { return static_cast<std::size_t>(count); };
    constexpr std::int64_t guard = 64;
    std::vector<T> read(size(tokens * rows_in * C)), written(size(tokens * rows_out * C + guard), element<T>(99.0F));
    for (std::size_t i = 0; i < read.size(); ++i) read[i] = element<T>(value_at(static_cast<std::int64_t>(i)));
    REQUIRE(floor.launch(read.data(), written.data(), tokens));

    std::int64_t wrong = 0;
    for (std::int64_t t = 0; t < tokens; ++t)
        for (std::int64_t c = 0; c < C; ++c) {
            float sum = 0.0F;
            for (std::int64_t j = 0; j < rows_in; ++j) sum += value_at((t * rows_in + j) * C + c);
            for (std::int64_t k = 0; k < rows_out; ++k)
                wrong += written[size((t * rows_out + k) * C + c)] == element<T>(sum) ? 0 : 1;
        }
    CHECK(wrong == 0);
    for (std::int64_t i = 0; i < guard; ++i) CHECK(written[size(tokens * rows_out * C + i)] == element<T>(99.0F));
    CHECK(floor.traffic_bytes(tokens) == static_cast<std::int64_t>((read.size() + written.size() - guard) * sizeof(T)));
}

}  // namespace

TEST_CASE("floor: every row written is the sum of the rows read")
{
    const mhc::test::temporary_directory dir;
    auto on = engine::create(host_options(dir)).value();
    check_sums<std::uint16_t>(*on, dtype::bf16, 1, 1, 4096, 3);
    check_sums<std::uint16_t>(*on, dtype::bf16, 5, 4, 1280, 33);
    check_sums<std::uint16_t>(*on, dtype::bf16, 4, 1, 127, 33);  // rows at odd addresses, and a tail
    check_sums<std::uint16_t>(*on, dtype::bf16, 1, 8, 24, 1500);
    check_sums<float>(*on, dtype::fp32, 33, 33, 40, 2);  // more rows than are read at once
    check_sums<float>(*on, dtype::fp32, 9, 2, 17, 5);
}

TEST_CASE("floor: it is compiled once, and found in memory and in the user database")
{
    const mhc::test::temporary_directory dir;
    auto first = engine::create(host_options(dir)).value();
    CHECK(floor_kernel::make(*first, 2, 1, 64, dtype::bf16).value().from() == origin::compiled);
    REQUIRE(floor_kernel::make(*first, 2, 1, 64, dtype::bf16));
    CHECK(first->stats().compiled == 1);
    CHECK(first->stats().l1_hit == 1);

    auto next = engine::create(host_options(dir)).value();
    const floor_kernel found = floor_kernel::make(*next, 2, 1, 64, dtype::bf16).value();
    CHECK(found.from() == origin::user);
    CHECK(found.symbol().starts_with("mhc_floor_2to1_c64_bf16_"));
    CHECK(next->stats().compiled == 0);

    engine_options o = host_options(dir);
    o.strict = true;
    auto strict = engine::create(o).value();
    CHECK(floor_kernel::make(*strict, 2, 1, 64, dtype::bf16));
    const auto miss = floor_kernel::make(*strict, 2, 2, 64, dtype::bf16);
    REQUIRE_FALSE(miss);
    CHECK(miss.error().code == errc::not_prebuilt);
}

TEST_CASE("floor: what cannot be is refused, naming it")
{
    const mhc::test::temporary_directory dir;
    auto on = engine::create(host_options(dir)).value();
    const auto message = [&](std::int64_t rows_in, std::int64_t rows_out, std::int64_t C) {
        const auto made = floor_kernel::make(*on, rows_in, rows_out, C, dtype::bf16);
        REQUIRE_FALSE(made);
        CHECK(made.error().code == errc::bad_spec);
        return made.error().message;
    };
    CHECK(message(0, 1, 64).find("rows_in = 0: allowed is 1 to 64") != std::string::npos);
    CHECK(message(1, 65, 64).find("rows_out = 65") != std::string::npos);
    CHECK(message(1, 1, 0).find("hidden_dim") != std::string::npos);

    const floor_kernel floor = floor_kernel::make(*on, 1, 1, 64, dtype::bf16).value();
    CHECK(floor.alignment_bytes() == 16);
    alignas(16) std::array<std::uint16_t, 136> memory{};
    const auto refused = [&](const void* from, void* to, std::int64_t tokens) {
        const auto done = floor.launch(from, to, tokens);
        REQUIRE_FALSE(done);
        CHECK(done.error().code == errc::launch_failed);
        return done.error().message;
    };
    CHECK(refused(nullptr, memory.data(), 1).find("in = null") != std::string::npos);
    CHECK(refused(memory.data(), memory.data() + 65, 1).find("multiple of 16 bytes") != std::string::npos);
    CHECK(refused(memory.data(), memory.data(), -1).find("tokens = -1") != std::string::npos);
    CHECK(floor.launch(nullptr, nullptr, 0));
}

TEST_CASE("floor: one vector a lane a row on a GPU, and a key of its own for every choice")
{
    const auto on = mhc::codegen::parse_target("gfx942").value();
    const auto plan = mhc::codegen::plan_floor(5, 4, 4096, dtype::bf16, on).value();
    CHECK(plan.block == 256);
    CHECK(plan.bindings.at("vector") == "8");
    CHECK(plan.bindings.at("chunk") == "2048");
    CHECK(plan.grid.groups(8192) == 16384);
    CHECK(plan.symbol_base == "mhc_floor_5to4_c4096_bf16");
    CHECK(plan.argument_bytes == 28);

    const std::string source = mhc::codegen::render(plan, on, "mhc_test");
    CHECK(source.find("mhc::move_rows<rows, 5, 4>") != std::string::npos);
    CHECK(source.find("${") == std::string::npos);
    const auto other = mhc::codegen::plan_floor(4, 4, 4096, dtype::bf16, on).value();
    CHECK(mhc::codegen::render(other, on, "mhc_test") != source);
}
