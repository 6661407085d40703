// tests/unit/cache_signature_test.cpp -- whose prebuilt databases are believed when a key is demanded.
#include "cache/signature.hpp"
#include "tests/support/contains.hpp"
#include "tests/support/signing_key.hpp"
#include "tests/unit/cache_test_support.hpp"

using namespace mhc::cache;
using namespace mhc::test;

namespace {

/// A database with its manifest, signed by `signer`.
struct signed_database {
    const temporary_directory dir;
    const signing_key signer;
    const std::string file = dir / "mhc_gfx942.db", manifest = dir / "mhc_gfx942.json", signature = manifest + ".sig";

    signed_database()
    {
        std::string why;
        REQUIRE_MESSAGE(write_prebuilt_database(file, {row(1, 2), row(2, 2)}, &why), why);
        write_manifest();
        write_signature(signer.private_pem);
    }
    void write_manifest() const
    {
        overwrite(manifest, "{\"database_sha256\": \"" + to_hex(sha256(contents(file))) + "\"}\n");
    }
    void write_signature(const std::string& key) const
    {
        std::string why;
        overwrite(signature, sign(key, contents(manifest), &why).value());
    }
    std::string refusal(const std::string& key) const
    {
        std::string why;
        return open_prebuilt_store(file, {}, &why, key) ? std::string() : why;
    }
    std::string refusal() const { return refusal(signer.public_pem); }
};

}  // namespace

TEST_CASE("signature: a database signed by the demanded key is used, and every other one says why it is not")
{
    const signed_database made;
    CHECK(made.refusal().empty());
    const signing_key other;
    SUBCASE("another key is demanded")
    {
        CHECK(contains(made.refusal(other.public_pem), made.signature + " is not the demanded key's"));
    }
    SUBCASE("signed by another key")
    {
        made.write_signature(other.private_pem);
        CHECK(contains(made.refusal(), made.signature + " is not the demanded key's"));
        CHECK(made.refusal("").empty());  // where none is demanded, none is looked at
    }
    SUBCASE("not signed")
    {
        REQUIRE(unlink(made.signature.c_str()) == 0);
        CHECK(contains(made.refusal(), made.file + " is not signed"));
    }
    SUBCASE("no manifest")
    {
        REQUIRE(unlink(made.manifest.c_str()) == 0);
        CHECK(contains(made.refusal(), made.file + " has no manifest"));
        CHECK(made.refusal("").empty());
    }
    SUBCASE("another manifest under the same signature")
    {
        overwrite(made.manifest, contents(made.manifest) + " ");
        CHECK(contains(made.refusal(), "does not fit the manifest"));
    }
    SUBCASE("another database under the same manifest")
    {
        std::string why;
        REQUIRE(write_prebuilt_database(made.file, {row(1, 2)}, &why));
        CHECK(contains(made.refusal(), "its manifest says"));
    }
    SUBCASE("a signature that others may write")
    {
        REQUIRE(chmod(made.signature.c_str(), 0666) == 0);
        CHECK(contains(made.refusal(), "chmod go-w"));
    }
}

TEST_CASE("signature: one bit more or less, and nothing is believed")
{
    const signed_database made;
    const std::string right = contents(made.signature);
    REQUIRE(right.size() == 64);
    for (std::size_t bit = 0; bit < 8 * right.size(); ++bit) {
        CAPTURE(bit);
        std::string wrong = right;
        wrong[bit / 8] = static_cast<char>(wrong[bit / 8] ^ (1 << bit % 8));
        overwrite(made.signature, wrong);
        CHECK(contains(made.refusal(), "is not the demanded key's"));
    }
    for (std::size_t size = 0; size < right.size(); ++size) {
        CAPTURE(size);
        overwrite(made.signature, right.substr(0, size));
        CHECK(contains(made.refusal(), "is not the demanded key's"));
    }
    overwrite(made.signature, right + '\n');
    CHECK(contains(made.refusal(), "is not the demanded key's"));
    overwrite(made.signature, right);
    CHECK(made.refusal().empty());
}

TEST_CASE("signature: a key is told from what is none")
{
    const signing_key key, foreign("X25519");
    std::string why;
    CHECK(is_public_key(key.public_pem, &why));
    CHECK(is_private_key(key.private_pem, &why));
    for (const std::string& wrong : {std::string(), std::string("no key"), key.private_pem, foreign.public_pem,
                                     key.public_pem.substr(0, key.public_pem.size() / 2)}) {
        CAPTURE(wrong);
        why.clear();
        CHECK_FALSE(is_public_key(wrong, &why));
        CHECK(contains(why, "Ed25519"));
    }
    for (const std::string& wrong : {std::string(), key.public_pem, foreign.private_pem}) {
        why.clear();
        CHECK_FALSE(is_private_key(wrong, &why));
        CHECK(contains(why, "Ed25519"));
        CHECK_FALSE(sign(wrong, "text", &why));
    }
    // One that has a pass phrase: nobody is asked for it.
    const char* const locked =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\n"
        "MIGjMF8GCSqGSIb3DQEFDTBSMDEGCSqGSIb3DQEFDDAkBBAAAAAAAAAAAAAAAAAAAAAAAgIIADAMBggqhkiG9w0CCQUA\n"
        "-----END ENCRYPTED PRIVATE KEY-----\n";
    CHECK_FALSE(is_private_key(locked, &why));
}
