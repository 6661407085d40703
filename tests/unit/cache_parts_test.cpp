// tests/unit/cache_parts_test.cpp -- digests and the codec of blobs.
#include "cache/blob_codec.hpp"
#include "tests/unit/cache_test_support.hpp"

using namespace mhc::cache;
using namespace mhc::test;

TEST_CASE("cache: SHA-256 and its hexadecimal form are the usual ones")
{
    const std::string abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    CHECK(to_hex(sha256("abc")) == abc);
    CHECK(to_hex(sha256("")) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    REQUIRE(digest_from_hex(abc));
    CHECK(*digest_from_hex(abc) == sha256("abc"));
    CHECK_FALSE(digest_from_hex(abc.substr(1)));
    CHECK_FALSE(digest_from_hex(abc + "0"));
    CHECK_FALSE(digest_from_hex("g" + abc.substr(1)));
    CHECK_FALSE(digest_from_hex("B" + abc.substr(1)));
    CHECK_FALSE(digest_from_hex(""));
}

TEST_CASE("cache: a blob is unpacked only as what it was packed")
{
    const std::string plain(1000, 'a'), random = noise(1, 1000);
    const packed_blob shrunk = pack(plain), kept = pack(random);
    CHECK(shrunk.codec == blob_codec::zstd);
    CHECK(kept.codec == blob_codec::raw);
    CHECK(kept.data == random);
    CHECK(unpack(1, 1000, shrunk.data) == plain);
    CHECK(unpack(0, 1000, kept.data) == random);
    CHECK_FALSE(unpack(1, 999, shrunk.data));
    CHECK_FALSE(unpack(1, 1000, shrunk.data.substr(0, shrunk.data.size() - 1)));
    CHECK_FALSE(unpack(1, 1000, kept.data));
    CHECK_FALSE(unpack(0, 999, kept.data));
    CHECK_FALSE(unpack(0, -1, ""));
    CHECK_FALSE(unpack(2, 1000, kept.data));
    CHECK(unpack(0, 0, "") == "");
}
