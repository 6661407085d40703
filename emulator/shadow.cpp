// emulator/shadow.cpp -- the rarer parts of a wave's shadow, and names of registers.
#include "emulator/shadow.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace mhc::emulator {

std::string vector_name(u32 index)
{
    return index < first_accumulator ? fmt::format("v{}", index) : fmt::format("a{}", index - first_accumulator);
}

std::string scalar_name(u32 index)
{
    if (index == scalar::vcc) return "vcc_lo";
    if (index == scalar::vcc + 1) return "vcc_hi";
    if (index == scalar::m0) return "m0";
    if (index == scalar::exec) return "exec_lo";
    if (index == scalar::exec + 1) return "exec_hi";
    if (index >= scalar::trap_temporary && index < scalar::m0) return fmt::format("ttmp{}", index - scalar::trap_temporary);
    return fmt::format("s{}", index);
}

std::string origin::text() const
{
    switch (from) {
        case kind::vector:
            return vector_name(number);
        case kind::scalar:
            return scalar_name(number);
        case kind::scc:
            return "scc";
        case kind::lds:
            return fmt::format("LDS byte {}", number);
        case kind::scratch:
            return fmt::format("scratch byte {}", number);
    }
    return {};
}

wave_shadow::wave_shadow(u32 vectors, u32 lanes)
    : vector_origins(vectors),
      scalar_origins(scalar::count),
      lanes_(lanes),
      vectors_(vectors),
      bits_(std::size_t{vectors} * lanes),
      scalar_bits_(scalar::count)
{
}

void wave_shadow::begin(const wave& w, const scalar_set& given)
{
    std::fill(vectors_.begin(), vectors_.end(), lane_shadow{});
    for (u32 i = 0; i < vector_origins.size(); ++i) vector_origins[i] = {origin::kind::vector, i};
    vectors_[0] = {~w.exec() & w.all_lanes(), ~w.exec() & w.all_lanes()};
    undefined_scalars = {};
    undefined_scalars.add(0, scalar::count);
    undefined_scalars.remove(given);
    std::fill(scalar_bits_.begin(), scalar_bits_.end(), ~0U);
    for (u32 i = 0; i < scalar::count; ++i) scalar_origins[i] = {origin::kind::scalar, i};
    scc = true;
    scc_origin = {origin::kind::scc, 0};
}

void wave_shadow::set_bits(u32 vector, u32 lane, u32 undefined)
{
    lane_shadow& of = vectors_[vector];
    const u64 bit = u64{1} << lane;
    of.some = undefined != 0 ? of.some | bit : of.some & ~bit;
    of.whole = undefined == ~0U ? of.whole | bit : of.whole & ~bit;
    bits_[std::size_t{vector} * lanes_ + lane] = undefined;
}

void wave_shadow::set_scalar_bits(u32 index, u32 undefined)
{
    scalar_set one;
    one.add(index);
    if (undefined != 0)
        undefined_scalars.add(one);
    else
        undefined_scalars.remove(one);
    scalar_bits_[index] = undefined;
}

}  // namespace mhc::emulator
