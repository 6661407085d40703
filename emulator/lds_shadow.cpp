// emulator/lds_shadow.cpp -- notes of LDS accesses, and races among them.
#include "emulator/lds_shadow.hpp"

#include <algorithm>
#include <cstring>

namespace mhc::emulator {
namespace {

constexpr u32 word_bytes = 4;

}  // namespace

lds_shadow::lds_shadow(u32 bytes)
    : undefined_(bytes),
      cells_((bytes + word_bytes - 1) / word_bytes * word_bytes),
      is_split_((bytes + word_bytes - 1) / word_bytes)
{
}

void lds_shadow::begin()
{
    std::fill(undefined_.begin(), undefined_.end(), u8{0xFF});
    origins_.clear();
}

bool lds_shadow::is_defined(u32 byte, u32 count) const
{
    u32 found = 0;
    for (; count >= word_bytes; count -= word_bytes, byte += word_bytes) {
        u32 word = 0;
        std::memcpy(&word, undefined_.data() + byte, sizeof(word));
        found |= word;
    }
    return (found | bits(byte, count)) == 0;
}

origin lds_shadow::origin_of(u32 byte) const
{
    const bool is_known = !origins_.empty() && origins_[byte / word_bytes].number != ~0U;
    return is_known ? origins_[byte / word_bytes] : origin{origin::kind::lds, byte};
}

void lds_shadow::set_origin(u32 byte, const origin& from)
{
    if (origins_.empty()) origins_.resize(is_split_.size(), {origin::kind::lds, ~0U});
    origins_[byte / word_bytes] = from;
}

const lds_shadow::note* lds_shadow::touch(cell& of, const lds_toucher& by)
{
    const auto races = [&](const note& before) {
        return before.signals > 0 && before.wave != by.wave && by.clock.waits <= before.signals;
    };
    if (races(of.write) && !(of.write.is_atomic && by.is_atomic)) return &(found_ = of.write);
    const note here{by.clock.signals, by.operation, static_cast<u8>(by.wave), by.is_atomic};
    if (by.is_write) {
        for (const note& read : of.reads)
            if (races(read)) return &(found_ = read);
        of.write = here;
        return nullptr;
    }
    note* place = of.reads[0].signals <= of.reads[1].signals ? &of.reads[0] : &of.reads[1];
    for (note& read : of.reads)
        if (read.wave == by.wave && read.signals != 0) place = &read;
    if (place->signals <= here.signals) *place = here;
    return nullptr;
}

const lds_shadow::note* lds_shadow::touch(u32 byte, u32 count, const lds_toucher& by)
{
    const note* found = nullptr;
    while (count != 0 && found == nullptr) {
        const u32 word = byte / word_bytes;
        if (byte % word_bytes == 0 && count >= word_bytes && is_split_[word] == 0) {
            found = touch(cells_[byte], by);
            byte += word_bytes;
            count -= word_bytes;
            continue;
        }
        if (is_split_[word] == 0) {
            is_split_[word] = 1;
            for (u32 i = 1; i < word_bytes; ++i) cells_[word * word_bytes + i] = cells_[word * word_bytes];
        }
        found = touch(cells_[byte], by);
        ++byte;
        --count;
    }
    return found;
}

}  // namespace mhc::emulator
