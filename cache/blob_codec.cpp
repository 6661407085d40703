// cache/blob_codec.cpp -- zstd in front of a column.
#include "cache/blob_codec.hpp"

#include <zstd.h>

namespace mhc::cache {
namespace {

constexpr int level = 3;
// A damaged row must not be able to ask for all the memory there is.
constexpr std::int64_t raw_bytes_max = std::int64_t{1} << 30;

}  // namespace

packed_blob pack(std::string_view bytes)
{
    std::string out(ZSTD_compressBound(bytes.size()), '\0');
    const std::size_t size = ZSTD_compress(out.data(), out.size(), bytes.data(), bytes.size(), level);
    if (ZSTD_isError(size) != 0 || size >= bytes.size()) return {blob_codec::raw, std::string(bytes)};
    out.resize(size);
    return {blob_codec::zstd, std::move(out)};
}

std::optional<std::string> unpack(std::int64_t codec, std::int64_t raw_size, std::string data)
{
    if (raw_size < 0 || raw_size > raw_bytes_max) return std::nullopt;
    const auto size = static_cast<std::size_t>(raw_size);
    if (codec == static_cast<int>(blob_codec::raw)) {
        if (data.size() != size) return std::nullopt;
        return data;
    }
    if (codec != static_cast<int>(blob_codec::zstd)) return std::nullopt;
    if (ZSTD_getFrameContentSize(data.data(), data.size()) != size) return std::nullopt;
    std::string out(size, '\0');
    if (ZSTD_decompress(out.data(), out.size(), data.data(), data.size()) != size) return std::nullopt;
    return out;
}

}  // namespace mhc::cache
