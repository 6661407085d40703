// tests/unit/tuning_test.cpp -- tuned choices: what is allowed, what is tried, tables of them, and who reads which.
#include <doctest/doctest.h>

#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <string>
#include <vector>

#include <mhc/jit.hpp>

#include "codegen/plan.hpp"
#include "codegen/tuning.hpp"
#include "tests/unit/host_engine.hpp"

using namespace mhc::jit;
using mhc::codegen::kernel_plan;
using mhc::codegen::operator_plan;
using mhc::testing::host_options;

namespace {

constexpr const char* all_targets[] = {"gfx90a", "gfx942", "gfx1100", "gfx1200", "sm_80", "sm_90", "host:x86-64-v3"};
const std::string head = "target,operator,n_streams,hidden_dim,dtype,block,vectors,groups,resident,us,default_us\n";

mhc::codegen::target target_of(const char* name) { return mhc::codegen::parse_target(name).value(); }

layer_spec spec_with(operation op, std::int64_t C = 4096)
{
    layer_spec s;
    s.hidden_dim = C;
    s.wanted = {op};
    return s;
}

operator_plan tuned_plan(operation op, const char* target, const tuning& choices)
{
    return mhc::codegen::plan(spec_with(op), target_of(target), op, choices).value();
}

std::string why_not(const char* target, const tuning& choices)
{
    const auto planned = mhc::codegen::plan(spec_with(operation::post_fwd), target_of(target), operation::post_fwd, choices);
    REQUIRE_FALSE(planned);
    CHECK(planned.error().code == errc::bad_spec);
    return planned.error().message;
}

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

void write_user_table(const engine_options& options, const std::string& text)
{
    std::ofstream(tuned_path(options)) << text;
    chmod(tuned_path(options).c_str(), 0600);
}

/// What an engine of these options says while it is made.
struct told_engine {
    std::vector<std::string> lines;
    std::unique_ptr<engine> made;

    explicit told_engine(engine_options options)
    {
        options.level = log_level::warning;
        options.log = [this](log_level, std::string_view line) { lines.emplace_back(line); };
        made = engine::create(std::move(options)).value();
        made->set_log(log_level::off);
    }
    std::string key_of(const layer_spec& spec) { return layer(spec, *made).value().kernels().front().key; }
};

}  // namespace

TEST_CASE("tuning: each choice reaches the kernels that share rows of channels, and no other")
{
    const kernel_plan own = tuned_plan(operation::post_fwd, "gfx942", {}).kernels.front();
    CHECK(own.bindings.at("chunk") == "2048");
    const kernel_plan small = tuned_plan(operation::post_fwd, "gfx942", {.block = 128, .vectors = 4}).kernels.front();
    CHECK(small.block == 128);
    CHECK(small.bindings.at("block") == "128");
    CHECK(small.bindings.at("chunk") == "4096");
    CHECK(small.grid.groups(10) == 10);
    CHECK(small.bindings.at("slice") == own.bindings.at("slice"));
    CHECK(tuned_plan(operation::post_fwd, "gfx942", {.groups = 7}).kernels.front().grid.groups(1000) == 7);
    CHECK(tuned_plan(operation::post_fwd, "host:x86-64-v3", {.vectors = 16}).kernels.front().bindings.at("chunk") == "256");
    // No more than the row, so that what cannot matter makes no other kernel.
    CHECK(tuned_plan(operation::post_fwd, "host:x86-64-v3", {.vectors = 4096}).kernels.front().bindings ==
          tuned_plan(operation::post_fwd, "host:x86-64-v3", {}).kernels.front().bindings);

    const operator_plan before = tuned_plan(operation::pre_fwd, "sm_90", {}),
                        after =
                            tuned_plan(operation::pre_fwd, "sm_90", {.block = 64, .vectors = 2, .groups = 9, .resident = 1});
    CHECK(after.kernels.front().bindings == before.kernels.front().bindings);
    CHECK(after.kernels.front().grid.groups_max == before.kernels.front().grid.groups_max);
    CHECK(before.kernels.back().bindings.at("resident") != "1");
    CHECK(after.kernels.back().bindings.at("resident") == "1");
    CHECK(after.kernels.back().block == before.kernels.back().block);
    CHECK(after.kernels.back().lds_bytes <= 200 * 1024);
}

TEST_CASE("tuning: a choice that cannot be is refused, naming it, its value and what is allowed")
{
    CHECK(why_not("gfx942", {.block = 96}) ==
          "block = 96: allowed is 0, the plan's own, or 64 to 512 and a multiple of 64, the wave of gfx942");
    CHECK(has(why_not("sm_90", {.block = 544}), "32 to 512"));
    CHECK(has(why_not("sm_90", {.block = -32}), "block = -32"));
    CHECK(has(why_not("host:x86-64-v3", {.block = 64}), "block = 64: allowed is 0, the plan's own, or 1 to 1"));
    CHECK(why_not("sm_90", {.vectors = 4097}) == "vectors = 4097: allowed is 0, the plan's own, or 1 to 4096");
    CHECK(has(why_not("sm_90", {.groups = 65537}), "1 to 65536"));
    CHECK(has(why_not("sm_90", {.resident = 9}), "1 to 8"));
}

TEST_CASE("tuning: candidates are few, each is another plan, and none changes what bits depend on")
{
    for (const char* target : all_targets)
        for (int i = 0; i < operation_count; ++i) {
            const auto op = static_cast<operation>(i);
            CAPTURE(target);
            CAPTURE(to_string(op));
            const auto list = mhc::codegen::candidates(spec_with(op), target_of(target), op).value();
            REQUIRE_FALSE(list.empty());
            CHECK(list.size() <= 16);
            CHECK(list.front() == tuning{});
            if (to_string(op).ends_with("_bwd")) CHECK(list.size() == 1);
            const operator_plan own = tuned_plan(op, target, {});
            std::vector<std::string> seen;
            for (const tuning& choices : list) {
                const operator_plan p = tuned_plan(op, target, choices);
                REQUIRE(p.kernels.size() == own.kernels.size());
                CHECK(p.slices == own.slices);
                CHECK(p.workspace_bytes_per_token == own.workspace_bytes_per_token);
                CHECK(p.workspace_bytes_fixed == own.workspace_bytes_fixed);
                CHECK(p.chunk_tokens_max == own.chunk_tokens_max);
                std::string text;
                for (std::size_t k = 0; k < p.kernels.size(); ++k) {
                    CHECK(p.kernels[k].family == own.kernels[k].family);
                    CHECK(p.kernels[k].argument_bytes == own.kernels[k].argument_bytes);
                    for (const auto& [name, value] : p.kernels[k].bindings) {
                        const bool may_differ = name == "block" || name == "chunk" || name == "resident" || name == "stages";
                        CHECK((may_differ || value == own.kernels[k].bindings.at(name) || name == "lds_floats"));
                        text += name + "=" + value + " ";
                    }
                    text += std::to_string(p.kernels[k].grid.groups_max) + "\n";
                }
                seen.push_back(text);
            }
            std::sort(seen.begin(), seen.end());
            CHECK(std::adjacent_find(seen.begin(), seen.end()) == seen.end());
        }
    for (const char* target : {"gfx942", "sm_90", "host:x86-64-v3"})
        for (const auto op : {operation::post_fwd, operation::apply_mix_fwd, operation::expand_fwd, operation::pre_fwd})
            CHECK(mhc::codegen::candidates(spec_with(op), target_of(target), op).value().size() > 3);
}

TEST_CASE("tuning: a table is read back as it was written")
{
    const std::vector<tuned_row> rows = {
        {"gfx942", operation::post_fwd, 4, 4096, dtype::bf16, {.block = 128, .vectors = 2}, 12.25, 13.5},
        {"host", operation::pre_fwd, 1, 7, dtype::fp32, {.groups = 16}},
        {"sm_90", operation::pre_fwd, 32, 16777216, dtype::fp16, {.resident = 3}}};
    const std::string text = format_tuned(rows);
    CHECK(text == head +
                      "gfx942,post_fwd,4,4096,bf16,128,2,,,12.25,13.50\nhost,pre_fwd,1,7,fp32,,,16,,,\n"
                      "sm_90,pre_fwd,32,16777216,fp16,,,,3,,\n");
    const tuned_lines read = parse_tuned(text);
    CHECK(read.problems.empty());
    CHECK(format_tuned(read.rows) == text);
    CHECK(format_tuned(parse_tuned("# note\r\n\r\n" + head + "  gfx942:xnack- , expand_fwd ,4,8, fp16 ,64,,,,,\r\n").rows) ==
          head + "gfx942,expand_fwd,4,8,fp16,64,,,,,\n");
    // Columns by name: those of choices may be left out.
    const tuned_lines few = parse_tuned("dtype,groups,target,operator,n_streams,hidden_dim\nbf16,5,sm_90,post_fwd,2,64\n");
    REQUIRE(few.rows.size() == 1);
    CHECK(few.rows.front().choices == tuning{.groups = 5});
    CHECK(parse_tuned("").rows.empty());
    CHECK(parse_tuned("").problems.empty());
}

TEST_CASE("tuning: a bad line says which, which value and what is allowed, and costs no other line")
{
    struct {
        const char* line;
        const char* says;
    } const bad[] = {
        {"gfx12345,post_fwd,4,64,bf16,,,,,,", "gfx12345"},
        {"gfx942,post_fw,4,64,bf16,,,,,,", "post_fw"},
        {"gfx942,post_bwd,4,64,bf16,,,,,,", "operator = 'post_bwd': allowed is no gradient"},
        {"gfx942,post_fwd,33,64,bf16,,,,,,", "n_streams = '33': allowed is a whole number, 1 to 32"},
        {"gfx942,post_fwd,4,0,bf16,,,,,,", "hidden_dim = '0': allowed is a whole number, 1 to 16777216"},
        {"gfx942,post_fwd,4,64,int8,,,,,,", "int8"},
        {"gfx942,post_fwd,4,64,bf16,48,,,,,", "block = 48: allowed is 0, the plan's own, or 64 to 512"},
        {"gfx942,post_fwd,4,64,bf16,many,,,,,", "block = 'many': allowed is a whole number, 0 to 512"},
        {"gfx942,post_fwd,4,64,bf16,,99999999999999,,,,", "vectors = '99999999999999'"},
        {"gfx942,post_fwd,4,64,bf16,,,,,nan,", "us = 'nan'"},
        {"gfx942,post_fwd,4,64,bf16", "5 cells: allowed is 11"},
    };
    std::string text = head;
    for (const auto& one : bad) text += std::string(one.line) + "\ngfx942,post_fwd,4,64,bf16,128,,,,,\n";
    const tuned_lines read = parse_tuned(text);
    CHECK(read.rows.size() == std::size(bad));
    REQUIRE(read.problems.size() == std::size(bad));
    for (std::size_t i = 0; i < std::size(bad); ++i) {
        CHECK(read.problems[i].starts_with("line " + std::to_string(2 + 2 * i) + ": "));
        CHECK_MESSAGE(has(read.problems[i], bad[i].says), read.problems[i]);
        CHECK_FALSE(has(read.problems[i], "\n"));
    }
    for (const char* first : {"target,operator,n_streams,hidden_dim", "a,b", "gfx942,post_fwd,4,64,bf16,128",
                              "target,target,operator,n_streams,hidden_dim,dtype"}) {
        const tuned_lines none = parse_tuned(std::string(first) + "\nx,y\n");
        CHECK(none.rows.empty());
        REQUIRE(none.problems.size() == 1);
        CHECK(none.problems.front().starts_with("line 1: "));
    }
}

TEST_CASE("tuning: of several rows the last counts, of its own target, operator, n_streams, hidden_dim and dtype alone")
{
    const tuned_row row{"sm_90", operation::post_fwd, 4, 4096, dtype::bf16, {.block = 64}};
    std::vector<tuned_row> rows = {row, row, row, row, row, row, row};
    rows[1].choices.block = 128;
    rows[2].target = "sm_90a", rows[3].op = operation::expand_fwd, rows[4].n_streams = 2, rows[5].hidden_dim = 8,
    rows[6].dtype = dtype::fp32;
    for (std::size_t i = 2; i < rows.size(); ++i) rows[i].choices.block = 512;
    mhc::codegen::tuned_table table(target_of("sm_90"));
    table.add(rows);
    layer_spec spec = spec_with(operation::post_fwd);
    CHECK(table.find(operation::post_fwd, spec) == tuning{.block = 128});
    CHECK(table.find(operation::apply_mix_fwd, spec) == tuning{});
    spec.norm_weight = true;  // options are no part of a row
    CHECK(table.find(operation::post_fwd, spec) == tuning{.block = 128});
}

TEST_CASE("tuning: the library's own table has no bad line")
{
    std::ifstream file(MHC_SHIPPED_TUNED);
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    CHECK(text == mhc::codegen::shipped_tuning());
    const tuned_lines read = parse_tuned(text);
    CHECK_MESSAGE(read.problems.empty(), (read.problems.empty() ? "" : read.problems.front()));
    CHECK(read.rows.size() == shipped_tuned().size());
}

TEST_CASE("tuning: an engine plans by the user's table, once it is made; strict ones and those without a cache do not")
{
    const mhc::test::temporary_directory dir;
    engine_options options = host_options(dir);
    const layer_spec spec = spec_with(operation::expand_fwd, 512);
    const std::string own = told_engine(options).key_of(spec);
    const tuned_row row{"host", operation::expand_fwd, 4, 512, dtype::bf16, {.vectors = 16}, 1.0, 2.0};
    told_engine earlier(options);
    REQUIRE(store_tuned(options, {row}));
    CHECK(earlier.key_of(spec) == own);

    told_engine later(options);
    CHECK(later.lines.empty());
    const std::string tuned_key = later.key_of(spec);
    CHECK(tuned_key != own);
    CHECK(later.made->layer_tuned(spec, {}).value().kernels().front().key == own);
    CHECK(later.made->layer_tuned(spec, row.choices).value().kernels().front().key == tuned_key);
    CHECK(describe(operation::expand_fwd, spec, "host", 1, true, options).value().launches.front().key == tuned_key);
    CHECK(why_miss(operation::expand_fwd, spec, "host", options).value().front().key == tuned_key);

    engine_options other = options;
    other.strict = true;
    CHECK(told_engine(other).key_of(spec) == own);
    other = options;
    other.use_user_database = false;
    CHECK(told_engine(other).key_of(spec) == own);
    CHECK_FALSE(later.made->layer_tuned(spec, {.vectors = -1}));
}

TEST_CASE("tuning: a bad line of the user's table is one warning, and storing does not lose it")
{
    const mhc::test::temporary_directory dir;
    const engine_options options = host_options(dir);
    const layer_spec spec = spec_with(operation::expand_fwd, 512);
    const std::string own = told_engine(options).key_of(spec);
    const std::string table = head + "host,expand_fwd,4,512,bf16,,-3,,,,\nhost,expand_fwd,4,512,bf16,,16,,,,\n";
    write_user_table(options, table);
    told_engine warned(options);
    REQUIRE(warned.lines.size() == 1);
    CHECK(has(warned.lines.front(), "mhc_tuned.csv: line 2: vectors = '-3': allowed is a whole number, 0 to 4096"));
    CHECK(warned.key_of(spec) != own);

    const auto stored = store_tuned(options, {{"host", operation::post_fwd, 4, 512, dtype::bf16, {.vectors = 16}}});
    REQUIRE_FALSE(stored);
    CHECK(has(stored.error().message, "line 2"));
    std::ifstream file(tuned_path(options));
    CHECK(std::string{std::istreambuf_iterator<char>(file), {}} == table);
}

TEST_CASE("tuning: a table that others may write, or that is no file, is not believed")
{
    const mhc::test::temporary_directory dir;
    engine_options options = host_options(dir);
    const layer_spec spec = spec_with(operation::expand_fwd, 512);
    const std::string own = told_engine(options).key_of(spec);
    write_user_table(options, head + "host,expand_fwd,4,512,bf16,,16,,,,\n");
    SUBCASE("mode") { chmod(tuned_path(options).c_str(), 0666); }
    SUBCASE("link")
    {
        std::filesystem::rename(tuned_path(options), dir / "elsewhere.csv");
        std::filesystem::create_symlink(dir / "elsewhere.csv", tuned_path(options));
    }
    SUBCASE("folder")
    {
        std::filesystem::remove(tuned_path(options));
        std::filesystem::create_directory(tuned_path(options));
    }
    SUBCASE("size") { std::ofstream(tuned_path(options), std::ios::app) << std::string(5 << 20, '\n'); }
    told_engine warned(options);
    REQUIRE(warned.lines.size() == 1);
    CHECK(has(warned.lines.front(), "mhc_tuned.csv"));
    CHECK(warned.key_of(spec) == own);
    CHECK_FALSE(store_tuned(options, {}));
}

TEST_CASE("tuning: storing replaces rows of the same operator and shape, keeps the others, and leaves one private file")
{
    const mhc::test::temporary_directory dir;
    engine_options options = host_options(dir);
    options.cache_dir = dir / "new/folder";
    const tuned_row post{"host", operation::post_fwd, 4, 512, dtype::bf16, {.vectors = 16}};
    tuned_row expand = post;
    expand.op = operation::expand_fwd;
    REQUIRE(store_tuned(options, {post, expand}));
    tuned_row better = post;
    better.choices = {.groups = 4};
    REQUIRE(store_tuned(options, {better}));
    CHECK(format_tuned(user_tuned(options).value().rows) == format_tuned({expand, better}));
    struct stat seen {};
    REQUIRE(stat(tuned_path(options).c_str(), &seen) == 0);
    CHECK((seen.st_mode & 0777) == 0600);
    for (const auto& entry : std::filesystem::directory_iterator(*options.cache_dir))
        CHECK((entry.path().filename() == "mhc_tuned.csv" || entry.path().filename().string().starts_with("mhc.lock")));

    options.read_only = true;
    const auto refused = store_tuned(options, {post});
    REQUIRE_FALSE(refused);
    CHECK(has(refused.error().message, "MHC_JIT_READONLY"));
    CHECK(user_tuned(options).value().rows.size() == 2);
}

TEST_CASE("tuning: prebuilt kernels are those of the library's table, whatever the user's says")
{
    const mhc::test::temporary_directory dir, out;
    prebuild_options with;
    with.out_dir = out.path();
    with.engine = host_options(dir);
    REQUIRE(store_tuned(with.engine, {{"gfx942", operation::expand_fwd, 4, 512, dtype::bf16, {.block = 64}}}));
    REQUIRE(prebuild("gfx942", {{spec_with(operation::expand_fwd, 512)}}, with).value().kernels_produced == 1);
    engine_options strict = with.engine;
    strict.strict = true;
    strict.prebuilt_dirs = {out.path()};
    CHECK(describe(operation::expand_fwd, spec_with(operation::expand_fwd, 512), "gfx942", 1, true, strict));
    CHECK(describe(operation::expand_fwd, spec_with(operation::expand_fwd, 512), "gfx942", 1, false, with.engine)
              .value()
              .launches.front()
              .block == 64);
}
