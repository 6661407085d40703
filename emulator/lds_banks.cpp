// emulator/lds_banks.cpp -- passes of lanes over 32 banks.
#include "emulator/lds_banks.hpp"

#include <algorithm>
#include <array>

namespace mhc::emulator {
namespace {

constexpr u32 banks = 32, word_bytes = 4, pass_bytes = banks * word_bytes;
constexpr u32 words_max = 64;  ///< of a pass, when lanes are not aligned to words: 2 of 32 lanes

/// The distinct words of one pass.
class pass {
public:
    void add(u32 word)
    {
        if (std::find(words_.begin(), words_.begin() + count_, word) != words_.begin() + count_) return;
        words_[count_++] = word;
        fullest_ = std::max(fullest_, ++in_bank_[word % banks]);
    }
    u32 extra_cycles() const { return fullest_ == 0 ? 0 : fullest_ - 1U; }

private:
    std::array<u32, words_max> words_{};
    std::array<u8, banks> in_bank_{};
    u32 count_ = 0;
    u8 fullest_ = 0;
};

/// Lane `i` of the pass that begins at lane `first`, when lanes read 16 bytes of 64.
u32 lane_of_wide_read(u32 first, u32 i)
{
    constexpr std::array<u32, 4> second_half = {20, 16, 28, 24};  // of the passes that begin at 0, 8, 16 and 24
    const u32 number = first % 32 / 8, base = first / 32 * 32;
    return base + (i < 4 ? number * 4 + i : second_half[number] + i - 4);
}

}  // namespace

u32 lds_conflict_cycles(const u32* addresses, u64 active, u32 lanes, u32 bytes, bool is_read)
{
    const u32 lanes_of_pass = bytes <= 4 ? 32 : bytes <= 8 ? pass_bytes / 8 : pass_bytes / 16;
    const bool is_wide_read = is_read && bytes == 16 && lanes == 64;
    u32 cycles = 0;
    for (u32 first = 0; first < lanes; first += lanes_of_pass) {
        pass one;
        for (u32 i = 0; i < lanes_of_pass; ++i) {
            const u32 lane = is_wide_read ? lane_of_wide_read(first, i) : first + i;
            if ((active >> lane & 1) == 0) continue;
            const u32 begin = addresses[lane] / word_bytes, end = (addresses[lane] + bytes - 1) / word_bytes;
            for (u32 word = begin; word <= end; ++word) one.add(word);
        }
        cycles += one.extra_cycles();
    }
    return cycles;
}

}  // namespace mhc::emulator
