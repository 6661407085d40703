// tests/unit/npy_test.cpp -- .npy files: what is written is read again, and what is hostile is refused with a reason.
#include <doctest/doctest.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>

#include "tests/support/contains.hpp"
#include "tools/common/npy.hpp"

namespace {

using mhc::test::contains;
using mhc::tools::npy_array;

class temporary_file {
public:
    explicit temporary_file(const std::string& bytes)
        : path_((std::filesystem::temp_directory_path() / fmt::format("mhc_npy_test.{}.npy", getpid())).string())
    {
        std::ofstream(path_, std::ios::binary) << bytes;
    }
    ~temporary_file() { std::remove(path_.c_str()); }
    temporary_file(const temporary_file&) = delete;
    temporary_file& operator=(const temporary_file&) = delete;
    const std::string& path() const { return path_; }

private:
    std::string path_;
};

std::string with_header(const std::string& header, char major = 1, const std::string& values = {})
{
    std::string bytes = "\x93NUMPY";
    bytes += {major, '\0'};
    for (int shift = 0; shift < (major == 1 ? 16 : 32); shift += 8)
        bytes += static_cast<char>((header.size() >> shift) & 0xFF);
    return bytes + header + values;
}

std::string why_refused(const std::string& bytes)
{
    const temporary_file file(bytes);
    const auto array = mhc::tools::read_npy(file.path());
    REQUIRE_FALSE(array);
    CHECK(array.error().code == mhc::jit::errc::bad_spec);
    CHECK(array.error().message.find(file.path()) == 0);
    CHECK(array.error().message.find('\n') == std::string::npos);
    return array.error().message;
}

const std::string good_header = "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }";
const std::string two_values(8, '\0');

}  // namespace

TEST_CASE("npy: an array is read as it was written")
{
    for (const npy_array& array : {npy_array{{2, 3}, {1, -2, 0.5F, 4, 5, 6}}, npy_array{{1}, {7}}, npy_array{{}, {3}},
                                   npy_array{{0, 4}, {}}, npy_array{{1, 1, 2}, {1e30F, -1e-30F}}}) {
        const std::string bytes = mhc::tools::npy_bytes(array);
        const temporary_file file(bytes);
        const auto again = mhc::tools::read_npy(file.path());
        REQUIRE(again);
        CHECK(again->shape == array.shape);
        CHECK(again->values == array.values);
        CHECK((bytes.size() - array.values.size() * 4) % 64 == 0);
    }
}

TEST_CASE("npy: versions 2 and 3, other orders of the fields and other spellings are read")
{
    for (const char version : {'\1', '\2', '\3'}) {
        const temporary_file file(with_header(good_header + "   \n", version, two_values));
        CHECK(mhc::tools::read_npy(file.path()));
    }
    CHECK(mhc::tools::parse_npy_header(R"({"shape":(2,3),"fortran_order":True,"descr":"<f8"})")->fortran_order);
    CHECK(mhc::tools::parse_npy_header("{'descr': '<f4', 'fortran_order': False, 'shape': (3L, 4L)}")->shape ==
          std::vector<std::int64_t>{3, 4});
}

TEST_CASE("npy: a type that is not little-endian float32 is named, with what to do")
{
    const auto header = [](const std::string& descr) {
        return with_header("{'descr': " + descr + ", 'fortran_order': False, 'shape': (2,), }", 1, two_values + two_values);
    };
    CHECK(contains(why_refused(header("'<f8'")), "float64 ('<f8')"));
    CHECK(contains(why_refused(header("'<f8'")), "numpy.ascontiguousarray(a, dtype=numpy.float32)"));
    CHECK(contains(why_refused(header("'>f4'")), "big-endian"));
    CHECK(contains(why_refused(header("'<i4'")), "int32"));
    CHECK(contains(why_refused(header("'|O'")), "'|O'"));
    CHECK(contains(why_refused(header("[('a', '<f4'), ('b', '<i4')]")), "structured"));
    CHECK(contains(why_refused(with_header("{'descr': '<f4', 'fortran_order': True, 'shape': (1, 2), }", 1, two_values)),
                   "fortran_order True"));
}

TEST_CASE("npy: a truncated or overlong file is refused")
{
    const std::string whole = with_header(good_header, 1, two_values);
    for (std::size_t size = 0; size < whole.size(); ++size) {
        const std::string why = why_refused(whole.substr(0, size));
        CHECK((contains(why, "truncated") || contains(why, "no .npy file")));
    }
    CHECK(contains(why_refused(whole + "x"), "more bytes"));
    CHECK(contains(why_refused("PK\3\4 an archive of arrays"), "no .npy file"));
    CHECK(contains(why_refused(with_header(good_header, 4, two_values)), "version 4"));
}

TEST_CASE("npy: a header that claims the impossible allocates nothing")
{
    const auto shape = [](const std::string& text) {
        return with_header("{'descr': '<f4', 'fortran_order': False, 'shape': " + text + ", }", 1, two_values);
    };
    CHECK(contains(why_refused(shape("(4611686018427387904, 4)")), "more than any memory"));
    CHECK(contains(why_refused(shape("(99999999999999999999,)")), "malformed"));
    CHECK(contains(why_refused(shape("(1000000000000,)")), "truncated"));
    CHECK(contains(why_refused(shape("(-2,)")), "malformed"));
    CHECK(contains(why_refused(shape("(2.0,)")), "malformed"));
    CHECK(contains(why_refused(shape("(" + std::string(100, '1') + ")")), "malformed"));
    std::string many = "(";
    for (int i = 0; i < 40; ++i) many += "1,";
    CHECK(contains(why_refused(shape(many + ")")), "malformed"));
    CHECK(mhc::tools::element_count({std::int64_t{1} << 62, 0, std::int64_t{1} << 62}).value() == 0);

    std::string huge_header = "\x93NUMPY";
    huge_header += std::string("\x02\x00\xff\xff\xff\xff", 6);
    CHECK(contains(why_refused(huge_header), "header of 4294967295 bytes"));
}

TEST_CASE("npy: a malformed header is refused")
{
    for (const char* text :
         {"", "{", "{}", "(2,)", "{'descr' '<f4'}", "{'descr': '<f4'}", "{'descr': '<f4", "nonsense",
          "{'descr': '<f4', 'fortran_order': 0, 'shape': (2,)}", "{'descr': '<f4', 'fortran_order': False, 'shape': (2,}",
          "{'descr': '<f4', 'fortran_order': False, 'shape': 2}",
          "{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (2,)}",
          "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), 'other': 1}",
          "{'descr': [[[, 'fortran_order': False, 'shape': (2,)}",
          "{'descr': '<f4', 'fortran_order': False, 'shape': (2,)} trailing"}) {
        CAPTURE(text);
        CHECK(contains(why_refused(with_header(text, 1, two_values)), "header"));
    }
}

TEST_CASE("npy: a missing file and a folder are named")
{
    CHECK(contains(mhc::tools::read_npy("/nowhere/x.npy").error().message, "/nowhere/x.npy: No such file"));
    CHECK(contains(mhc::tools::read_npy("/").error().message, "is a directory"));
}
