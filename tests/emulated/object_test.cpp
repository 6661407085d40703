// tests/emulated/object_test.cpp -- code objects of every version: what a kernel finds in its registers, its arguments and
// its scratch memory, and what its loader put right.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "runtime/elf_object.hpp"
#include "tests/emulated/compiled_kernel.hpp"

using namespace mhc::emulator::testing;

namespace {

constexpr const char* processors[] = {"gfx90a", "gfx942", "gfx1100", "gfx1200"};

constexpr const char* signature = "extern \"C\" __attribute__((global)) void k(const int* in, int* out, int number)\n";

/// Numbers of the launch as version 4 and the later ones let a kernel ask for them, by the last work-item of the last group.
std::string launch_numbers(int version)
{
    const std::string body = R"({
    const int last = __builtin_amdgcn_workgroup_size_x() - 1;
    const int group = __builtin_amdgcn_workgroup_id_x(), item = __builtin_amdgcn_workitem_id_x();
    if (item != last || group != number + in[0]) return;
    out[0] = group;
    out[1] = item;
    out[2] = __builtin_amdgcn_workgroup_size_x();
    out[3] = __builtin_amdgcn_workgroup_size_y();
    out[4] = __builtin_amdgcn_grid_size_x();
    out[5] = __builtin_amdgcn_workgroup_id_y() + 16 * __builtin_amdgcn_workgroup_id_z();
    out[6] = __builtin_amdgcn_workitem_id_y() + 16 * __builtin_amdgcn_workitem_id_z();
    const char __attribute__((address_space(4)))* hidden =
        (const char __attribute__((address_space(4)))*)__builtin_amdgcn_implicitarg_ptr();
)";
    const std::string version_4 =
        "    for (int i = 0; i < 6; ++i) out[7 + i] = ((const int __attribute__((address_space(4)))*)hidden)[i];\n}\n";
    const std::string later = R"(
    for (int i = 0; i < 3; ++i) out[7 + i] = ((const int __attribute__((address_space(4)))*)hidden)[i];
    for (int i = 0; i < 6; ++i) out[10 + i] = ((const short __attribute__((address_space(4)))*)(hidden + 12))[i];
    for (int i = 0; i < 6; ++i) out[16 + i] = ((const int __attribute__((address_space(4)))*)(hidden + 40))[i];
    out[22] = *(const short __attribute__((address_space(4)))*)(hidden + 64);
}
)";
    return signature + body + (version == 4 ? version_4 : later);
}

void check_launch_numbers(const compilation& with)
{
    compilation what = with;
    what.source = launch_numbers(with.code_object_version);
    CAPTURE(what.backend);
    CAPTURE(what.processor);
    CAPTURE(what.code_object_version);
    const auto got = run(what.processor, compile(what),
                         {.in = {0}, .out = std::vector<int>(23, -1), .number = 6, .groups = 7, .block = 192});
    REQUIRE_MESSAGE(got, (got ? "" : got.error().message));
    std::vector<int> expected{6, 191, 192, 1, 7 * 192, 0, 0};
    const std::vector<int> more = what.code_object_version == 4  // three global offsets of 64 bits, and nothing behind them
                                      ? std::vector<int>{0, 0, 0, 0, 0, 0, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1}
                                      // block counts; group sizes and remainders; global offsets; the number of dimensions
                                      : std::vector<int>{7, 1, 1, 192, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
    expected.insert(expected.end(), more.begin(), more.end());
    CHECK(*got == expected);
}

/// An array in scratch memory: indexed at run time, in words and halves.
const std::string scratch_source = std::string(signature) + R"({
    const int item = __builtin_amdgcn_workitem_id_x();
    int kept[24];
    for (int i = 0; i < 24; ++i) kept[i] = in[i] * (item + 1);
    short* const halves = (short*)kept;
    for (int i = 0; i < number; ++i) {
        kept[in[i] & 15] += i;
        halves[(in[i] & 7) + 20] ^= (short)i;
    }
    int sum = 0;
    for (int i = 0; i < 24; ++i) sum = sum * 31 + kept[(i * in[0] + i) % 24];
    out[__builtin_amdgcn_workgroup_id_x() * __builtin_amdgcn_workgroup_size_x() + item] = sum;
}
)";

/// The same on this machine.
int scratch_result(const std::vector<int>& in, int number, int item)
{
    union {
        std::uint32_t words[24];
        std::uint16_t halves[48];
    } kept;
    for (std::size_t i = 0; i < 24; ++i)
        kept.words[i] = static_cast<std::uint32_t>(in[i]) * static_cast<std::uint32_t>(item + 1);
    for (std::size_t i = 0; i < static_cast<std::size_t>(number); ++i) {
        kept.words[in[i] & 15] += static_cast<std::uint32_t>(i);
        std::uint16_t& half = kept.halves[(in[i] & 7) + 20];
        half = static_cast<std::uint16_t>(half ^ i);
    }
    std::uint32_t sum = 0;
    for (int i = 0; i < 24; ++i) sum = sum * 31 + kept.words[(i * in[0] + i) % 24];
    return static_cast<int>(sum);
}

void check_scratch(const compilation& with)
{
    compilation what = with;
    what.source = scratch_source;
    CAPTURE(what.backend);
    CAPTURE(what.processor);
    std::vector<int> in(24);
    for (int i = 0; i < 24; ++i) in[static_cast<std::size_t>(i)] = i * i + 7;
    const auto got = run(what.processor, compile(what),
                         {.in = in, .out = std::vector<int>(3 * 160), .number = 20, .groups = 3, .block = 160});
    REQUIRE_MESSAGE(got, (got ? "" : got.error().message));
    std::vector<int> expected;
    for (int i = 0; i < 3 * 160; ++i) expected.push_back(scratch_result(in, 20, i % 160));
    CHECK(*got == expected);
}

}  // namespace

TEST_CASE("objects: versions 4, 5 and 6 find the launch's numbers where their version has them")
{
    for (const char* processor : processors)
        for (const int version : {4, 5, 6}) check_launch_numbers({.processor = processor, .code_object_version = version});
    if (can_compile("hiprtc", "gfx90a"))
        check_launch_numbers({.backend = "hiprtc", .processor = "gfx90a", .code_object_version = 4});
}

TEST_CASE("objects: arguments come in scalars where the descriptor says so, and the code in front is skipped")
{
    // 256 bytes of traps for machines that cannot do it. Then s[0:1] is the address of the arguments, and s2 begins what was
    // asked for: words `offset` and on.
    const auto object_of = [](const std::string& body, unsigned offset, unsigned words) {
        const std::string source =
            "extern \"C\" __attribute__((global, naked)) void k(const int*, int*, int)\n"
            "{ __asm__ volatile(\".fill 64, 4, 0xbf920002\\n v_mov_b32 v0, 0\\n " +
            body + "\\n s_endpgm\"); }\n";
        std::string object = compile({.source = source});
        const auto elf = mhc::runtime::read_elf(object).value();
        const auto descriptor = std::find_if(elf.dynamic_symbols.begin(), elf.dynamic_symbols.end(),
                                             [](const auto& each) { return each.name == "k.kd"; });
        REQUIRE(descriptor != elf.dynamic_symbols.end());
        const auto put = [&](std::size_t at, unsigned value, std::size_t bytes) {  // the first segment is where the file is
            std::memcpy(object.data() + descriptor->value + at, &value, bytes);
        };
        put(52, (2 + words) << 1 | 1U << 7, 4);  // user scalars, and the work-group's number behind them
        put(56, 1U << 3, 2);                     // the address of the arguments
        put(58, words | offset << 7, 2);
        return object;
    };
    const std::string store =
        "v_mov_b32 v1, s6\\n global_store_dword v0, v1, s[4:5]\\n s_load_dword s8, s[2:3], 0\\n "
        "s_waitcnt lgkmcnt(0)\\n v_mov_b32 v1, s8\\n global_store_dword v0, v1, s[4:5] offset:4\\n "
        "v_mov_b32 v1, s7\\n global_store_dword v0, v1, s[4:5] offset:8";
    const auto all = run("gfx942", object_of(store, 0, 5), {.in = {51}, .out = {9, 9, 9}, .number = 52, .block = 1});
    REQUIRE_MESSAGE(all, (all ? "" : all.error().message));
    CHECK(*all == std::vector<int>{52, 51, 0});
    const auto last = run("gfx942",
                          object_of("s_load_dwordx2 s[4:5], s[0:1], 8\\n s_waitcnt lgkmcnt(0)\\n v_mov_b32 v1, s2\\n "
                                    "global_store_dword v0, v1, s[4:5]",
                                    4, 1),
                          {.in = {51}, .out = {9}, .number = 52, .block = 1});
    REQUIRE_MESSAGE(last, (last ? "" : last.error().message));
    CHECK(*last == std::vector<int>{52});
}

TEST_CASE("objects: each lane has its own scratch memory, set up as each generation does it")
{
    for (const char* processor : processors) check_scratch({.processor = processor});
    check_scratch({.processor = "gfx90a", .more_options = {"-target-feature", "+enable-flat-scratch"}});
    if (can_compile("hiprtc", "gfx90a"))
        check_scratch({.backend = "hiprtc", .processor = "gfx90a", .code_object_version = 4});
}

TEST_CASE("objects: addresses in data are those of the loaded object, and variables are kept between groups")
{
    const std::string source = std::string(R"(
__attribute__((device)) int first[2] = {11, 12};
__attribute__((device)) int second = 13;
__attribute__((constant)) int* const table[3] = {&first[0], &first[1], &second};
)") + signature + R"({
    out[0] = 0;
    for (int i = 0; i < number; ++i) out[0] = out[0] * 100 + *table[in[i]];
    *table[in[0]] = 77;
    out[1] = *table[in[0]];
}
)";
    const auto got = run("gfx942", compile({.source = source}), {.in = {2, 0, 1}, .out = {0, 0}, .number = 3, .block = 1});
    REQUIRE_MESSAGE(got, (got ? "" : got.error().message));
    CHECK(*got == std::vector<int>{131112, 77});
}
