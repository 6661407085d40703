// emulator/trial.cpp -- an instruction run with several values in the undefined bits of its sources.
#include "emulator/trial.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "emulator/lanes.hpp"

namespace mhc::emulator {
namespace {

constexpr u32 trials = 10;  // zeros, ones and eight patterns: a single bit is missed once in 256

/// What trial `number` puts into word `place`.
u32 pattern(u32 number, u32 place)
{
    if (number < 2) return 0U - number;
    u32 x = place * 0x9E3779B9U + number * 0x85EBCA6BU;
    x = (x ^ x >> 16) * 0x7FEB352DU;
    x = (x ^ x >> 15) * 0x846CA68BU;
    return x ^ x >> 16;
}

/// The registers that an instruction reads or writes, with a copy of what they held.
struct kept_registers {
    std::vector<u32> vectors;  ///< numbers
    std::vector<u32> words;    ///< `lanes` a vector
    std::vector<u32> places;   ///< numbers of scalars, for what is done again in each trial
    std::array<u32, scalar::count> scalars{};
    bool scc = false;
    u32 next = 0;

    kept_registers(const wave& w, const effects& e)
    {
        for (const vector_ranges* of : {&e.reads, &e.writes})
            for (const vector_range& range : *of)
                for (u32 i = range.first; i < u32{range.first} + range.count; ++i)
                    if (std::find(vectors.begin(), vectors.end(), i) == vectors.end()) vectors.push_back(i);
        words.resize(vectors.size() * w.lanes);
        // Written or not, exec and vcc are what instructions name without saying so.
        for (u32 i = 0; i < scalar::count; ++i)
            if (e.scalar_reads.has(i) || e.scalar_writes.has(i) || i / 2 == scalar::exec / 2 || i / 2 == scalar::vcc / 2)
                places.push_back(i);
        copy(w);
    }
    void copy(const wave& w)
    {
        for (std::size_t i = 0; i < vectors.size(); ++i)
            std::copy_n(w.vector(vectors[i]), w.lanes, words.begin() + static_cast<std::ptrdiff_t>(i * w.lanes));
        std::copy_n(w.s, scalar::count, scalars.begin());
        scc = w.scc;
        next = w.next;
    }
    void restore(wave& w) const
    {
        for (std::size_t i = 0; i < vectors.size(); ++i)
            std::copy_n(words.begin() + static_cast<std::ptrdiff_t>(i * w.lanes), w.lanes, w.vector(vectors[i]));
        const u64 active = w.exec();
        for (const u32 place : places) w.s[place] = scalars[place];
        w.scc = scc;
        w.next = next;
        if (w.exec() != active) w.spread_exec();
    }
    void restore_all(wave& w) const
    {
        restore(w);
        std::copy_n(scalars.begin(), scalar::count, w.s);
        w.spread_exec();
    }
};

/// The undefined bits of the registers' lanes, as kept_registers::words.
std::vector<u32> undefined_words(const wave& w, const kept_registers& registers, const wave_shadow& shadow)
{
    std::vector<u32> made(registers.words.size());
    for (std::size_t i = 0; i < registers.vectors.size(); ++i)
        for (u64 left = shadow.lanes_of(registers.vectors[i]) & w.all_lanes(); left != 0; left &= left - 1) {
            const auto lane = static_cast<u32>(std::countr_zero(left));
            made[i * w.lanes + lane] = shadow.bits(registers.vectors[i], lane);
        }
    return made;
}

/// `undefined`: as above.
void fill_undefined(wave& w, const kept_registers& registers, const std::vector<u32>& undefined, const wave_shadow& shadow,
                    u32 trial)
{
    for (std::size_t i = 0; i < registers.vectors.size(); ++i) {
        const u32 vector = registers.vectors[i];
        u32* const words = w.vector(vector);
        const u32* const bits = undefined.data() + i * w.lanes;
        each_lane(w, [&](u32 lane) {
            words[lane] = (words[lane] & ~bits[lane]) | (pattern(trial, vector * lanes_max + lane) & bits[lane]);
        });
    }
    for (const u32 i : registers.places) {
        const u32 undefined = i < scalar::exec ? shadow.scalar_bits(i) : 0;
        if (undefined == 0) continue;
        w.s[i] = (w.s[i] & ~undefined) | (pattern(trial, 0x10000U + i) & undefined);
    }
    if (shadow.scc) w.scc = (pattern(trial, 0x20000U) & 1) != 0;
}

/// What brought undefined bits in.
origin source_of(const wave& w, const effects& e, const wave_shadow& shadow)
{
    const u64 lanes = e.crosses_lanes ? w.all_lanes() : w.exec();
    for (const vector_range& range : e.reads)
        for (u32 i = range.first; i < u32{range.first} + range.count; ++i)
            if ((shadow.lanes_of(i) & lanes) != 0) return shadow.vector_origins[i];
    for (u32 i = 0; i < scalar::exec; ++i)
        if (e.scalar_reads.has(i) && shadow.undefined_scalars.has(i)) return shadow.scalar_origins[i];
    return shadow.scc_origin;
}

/// Lanes in which a comparison reads an undefined bit.
u64 compared_undefined(const wave& w, const effects& e, const wave_shadow& shadow)
{
    u64 found = 0;
    for (const vector_range& range : e.reads)
        for (u32 i = range.first; i < u32{range.first} + range.count; ++i)
            for (u64 left = shadow.lanes_of(i) & w.exec(); left != 0; left &= left - 1) {
                const auto lane = static_cast<u32>(std::countr_zero(left));
                if ((shadow.bits(i, lane) & e.compared_bits) != 0) found |= u64{1} << lane;
            }
    for (u32 i = 0; i < scalar::exec; ++i)
        if (e.scalar_reads.has(i) && shadow.scalar_bits(i) != 0) found |= w.exec();
    return found;
}

/// Bits that differed in some trial.
struct differences {
    std::vector<u32> vectors;  ///< as kept_registers::words
    std::array<u32, scalar::count> scalars{};
    bool scc = false;

    void add(const wave& w, const kept_registers& registers, const kept_registers& result)
    {
        for (std::size_t i = 0; i < registers.vectors.size(); ++i) {
            const u32* const now = w.vector(registers.vectors[i]);
            const u32* const first = result.words.data() + i * w.lanes;
            u32* const differ = vectors.data() + i * w.lanes;
            each_lane(w, [&](u32 lane) { differ[lane] |= now[lane] ^ first[lane]; });
        }
        for (const u32 i : registers.places) scalars[i] |= w.s[i] ^ result.scalars[i];
        scc = scc || w.scc != result.scc;
    }
};

void keep(const differences& found, const wave& w, const kept_registers& registers, const effects& e, const origin& from,
          wave_shadow& shadow)
{
    const u64 written = e.ignores_exec ? w.all_lanes() : w.exec();
    for (std::size_t i = 0; i < registers.vectors.size(); ++i) {
        const u32 vector = registers.vectors[i];
        for (u32 lane = 0; lane < w.lanes; ++lane) shadow.set_bits(vector, lane, found.vectors[i * w.lanes + lane]);
    }
    for (const vector_range& range : e.writes)
        for (u32 i = range.first; i < u32{range.first} + range.count; ++i)
            if ((shadow.lanes_of(i) & written) != 0) shadow.vector_origins[i] = from;
    for (const u32 i : registers.places) {
        if (i >= scalar::exec) continue;
        if (found.scalars[i] != 0 && e.scalar_writes.has(i)) shadow.scalar_origins[i] = from;
        shadow.set_scalar_bits(i, found.scalars[i]);
    }
    if (found.scc) shadow.scc_origin = from;
    shadow.scc = found.scc;
}

}  // namespace

void run_by_trial(wave& w, const operation& op, const effects& e, wave_shadow& shadow)
{
    const origin from = source_of(w, e, shadow);
    const kept_registers before(w, e);
    const u64 compared = e.compares ? compared_undefined(w, e, shadow) : 0;
    op.run(w, op);
    kept_registers result = before;
    result.copy(w);
    differences found;
    found.vectors.resize(before.words.size());
    const std::vector<u32> undefined = undefined_words(w, before, shadow);
    for (u32 trial = 0; trial < trials; ++trial) {
        before.restore(w);
        fill_undefined(w, before, undefined, shadow, trial);
        op.run(w, op);
        found.add(w, before, result);
    }
    result.restore_all(w);

    if (e.is_scalar && compared != 0) found.scc = true;
    for (const u32 at : {u32{e.mask_at}, u32{e.writes_exec ? scalar::exec : scalar::null}}) {
        if (at == scalar::null) continue;
        found.scalars[at] |= static_cast<u32>(compared);
        if (w.lanes == 64) found.scalars[at + 1] |= static_cast<u32>(compared >> 32);
    }
    const u64 mask = joined(found.scalars[scalar::exec], w.lanes == 64 ? found.scalars[scalar::exec + 1] : 0);
    if (mask != 0) {
        const int lane = std::countr_zero(mask);
        throw fault(fmt::format("lane {}: whether it is active depends on {}, which nothing wrote", lane, from.text()),
                    lane);
    }
    keep(found, w, before, e, from, shadow);
}

}  // namespace mhc::emulator
