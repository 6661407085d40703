// runtime/msgpack.cpp -- reads the MessagePack kinds that code object metadata is made of, and steps over the others.
#include "runtime/msgpack.hpp"

namespace mhc::runtime {

std::string_view msgpack_reader::take(std::uint64_t bytes)
{
    if (!good_ || bytes > rest_.size()) {
        good_ = false;
        return {};
    }
    const std::string_view taken = rest_.substr(0, static_cast<std::size_t>(bytes));
    rest_.remove_prefix(taken.size());
    return taken;
}

std::uint64_t msgpack_reader::big_endian(std::size_t bytes)
{
    std::uint64_t value = 0;
    for (const char byte : take(bytes)) value = value << 8 | static_cast<std::uint8_t>(byte);
    return value;
}

std::uint8_t msgpack_reader::first_byte() { return static_cast<std::uint8_t>(big_endian(1)); }

std::uint32_t msgpack_reader::map()
{
    const std::uint8_t first = first_byte();
    std::uint64_t count = 0;
    if ((first & 0xf0) == 0x80)
        count = first & 0x0fU;
    else if (first == 0xde)
        count = big_endian(2);
    else if (first == 0xdf)
        count = big_endian(4);
    else
        good_ = false;
    if (count > rest_.size() / 2) good_ = false;  // each entry takes two bytes at least
    return good_ ? static_cast<std::uint32_t>(count) : 0;
}

std::uint32_t msgpack_reader::array()
{
    const std::uint8_t first = first_byte();
    std::uint64_t count = 0;
    if ((first & 0xf0) == 0x90)
        count = first & 0x0fU;
    else if (first == 0xdc)
        count = big_endian(2);
    else if (first == 0xdd)
        count = big_endian(4);
    else
        good_ = false;
    if (count > rest_.size()) good_ = false;
    return good_ ? static_cast<std::uint32_t>(count) : 0;
}

std::string_view msgpack_reader::text()
{
    const std::uint8_t first = first_byte();
    std::uint64_t size = 0;
    if ((first & 0xe0) == 0xa0)
        size = first & 0x1fU;
    else if (first == 0xd9)
        size = big_endian(1);
    else if (first == 0xda)
        size = big_endian(2);
    else if (first == 0xdb)
        size = big_endian(4);
    else
        good_ = false;
    return take(size);
}

std::uint64_t msgpack_reader::number()
{
    const std::uint8_t first = first_byte();
    if (first < 0x80) return first;
    if (first >= 0xcc && first <= 0xcf) return big_endian(std::size_t{1} << (first - 0xcc));
    if (first >= 0xd0 && first <= 0xd3) {  // a signed kind may hold a non-negative value
        const std::size_t bytes = std::size_t{1} << (first - 0xd0);
        const std::uint64_t value = big_endian(bytes);
        if ((value >> (8 * bytes - 1)) == 0) return value;
    }
    good_ = false;
    return 0;
}

void msgpack_reader::skip()
{
    // Counted, not recursive: nesting costs no stack, and each value takes a byte at least, so the document's size bounds
    // it.
    for (std::uint64_t pending = 1; pending > 0 && good_; --pending) skip_one(&pending);
}

void msgpack_reader::skip_one(std::uint64_t* pending)
{
    const std::uint8_t first = first_byte();
    if (first < 0x80 || first >= 0xe0 || (first >= 0xc0 && first <= 0xc3)) return;  // small number, nil, bool
    if (first < 0x90)
        *pending += 2 * (first & 0x0fU);
    else if (first < 0xa0)
        *pending += first & 0x0fU;
    else if (first < 0xc0)
        take(first & 0x1fU);
    else if (first <= 0xc6)
        take(big_endian(std::size_t{1} << (first - 0xc4)));  // bin
    else if (first <= 0xc9)
        take(big_endian(std::size_t{1} << (first - 0xc7)) + 1);  // ext
    else if (first <= 0xcb)
        take(first == 0xca ? 4 : 8);  // float
    else if (first <= 0xcf)
        take(std::uint64_t{1} << (first - 0xcc));  // unsigned
    else if (first <= 0xd3)
        take(std::uint64_t{1} << (first - 0xd0));  // signed
    else if (first <= 0xd8)
        take((std::uint64_t{1} << (first - 0xd4)) + 1);  // fixed ext
    else if (first <= 0xdb)
        take(big_endian(std::size_t{1} << (first - 0xd9)));  // text
    else if (first <= 0xdd)
        *pending += big_endian(first == 0xdc ? 2 : 4);  // array
    else
        *pending += 2 * big_endian(first == 0xde ? 2 : 4);  // map
}

}  // namespace mhc::runtime
