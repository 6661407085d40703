// tests/host/matrix_units_test.cpp -- pre_fwd and dynamic_layer_fwd where matrix units and clusters of work-groups may make
// them, of sizes around their slices and tiles, and kernels whose groups take tokens in parts, of as many tokens as make
// them take several, against the float64 reference. Pairs of factors rarely have all that such a path asks for.
#include <doctest/doctest.h>

#include <string>

#include "tests/host/driver.hpp"
#include "tests/reference/options.hpp"
#include "tests/support/random.hpp"

using namespace mhc;
using namespace mhc::testing;
using jit::operation;

namespace {

struct path_size {
    std::int64_t hidden_dim, tokens;
    jit::preset preset;
    jit::dtype weight;
};
// One slice of 384 channels on sm_90a and the first of two; a slice that ends within a box of 64 channels, clusters of 4, 8,
// 15 and 16, and several tiles for each; slices whose weights are partly in LDS. The first ones are emulated too.
constexpr path_size path_sizes[] = {
    {64, 3, jit::preset::mhc_cu, jit::dtype::bf16},        {384, 17, jit::preset::deepseek, jit::dtype::fp32},
    {392, 9, jit::preset::paper, jit::dtype::fp16},        {8, 1, jit::preset::deepseek, jit::dtype::fp32},
    {72, 40, jit::preset::aiter_triton, jit::dtype::fp32}, {768, 1100, jit::preset::deepseek, jit::dtype::fp32},
    {1288, 33, jit::preset::mhc_cu, jit::dtype::bf16},     {2880, 130, jit::preset::deepseek, jit::dtype::fp32},
    {4096, 1000, jit::preset::deepseek, jit::dtype::fp32}, {7168, 8, jit::preset::paper, jit::dtype::bf16},
    {7176, 57, jit::preset::deepseek, jit::dtype::fp32},   {8192, 531, jit::preset::deepseek, jit::dtype::fp32}};
constexpr std::size_t small_sizes = 3;
// The same of mHC.cu's layer.
constexpr path_size layer_sizes[] = {
    {392, 9, jit::preset::mhc_cu, jit::dtype::bf16},      {72, 40, jit::preset::mhc_cu, jit::dtype::fp32},
    {768, 1100, jit::preset::deepseek, jit::dtype::fp32}, {1288, 33, jit::preset::mhc_cu, jit::dtype::fp16},
    {2880, 130, jit::preset::mhc_cu, jit::dtype::fp32},   {4096, 1000, jit::preset::mhc_cu, jit::dtype::fp32},
    {7168, 300, jit::preset::paper, jit::dtype::bf16},    {7680, 333, jit::preset::mhc_cu, jit::dtype::fp32}};
constexpr std::size_t small_layers = 2;

test_case path_case(operation op, const path_size& size, stride_kind x_strides)
{
    test_case made;
    made.op = op;
    made.name = "path n=4 C=" + std::to_string(size.hidden_dim) + " T=" + std::to_string(size.tokens);
    made.seed = seed_of(made.name);
    made.tokens = size.tokens;
    made.x_strides = x_strides;
    made.spec.n_streams = 4;
    made.spec.hidden_dim = size.hidden_dim;
    made.spec.weight_dtype = size.weight;
    made.spec.alignment_bytes = 16;
    made.spec.options = reference::options_of(size.preset);
    made.spec.wanted = jit::operations{op};
    return made;
}

void check(const test_case& of)
{
    if (of.name.find(case_filter()) == std::string::npos) return;
    const agreement found = check_case(session::instance(), of);
    for (const std::string& problem : found.problems) FAIL_CHECK(problem);
    CHECK(found.problems.empty());
    add_to_summary("matrix units", of, found, 0);
}

void check_path(operation op, const path_size& size)
{
    for (const stride_kind strides : {stride_kind::dense, stride_kind::interleaved}) check(path_case(op, size, strides));
}

bool is_small() { return environment("MHC_TEST_SMALL", "0") != "0"; }

// Of projections on many rows: slices of 64 channels and more, the last one short; work-groups with 64, 128 and 256 tokens,
// some alone in a cluster of two and with some waves that have none; blocks of up to 96 rows, heads' too. The first ones are
// emulated.
struct wide_size {
    operation op;
    std::int32_t n;
    std::int64_t hidden_dim, tokens;
    jit::dtype data, weight;
    std::int64_t splits;  ///< of pre_project_fwd
};
constexpr wide_size wide_sizes[] = {{operation::pre_fwd, 8, 136, 33, jit::dtype::bf16, jit::dtype::fp32, 1},
                                    {operation::pre_project_fwd, 3, 200, 3, jit::dtype::bf16, jit::dtype::bf16, 2},
                                    {operation::dynamic_layer_fwd, 5, 72, 40, jit::dtype::bf16, jit::dtype::fp32, 1},
                                    {operation::head_fwd, 16, 64, 17, jit::dtype::bf16, jit::dtype::fp16, 1},
                                    {operation::pre_fwd, 32, 64, 2, jit::dtype::bf16, jit::dtype::fp32, 1},
                                    {operation::pre_fwd, 8, 136, 35, jit::dtype::fp16, jit::dtype::fp32, 1},
                                    {operation::dynamic_layer_fwd, 3, 712, 19, jit::dtype::fp32, jit::dtype::fp32, 1},
                                    {operation::pre_fwd, 6, 1288, 300, jit::dtype::bf16, jit::dtype::fp32, 1},
                                    {operation::pre_project_fwd, 7, 1032, 65, jit::dtype::bf16, jit::dtype::fp32, 20},
                                    {operation::pre_fwd, 16, 1280, 513, jit::dtype::bf16, jit::dtype::bf16, 1},
                                    {operation::post_pre_fwd, 8, 4096, 257, jit::dtype::bf16, jit::dtype::fp32, 1},
                                    {operation::pre_fwd, 8, 1280, 300, jit::dtype::fp32, jit::dtype::fp32, 1},
                                    {operation::pre_fwd, 6, 1288, 65, jit::dtype::fp16, jit::dtype::fp16, 1},
                                    {operation::pre_fwd, 8, 1288, 1100, jit::dtype::bf16, jit::dtype::fp32, 1},
                                    {operation::dynamic_layer_fwd, 10, 520, 1290, jit::dtype::bf16, jit::dtype::bf16, 1},
                                    {operation::head_fwd, 16, 1032, 1030, jit::dtype::bf16, jit::dtype::fp32, 1},
                                    {operation::pre_project_fwd, 5, 776, 2000, jit::dtype::bf16, jit::dtype::fp16, 5},
                                    {operation::pre_fwd, 8, 4096, 1, jit::dtype::bf16, jit::dtype::fp32, 1},
                                    {operation::pre_project_fwd, 8, 2056, 400, jit::dtype::bf16, jit::dtype::fp32, 1},
                                    {operation::pre_fwd, 7, 2120, 900, jit::dtype::bf16, jit::dtype::fp32, 1},
                                    {operation::pre_fwd, 12, 1544, 130, jit::dtype::bf16, jit::dtype::fp32, 1},
                                    {operation::pre_fwd, 8, 648, 2300, jit::dtype::bf16, jit::dtype::fp32, 1},
                                    {operation::pre_fwd, 12, 264, 1100, jit::dtype::bf16, jit::dtype::fp32, 1},
                                    {operation::pre_fwd, 16, 264, 1300, jit::dtype::bf16, jit::dtype::fp32, 1}};
constexpr std::size_t small_wide_sizes = 7;

// Of data that is split for the units: one slice, slices that are not full, and more than 16 of them; clusters of 3 to 16.
constexpr wide_size split_sizes[] = {{operation::pre_fwd, 4, 136, 33, jit::dtype::fp16, jit::dtype::fp32, 1},
                                     {operation::pre_fwd, 2, 1032, 17, jit::dtype::fp32, jit::dtype::fp32, 1},
                                     {operation::dynamic_layer_fwd, 4, 520, 40, jit::dtype::fp32, jit::dtype::bf16, 1},
                                     {operation::head_fwd, 1, 1288, 5, jit::dtype::fp16, jit::dtype::fp16, 1},
                                     {operation::pre_project_fwd, 4, 776, 3, jit::dtype::fp32, jit::dtype::fp32, 3},
                                     {operation::pre_fwd, 4, 4096, 1000, jit::dtype::fp16, jit::dtype::fp32, 1},
                                     {operation::pre_fwd, 4, 4096, 300, jit::dtype::fp32, jit::dtype::fp32, 1},
                                     {operation::post_pre_fwd, 4, 7168, 130, jit::dtype::fp32, jit::dtype::fp32, 1},
                                     {operation::post_pre_fwd, 2, 8192, 40, jit::dtype::fp16, jit::dtype::bf16, 1},
                                     {operation::dynamic_layer_fwd, 4, 1280, 320, jit::dtype::fp16, jit::dtype::fp32, 1},
                                     {operation::pre_fwd, 4, 7680, 131, jit::dtype::fp16, jit::dtype::fp32, 1},
                                     {operation::post_pre_fwd, 4, 8192, 195, jit::dtype::fp16, jit::dtype::fp32, 1},
                                     {operation::post_pre_fwd, 4, 7688, 195, jit::dtype::bf16, jit::dtype::fp32, 1},
                                     {operation::head_fwd, 4, 8192, 67, jit::dtype::fp16, jit::dtype::fp32, 1},
                                     {operation::pre_project_fwd, 4, 8192, 67, jit::dtype::bf16, jit::dtype::fp32, 5},
                                     {operation::pre_bwd, 4, 8192, 67, jit::dtype::bf16, jit::dtype::fp32, 1},
                                     {operation::dynamic_layer_fwd, 4, 8192, 59, jit::dtype::fp16, jit::dtype::fp32, 1},
                                     {operation::pre_fwd, 4, 520, 9, jit::dtype::fp32, jit::dtype::fp16, 1},
                                     {operation::pre_fwd, 4, 1288, 1100, jit::dtype::fp32, jit::dtype::fp32, 1},
                                     {operation::pre_fwd, 4, 5120, 531, jit::dtype::fp32, jit::dtype::bf16, 1},
                                     {operation::post_pre_fwd, 4, 1288, 33, jit::dtype::fp32, jit::dtype::fp32, 1},
                                     {operation::post_pre_fwd, 4, 4096, 1000, jit::dtype::fp32, jit::dtype::fp32, 1},
                                     {operation::delayed_pre_fwd, 4, 2568, 131, jit::dtype::fp32, jit::dtype::fp32, 1},
                                     {operation::head_fwd, 4, 4096, 300, jit::dtype::fp32, jit::dtype::fp32, 1},
                                     {operation::post_head_fwd, 4, 1928, 67, jit::dtype::fp32, jit::dtype::fp32, 1},
                                     {operation::pre_fwd, 4, 7168, 130, jit::dtype::fp32, jit::dtype::fp32, 1},
                                     {operation::dynamic_layer_fwd, 4, 1288, 33, jit::dtype::fp32, jit::dtype::fp16, 1},
                                     {operation::dynamic_layer_fwd, 4, 4096, 1000, jit::dtype::fp32, jit::dtype::fp32, 1}};
constexpr std::size_t small_split_sizes = 5;

test_case wide_case(const wide_size& size)
{
    test_case made;
    made.op = size.op;
    made.name = "wide " + std::string(name_of(size.op)) + " n=" + std::to_string(size.n) +
                " C=" + std::to_string(size.hidden_dim) + " T=" + std::to_string(size.tokens) + " " +
                std::string(jit::to_string(size.data));
    made.seed = seed_of(made.name);
    made.tokens = size.tokens;
    made.splits = size.splits;
    made.spec.n_streams = size.n;
    made.spec.hidden_dim = size.hidden_dim;
    made.spec.dtype = size.data;
    made.spec.weight_dtype = size.weight;
    made.spec.options =
        reference::options_of(size.op == operation::dynamic_layer_fwd ? jit::preset::mhc_cu : jit::preset::deepseek);
    made.spec.wanted = jit::operations{size.op};
    return made;
}

}  // namespace

TEST_CASE("matrix units: pre_fwd agrees with the float64 reference around slices, tiles and clusters")
{
    std::size_t left = is_small() ? small_sizes : std::size(path_sizes);
    for (const path_size& size : path_sizes) {
        if (left-- == 0) break;
        check_path(operation::pre_fwd, size);
    }
}

TEST_CASE("matrix units: heads agree with the float64 reference around slices, tiles and clusters")
{
    std::size_t left = is_small() ? small_sizes : std::size(path_sizes);
    for (const path_size& size : path_sizes) {
        if (left-- == 0) break;
        for (const operation op : {operation::head_fwd, operation::post_head_fwd, operation::delayed_pre_fwd})
            check(path_case(op, size, stride_kind::dense));
    }
}

TEST_CASE("matrix units: dynamic_layer_fwd agrees with the float64 reference around slices, tiles and clusters")
{
    std::size_t left = is_small() ? small_layers : std::size(layer_sizes);
    for (const path_size& size : layer_sizes) {
        if (left-- == 0) break;
        check_path(operation::dynamic_layer_fwd, size);
        test_case rounded = path_case(operation::dynamic_layer_fwd, size, stride_kind::dense);
        rounded.spec.options.reference_rounding = true;
        rounded.name += " rounded";
        check(rounded);
    }
}

TEST_CASE("matrix units: tokens in parts agree with the float64 reference, of one token, of some, and several to a group")
{
    // An H200 runs 528 groups of dynamic_layer_fwd and 1584 of pre_big_fuse of 64 channels at once; a part is 8 tokens at
    // most.
    for (const std::int64_t tokens : {100, 2000, 5000, 14000}) {
        if (is_small() && tokens > 100) break;
        for (const operation op : {operation::dynamic_layer_fwd, operation::pre_big_fuse})
            check_path(op, {64, tokens, op == operation::pre_big_fuse ? jit::preset::deepseek : jit::preset::mhc_cu,
                            jit::dtype::fp32});
    }
}

template <std::size_t N>
static void check_sizes(const wide_size (&sizes)[N], std::size_t small)
{
    std::size_t left = is_small() ? small : N;
    for (const wide_size& size : sizes) {
        if (left-- == 0) break;
        check(wide_case(size));
    }
}

TEST_CASE("matrix units: projections on many rows agree with the float64 reference")
{
    check_sizes(wide_sizes, small_wide_sizes);
}

TEST_CASE(
    "matrix units: projections of fp16 and fp32, and of slices that registers do not hold, agree with the float64 reference")
{
    check_sizes(split_sizes, small_split_sizes);
}
