// runtime/msgpack.hpp -- walks a MessagePack document in place: no allocation, no trust in any length it states.
#pragma once

#include <cstdint>
#include <string_view>

namespace mhc::runtime {

/// A position in a document. After the first byte that does not fit, `good` is false and every read gives nothing.
class msgpack_reader {
public:
    explicit msgpack_reader(std::string_view bytes) : rest_(bytes) {}

    bool good() const { return good_; }

    /// Number of (key, value) pairs of the map here; 0 and not good if it is none.
    std::uint32_t map();
    /// Number of elements of the array here; likewise.
    std::uint32_t array();
    std::string_view text();
    /// A non-negative integer.
    std::uint64_t number();
    /// Steps over one value of any kind.
    void skip();

    /// Calls `visit(key)` for each entry of the map here; it must read or skip exactly the value.
    template <class Visit>
    void each_entry(Visit visit)
    {
        for (std::uint32_t left = map(); left > 0 && good_; --left) {
            const std::string_view key = text();
            if (good_) visit(key);
        }
    }

private:
    std::uint64_t big_endian(std::size_t bytes);
    std::string_view take(std::uint64_t bytes);
    std::uint8_t first_byte();
    void skip_one(std::uint64_t* pending);

    std::string_view rest_;
    bool good_ = true;
};

}  // namespace mhc::runtime
