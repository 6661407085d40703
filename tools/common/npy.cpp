// tools/common/npy.cpp -- NumPy's .npy files of float32 arrays: a reader that trusts nothing in the file, and a writer.
#include "tools/common/npy.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>

#include <fmt/format.h>

namespace mhc::tools {
namespace {

using jit::errc;
using jit::failure;
using jit::result;

static_assert(std::endian::native == std::endian::little, "arrays are read and written as they lie in memory");

constexpr std::string_view magic = "\x93NUMPY";
constexpr std::uint32_t header_bytes_max = 1 << 20;  // numpy writes about 100; a bound keeps a hostile length small
constexpr const char* advice = "write it with numpy.save(FILE, numpy.ascontiguousarray(a, dtype=numpy.float32))";

failure bad(std::string message) { return failure{errc::bad_spec, std::move(message)}; }

struct file_closer {
    void operator()(std::FILE* file) const { std::fclose(file); }
};
using file_ptr = std::unique_ptr<std::FILE, file_closer>;

bool read_exactly(std::FILE* file, void* to, std::size_t bytes) { return std::fread(to, 1, bytes, file) == bytes; }

// The header's text; the file is left at the first value.
result<std::string> read_header_text(std::FILE* file)
{
    std::array<unsigned char, 8> start{};
    if (!read_exactly(file, start.data(), start.size()) || std::memcmp(start.data(), magic.data(), magic.size()) != 0)
        return bad(fmt::format("is no .npy file (it does not begin with \\x93NUMPY); {}", advice));
    const int version = start[6];
    if (version < 1 || version > 3) return bad(fmt::format("has .npy version {}; versions 1, 2 and 3 are read", version));

    std::array<unsigned char, 4> length{};
    const std::size_t length_bytes = version == 1 ? 2 : 4;
    if (!read_exactly(file, length.data(), length_bytes)) return bad("is truncated inside its header");
    std::uint32_t bytes = 0;
    std::memcpy(&bytes, length.data(), length.size());
    if (bytes > header_bytes_max)
        return bad(fmt::format("has a header of {} bytes; at most {} are read", bytes, header_bytes_max));
    std::string text(bytes, '\0');
    if (!read_exactly(file, text.data(), text.size())) return bad("is truncated inside its header");
    return text;
}

const char* type_name(std::string_view descr)
{
    constexpr std::array<std::pair<std::string_view, const char*>, 12> names = {{
        {"f2", "float16"},
        {"f4", "float32"},
        {"f8", "float64"},
        {"f16", "float128"},
        {"i1", "int8"},
        {"i2", "int16"},
        {"i4", "int32"},
        {"i8", "int64"},
        {"u1", "uint8"},
        {"b1", "bool"},
        {"c8", "complex64"},
        {"c16", "complex128"},
    }};
    if (!descr.empty()) descr.remove_prefix(1);
    for (const auto& [code, name] : names)
        if (descr == code) return name;
    return "another type";
}

result<void> check_header(const npy_header& header)
{
    if (header.descr.starts_with('>'))
        return bad(fmt::format("has dtype '{}', which is big-endian; only little-endian float32 ('<f4') is read; {}",
                               header.descr, advice));
    if (header.descr == "a structured type")
        return bad(fmt::format("has a structured dtype; only float32 ('<f4') is read; {}", advice));
    if (header.descr != "<f4")
        return bad(fmt::format("has dtype {} ('{}'); only float32 ('<f4') is read; {}", type_name(header.descr),
                               header.descr, advice));
    if (header.fortran_order)
        return bad(fmt::format("has fortran_order True (the first index fastest); only C order is read; {}", advice));
    return {};
}

// Memory grows with what the file holds, not with what its header claims, so a pipe cannot make us allocate at will.
result<std::vector<float>> read_values(std::FILE* file, std::int64_t count)
{
    constexpr std::size_t step = 1 << 20;
    std::vector<float> values;
    const auto wanted = static_cast<std::size_t>(count);
    while (values.size() < wanted) {
        const std::size_t had = values.size();
        values.resize(had + std::min(step, wanted - had));
        const std::size_t got = std::fread(values.data() + had, sizeof(float), values.size() - had, file);
        if (got != values.size() - had)
            return bad(
                fmt::format("is truncated: it holds {} of the {} float32 values its shape asks for", had + got, count));
    }
    if (std::fgetc(file) != EOF) return bad("has more bytes after its array; one array a file is read");
    return values;
}

result<npy_array> read_open_file(std::FILE* file, const struct stat& status)
{
    auto text = read_header_text(file);
    if (!text) return text.error();
    auto header = parse_npy_header(*text);
    if (!header) return header.error();
    if (auto fine = check_header(*header); !fine) return fine.error();
    const auto count = element_count(header->shape);
    if (!count) return count.error();

    if (S_ISREG(status.st_mode)) {  // the size is known: say so before reading gigabytes
        const std::int64_t left = status.st_size - std::ftell(file);
        if (left < *count * 4)
            return bad(fmt::format("is truncated: shape {} needs {} bytes of values, it holds {}", shape_text(header->shape),
                                   *count * 4, left));
    }
    auto values = read_values(file, *count);
    if (!values) return values.error();
    return npy_array{std::move(header->shape), std::move(*values)};
}

}  // namespace

result<npy_array> read_npy(const std::string& path)
{
    struct stat status {};
    const file_ptr file(std::fopen(path.c_str(), "rb"));
    if (!file || fstat(fileno(file.get()), &status) != 0) return bad(fmt::format("{}: {}", path, std::strerror(errno)));
    if (S_ISDIR(status.st_mode)) return bad(fmt::format("{}: is a directory; a .npy file is wanted", path));
    auto array = read_open_file(file.get(), status);
    if (!array) return bad(fmt::format("{}: {}", path, array.error().message));
    return array;
}

std::string npy_bytes(const npy_array& array)
{
    std::string shape = fmt::format("{}", fmt::join(array.shape, ", "));
    if (array.shape.size() == 1) shape += ',';  // Python's tuple of one
    std::string header = fmt::format("{{'descr': '<f4', 'fortran_order': False, 'shape': ({}), }}", shape);
    constexpr std::size_t start_bytes = 10;
    header.append(63 - (start_bytes + header.size()) % 64, ' ');  // values begin at a multiple of 64
    header += '\n';

    std::string bytes(magic);
    bytes += std::string_view("\x01\x00", 2);
    bytes += static_cast<char>(header.size() & 0xFF);
    bytes += static_cast<char>(header.size() >> 8);
    bytes += header;
    bytes.append(reinterpret_cast<const char*>(array.values.data()), array.values.size() * sizeof(float));
    return bytes;
}

result<std::int64_t> element_count(const std::vector<std::int64_t>& shape)
{
    constexpr std::int64_t count_max = std::int64_t{1} << 60;
    // A size of 0 makes the product 0 whatever the others are, so they must not be allowed to overflow first.
    const bool is_empty = std::find(shape.begin(), shape.end(), 0) != shape.end();
    std::int64_t count = 1;
    for (const std::int64_t size : shape) {
        if (size < 0) return bad(fmt::format("has shape {}, with a negative size", shape_text(shape)));
        if (!is_empty && (__builtin_mul_overflow(count, size, &count) || count >= count_max))
            return bad(fmt::format("has shape {}, which is more than any memory holds", shape_text(shape)));
    }
    return is_empty ? 0 : count;
}

std::string shape_text(const std::vector<std::int64_t>& shape) { return fmt::format("[{}]", fmt::join(shape, ",")); }

}  // namespace mhc::tools
