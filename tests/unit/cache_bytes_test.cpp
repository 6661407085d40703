// tests/unit/cache_bytes_test.cpp -- rows as one string and back; foreign, older, cut, damaged and lying strings.
#include <map>

#include "cache/database_bytes.hpp"
#include "tests/unit/cache_test_support.hpp"

using namespace mhc::cache;
using namespace mhc::test;

namespace {

constexpr std::size_t name_bytes = 18, head_bytes = name_bytes + 32;

std::string bytes_of(const std::vector<code_row>& rows)
{
    std::string why;
    std::string bytes = bytes_of_rows(rows, &why);
    REQUIRE_MESSAGE(!bytes.empty(), why);
    return bytes;
}

/// The same database in a head that agrees with it.
std::string with_head(const std::string& database)
{
    const digest sha = sha256(database);
    return "mhc-jit objects 1\n" + std::string(sha.begin(), sha.end()) + database;
}

struct taken {
    bool is_read = false;
    std::map<digest, std::string> rows;
    std::vector<std::string> refused;
    std::string why;
};

taken read(const std::string& bytes)
{
    taken result;
    result.is_read = read_rows(
        bytes, [&](code_row&& row) { result.rows[row.key] = row.bytes; },
        [&](const digest&, const std::string& because) { result.refused.push_back(because); }, &result.why);
    return result;
}

/// The database of `bytes` after these statements.
std::string changed(const std::string& bytes, const std::string& sql)
{
    const temporary_directory dir;
    overwrite(dir / "db", bytes.substr(head_bytes));
    raw(dir / "db", sql);
    return with_head(contents(dir / "db"));
}

}  // namespace

TEST_CASE("bytes: rows come back whole, and equal rows give equal bytes in any order")
{
    const std::string bytes = bytes_of({row(1), row(2), row(3)});
    CHECK(bytes == bytes_of({row(3), row(1), row(2)}));
    CHECK(bytes.substr(0, name_bytes) == "mhc-jit objects 1\n");
    CHECK(bytes == with_head(bytes.substr(head_bytes)));
    const taken all = read(bytes);
    CHECK(all.is_read);
    CHECK(all.refused.empty());
    REQUIRE(all.rows.size() == 3);
    for (int number : {1, 2, 3}) CHECK(all.rows.at(row(number).key) == row(number).bytes);
    CHECK(read(bytes_of({})).is_read);
}

TEST_CASE("bytes: what is not such a string is refused in one line, whatever it is")
{
    const std::string bytes = bytes_of({row(1)});
    const auto why = [](const std::string& given) {
        const taken result = read(given);
        CHECK_FALSE(result.is_read);
        CHECK(result.rows.empty());
        CHECK(result.why.find('\n') == std::string::npos);
        return result.why;
    };
    CHECK(why("") == "they are not what export_cache gave");
    CHECK(why("SQLite format 3") == "they are not what export_cache gave");
    CHECK(why("mhc-jit objects 2\n" + bytes.substr(name_bytes)) == "they have version 2; this library reads 1");
    CHECK(why("mhc-jit objects 12\n") == "they have version 12; this library reads 1");
    CHECK(why("mhc-jit objects \x1b[2J\n") == "their version cannot be read");
    CHECK(why("mhc-jit objects " + std::string(1000, '7')) == "their version cannot be read");
    CHECK(why("mhc-jit objects 1\n") == "they are cut short");
    for (const std::size_t size : {head_bytes - 1, head_bytes, head_bytes + 1, bytes.size() / 2, bytes.size() - 1})
        CHECK(why(bytes.substr(0, size)).starts_with("they are cut short"));
    CHECK(why(bytes + "x").starts_with("they are cut short or damaged"));
    CHECK(why(with_head("text")) == "they hold no database of this library");
    CHECK(why(changed(bytes, "PRAGMA application_id = 1")) == "they hold no database of this library");
    CHECK(why(changed(bytes, "PRAGMA user_version = 7")) == "their database has version 7; this library reads 1");
    CHECK(why(changed(bytes, "DROP TABLE code_blob")).starts_with("their database has version 1"));
    CHECK(why(with_head(bytes.substr(head_bytes, 5000))) != "");
}

TEST_CASE("bytes: of a database that lies, the rows that are whole are taken and the others named")
{
    const std::string bytes = bytes_of({row(1), row(2)});
    const taken spoiled = read(changed(bytes,
                                       "UPDATE code_blob SET data = zeroblob(length(data)) WHERE sha256 = "
                                       "(SELECT blob_sha FROM code_object WHERE hidden_dim = 1)"));
    CHECK(spoiled.is_read);
    CHECK(spoiled.rows.size() == 1);
    CHECK(spoiled.rows.count(row(2).key) == 1);
    REQUIRE(spoiled.refused.size() == 1);
    CHECK(spoiled.refused[0].find("blob") != std::string::npos);
    // A view is no table, and a trigger none of ours: neither runs anything.
    const taken viewed =
        read(changed(bytes, "ALTER TABLE code_object RENAME TO o; CREATE VIEW code_object AS SELECT * FROM o"));
    CHECK(viewed.rows.size() == 2);
}

TEST_CASE("bytes: no byte changed and no length cut takes a row that is not the one that was written")
{
    const std::string bytes = bytes_of({row(1), row(2)}), database = bytes.substr(head_bytes);
    std::mt19937 random(1);
    int lied = 0;
    for (int i = 0; i < 400; ++i) {
        std::string spoiled = database;
        const std::size_t at = random() % spoiled.size();
        spoiled[at] = static_cast<char>(random());
        if (i % 5 == 0) spoiled.resize(at);
        const taken result = read(with_head(spoiled));
        lied += result.is_read ? 1 : 0;
        for (const auto& [key, code] : result.rows) {
            const bool is_one = code == row(1).bytes, is_two = code == row(2).bytes;
            CHECK_MESSAGE((is_one || is_two), "turn " << i);
        }
    }
    CHECK(lied > 50);  // else nothing but hashes was tried
}
