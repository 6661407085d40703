// tests/unit/prebuild_test.cpp -- prebuilt databases: complete, reproducible, found, and used instead of a compiler.
#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <string>

#include <mhc/jit.hpp>

#include "tests/support/signing_key.hpp"
#include "tests/support/temporary_directory.hpp"

using namespace mhc::jit;

namespace {

std::vector<prebuild_item> items()
{
    layer_spec s;
    s.hidden_dim = 64;
    s.wanted = {operation::pre_fwd, operation::post_fwd};
    return {{s}};
}

std::string contents_of(const std::string& path)
{
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

prebuild_options into(const std::string& dir)
{
    prebuild_options o;
    o.out_dir = dir;
    o.engine.level = log_level::off;
    return o;
}

}  // namespace

TEST_CASE("prebuild: a database holds every kernel once, and two runs give equal bytes")
{
    const mhc::test::temporary_directory one, two;
    const prebuild_report report = prebuild("gfx942", items(), into(one.path())).value();
    CHECK(report.kernels_expected == 4);
    CHECK(report.kernels_produced == 4);
    CHECK(report.failures.empty());
    prebuild_options side_by_side = into(two.path());
    side_by_side.jobs_max = 4;
    const prebuild_report again = prebuild("gfx942", items(), side_by_side).value();
    CHECK(contents_of(report.database) == contents_of(again.database));
    CHECK(contents_of(report.manifest) == contents_of(again.manifest));
    CHECK_FALSE(contents_of(report.database).empty());

    prebuild_options check = into(one.path());
    check.check_only = true;
    CHECK(prebuild("gfx942", items(), check).value().kernels_failed == 0);
    auto more = items();
    more.front().spec.hidden_dim = 65;
    CHECK(prebuild("gfx942", more, check).value().kernels_failed == 4);
}

TEST_CASE("prebuild: a strict engine runs on a prebuilt database alone")
{
    const mhc::test::temporary_directory dir, cache;
    engine_options o;
    o.target = "host";
    o.cache_dir = cache.path();
    o.prebuilt_dirs = {dir.path()};
    o.strict = true;
    o.level = log_level::off;
    CHECK_FALSE(layer(items().front().spec, *engine::create(o).value()));

    REQUIRE(prebuild("host", items(), into(dir.path())));
    auto made = engine::create(o).value();
    const auto ready = layer(items().front().spec, *made);
    REQUIRE(ready);
    CHECK(made->stats().l3_hit == 4);
    CHECK(made->stats().compiled == 0);
    CHECK(ready->kernels().front().from == origin::prebuilt);
}

TEST_CASE("prebuild: a database that is not its manifest's is not used")
{
    const mhc::test::temporary_directory dir, cache;
    const prebuild_report report = prebuild("host", items(), into(dir.path())).value();
    std::string manifest = contents_of(report.manifest);
    const auto at = manifest.find("database_sha256") + 20;
    manifest[at] = manifest[at] == '0' ? '1' : '0';
    std::ofstream(report.manifest, std::ios::binary) << manifest;
    engine_options o;
    o.target = "host";
    o.cache_dir = cache.path();
    o.prebuilt_dirs = {dir.path()};
    o.level = log_level::off;
    auto made = engine::create(o).value();
    REQUIRE(layer(items().front().spec, *made));
    CHECK(made->stats().l3_hit == 0);
    CHECK(made->stats().compiled == 4);
}

TEST_CASE("prebuild: parts made apart and merged, in any order, are what one run would have made")
{
    const mhc::test::temporary_directory dir;
    const auto part = [&](const char* name, operations wanted) {
        auto some = items();
        some.front().spec.wanted = wanted;
        return prebuild("gfx942", some, into(dir / name)).value().database;
    };
    const std::string one = part("one", {operation::expand_fwd}), two = part("two", {operation::post_fwd}),
                      both = part("both", {operation::expand_fwd, operation::post_fwd});
    const auto files_of = [](const prebuild_report& report) {
        return contents_of(report.database) + contents_of(report.manifest);
    };
    const std::string whole = contents_of(both) + contents_of(dir / "both/mhc_gfx942.json");
    const prebuild_report merged = merge_prebuilt({one, two}, into(dir / "merged")).value();
    CHECK(merged.target == "gfx942");
    CHECK(merged.kernels_produced == 2);
    CHECK(files_of(merged) == whole);
    CHECK(files_of(merge_prebuilt({both, two, one, two}, into(dir / "again")).value()) == whole);

    const std::string other = prebuild("gfx90a", items(), into(dir / "other")).value().database;
    const auto refused = [&](const std::vector<std::string>& files, const std::string& words) {
        const auto report = merge_prebuilt(files, into(dir / "none"));
        REQUIRE_FALSE(report);
        CHECK(report.error().code == errc::bad_spec);
        CHECK_MESSAGE(report.error().message.find(words) != std::string::npos, report.error().message);
        CHECK_FALSE(std::filesystem::exists(dir / "none"));
    };
    refused({one, other}, other + ": it holds objects for gfx90a");
    refused({one, dir / "absent.db"}, "absent.db is not there");
    refused({}, "no database is named");
}

TEST_CASE("prebuild: a signed database is used where its key is demanded, and a key that is none stops the work at once")
{
    const mhc::test::temporary_directory dir;
    const mhc::test::signing_key key;
    prebuild_options with_key = into(dir.path());
    with_key.signing_key = key.public_pem;
    const auto refused = prebuild("gfx942", items(), with_key);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == errc::bad_spec);
    CHECK(refused.error().message.find("signing key: not an Ed25519 private key") != std::string::npos);

    with_key.signing_key = key.private_pem;
    const prebuild_report made = prebuild("gfx942", items(), with_key).value();
    CHECK(made.signature == made.manifest + ".sig");
    const std::string signature = contents_of(made.signature);
    CHECK(signature.size() == 64);
    prebuild_options check = into(dir.path());
    check.check_only = true;
    check.engine.prebuilt_key = key.public_pem;
    CHECK(prebuild("gfx942", items(), check).value().kernels_failed == 0);
    check.engine.prebuilt_key = mhc::test::signing_key().public_pem;
    CHECK(prebuild("gfx942", items(), check).value().kernels_failed == 4);
    CHECK(merge_prebuilt({made.database}, with_key).value().signature == made.signature);
    CHECK(contents_of(made.signature) == signature);

    // Made again without a key, the old signature is gone.
    CHECK(prebuild("gfx942", items(), into(dir.path())).value().signature.empty());
    CHECK_FALSE(std::filesystem::exists(made.signature));
}

TEST_CASE("prebuild: GPU_ARCHS takes semicolons and commas, blanks, features and all, and refuses what is unknown")
{
    CHECK(parse_gpu_archs("gfx942;gfx90a").value() == std::vector<std::string>{"gfx942", "gfx90a"});
    CHECK(parse_gpu_archs(" gfx942 , gfx942;").value() == std::vector<std::string>{"gfx942"});
    CHECK(parse_gpu_archs("gfx90a:xnack-:sramecc+").value() == std::vector<std::string>{"gfx90a:sramecc+:xnack-"});
    CHECK(parse_gpu_archs("all").value().size() >= 7);
    CHECK(parse_gpu_archs("sm_90;gfx942").value() == std::vector<std::string>{"sm_90", "gfx942"});
    if (const auto native = parse_gpu_archs("native")) {
        CHECK_FALSE(native->empty());  // a machine with a GPU
    } else {
        CHECK(native.error().code == errc::unsupported_target);
        CHECK(native.error().message.find("libcuda") != std::string::npos);
    }
    CHECK(parse_gpu_archs("gfx942;gfx9000").error().message.find("gfx9000") != std::string::npos);
    CHECK_FALSE(parse_gpu_archs(" ; "));
}

TEST_CASE("catalogue: levels are what AITER documents, and no other")
{
    CHECK(catalogue(0).value().empty());
    CHECK(catalogue(3).value().size() == 6);
    CHECK(catalogue(2).value().size() == 40);
    CHECK_FALSE(catalogue(4));
    CHECK_FALSE(catalogue(-1));
    for (const int level : {1, 2, 3})
        for (const prebuild_item& item : catalogue(level).value()) CHECK(validate(item.spec));
}
