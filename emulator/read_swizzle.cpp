// emulator/read_swizzle.cpp -- lanes' numbers go through masks: ((lane & and) | or) ^ xor, five bits each. Source: LLVM's
// AMDGPU operand syntax, "swizzle".
#include "emulator/read_swizzle.hpp"

#include <charconv>

namespace mhc::emulator {
namespace {

u32 number(std::string_view text)
{
    u32 value = 0;
    std::from_chars(text.data(), text.data() + text.size(), value);
    return value;
}
i32 masks(u32 bits_and, u32 bits_or, u32 bits_xor) { return static_cast<i32>(bits_and | bits_or << 5 | bits_xor << 10); }

}  // namespace

i32 swizzle_pattern(std::string_view name, const std::vector<std::string_view>& arguments)
{
    constexpr u32 all = 31;
    if (name == "QUAD_PERM" && arguments.size() == 4) {
        u32 lanes = 0;
        for (u32 i = 0; i < 4; ++i) lanes |= number(arguments[i]) << (i * 2);
        return static_cast<i32>(0x8000U | lanes);
    }
    if (name == "SWAP" && arguments.size() == 1) return masks(all, 0, number(arguments[0]));
    if (name == "REVERSE" && arguments.size() == 1) return masks(all, 0, number(arguments[0]) - 1);
    if (name == "BROADCAST" && arguments.size() == 2)
        return masks(all & ~(number(arguments[0]) - 1), number(arguments[1]), 0);
    if (name != "BITMASK_PERM" || arguments.size() != 1 || arguments[0].size() != 7) return -1;
    u32 bits_and = 0, bits_or = 0, bits_xor = 0;
    for (const char c : arguments[0].substr(1, 5)) {  // in quotes, the highest bit first
        bits_and = bits_and << 1 | (c == 'p' || c == 'i' ? 1U : 0U);
        bits_or = bits_or << 1 | (c == '1' ? 1U : 0U);
        bits_xor = bits_xor << 1 | (c == 'i' ? 1U : 0U);
    }
    return masks(bits_and, bits_or, bits_xor);
}

}  // namespace mhc::emulator
