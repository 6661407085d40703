// cache/blob_codec.hpp -- how the bytes of a code object are stored: compressed, or as they are where that is no shorter.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace mhc::cache {

/// The numbers are those of the column code_blob.codec.
enum class blob_codec : int { raw = 0, zstd = 1 };

struct packed_blob {
    blob_codec codec = blob_codec::raw;
    std::string data;
};

packed_blob pack(std::string_view bytes);

/// The bytes, or nothing where `data` is not what `codec` and `raw_size` say it is.
std::optional<std::string> unpack(std::int64_t codec, std::int64_t raw_size, std::string data);

}  // namespace mhc::cache
