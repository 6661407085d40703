// tests/fault/transfer_test.cpp -- objects that go from one engine to another as a string.
#include <mhc/jit/cache.hpp>

#include "cache/database_bytes.hpp"
#include "tests/fault/planted_engine.hpp"

using namespace mhc;
using namespace mhc::test;
using namespace mhc::testing;

TEST_CASE("transfer: what one engine compiled another imports and finds, without a compiler")
{
    load_look_alike();
    const temporary_directory dir;
    const auto first = planted_engine(planted_options(dir / "first"));
    for (int number = 0; number < 3; ++number) REQUIRE(first->layer(one_kernel(number)));
    const std::string bytes = first->export_cache().value();
    CHECK(bytes == first->export_cache().value());

    jit::engine_options options = planted_options(dir / "second");
    options.strict = true;
    const auto second = planted_engine(options);
    REQUIRE_FALSE(second->layer(one_kernel(0)));
    const jit::transfer_report report = second->import_cache(bytes).value();
    CHECK(report.copied == 3);
    CHECK(report.present == 0);
    CHECK(report.refused.empty());
    for (int number = 0; number < 3; ++number) REQUIRE(second->layer(one_kernel(number)));
    CHECK(second->stats().l2_hit == 3);
    CHECK(second->stats().compiled == 0);
    CHECK(second->import_cache(bytes).value().present == 3);
    CHECK(second->export_cache().value() == bytes);
    CHECK(jit::verify_cache(options).value().damaged.empty());

    // The file that the same functions write and read is another door to the same room.
    CHECK(jit::export_cache(options, dir / "kernels.db").value().copied == 3);
    CHECK(jit::import_cache(planted_options(dir / "third"), dir / "kernels.db").value().copied == 3);
}

TEST_CASE("transfer: an object whose row lies about it is refused by name")
{
    load_look_alike();
    const temporary_directory dir;
    const auto first = planted_engine(planted_options(dir / "first"));
    for (int number = 0; number < 3; ++number) REQUIRE(first->layer(one_kernel(number)));
    // Whole bytes, but another kernel's; and one whose clear-text key is not what was hashed.
    const std::string file = dir / "first/mhc_user.db";
    const auto number_of = [&](const char* what) {
        return "(SELECT " + std::string(what) + " FROM code_object WHERE hidden_dim = 64)";
    };
    raw(file, "UPDATE code_object SET blob_sha = " + number_of("blob_sha") + " WHERE hidden_dim = 65");
    raw(file, "UPDATE code_object SET key_nofp = " + number_of("key_nofp") + " WHERE hidden_dim = 66");
    std::vector<cache::code_row> rows;
    for (const cache::code_row& row : open_store(dir / "first")->list())
        rows.push_back(open_store(dir / "first")->find({row.key, row.key_nofp, row.key_json, {}, false}).value());
    std::string why;
    const std::string bytes = cache::bytes_of_rows(rows, &why);
    const auto report = planted_engine(planted_options(dir / "second"))->import_cache(bytes).value();
    CHECK(report.copied == 1);
    REQUIRE(report.refused.size() == 2);
    for (const std::string& line : report.refused) CHECK(line.find(": ") == 64);
}

TEST_CASE("transfer: without a user database there is nothing to export from or to import into")
{
    load_look_alike();
    const temporary_directory dir;
    jit::engine_options options = planted_options(dir.path());
    options.use_user_database = false;
    const auto engine = planted_engine(options);
    CHECK(engine->export_cache().error().code == jit::errc::bad_spec);
    CHECK(engine->import_cache("anything").error().message.find("user database") != std::string::npos);
    const auto other = planted_engine(planted_options(dir / "other"));
    const auto refused = other->import_cache("anything");
    REQUIRE_FALSE(refused);
    CHECK(refused.error().message == "import_cache of 8 bytes: they are not what export_cache gave");
}

TEST_CASE("transfer: a file cut short is an error, not an import of nothing")
{
    load_look_alike();
    const temporary_directory dir;
    const auto engine = planted_engine(planted_options(dir / "first"));
    for (int number = 0; number < 3; ++number) REQUIRE(engine->layer(one_kernel(number)));
    const std::string file = dir / "kernels.db";
    REQUIRE(jit::export_cache(planted_options(dir / "first"), file));
    const std::string whole = contents(file);
    std::filesystem::remove(file);
    overwrite(file, whole.substr(0, 4096 * 2));
    CHECK_FALSE(jit::import_cache(planted_options(dir / "second"), file));
}
