// emulator/effects.hpp -- what one instruction reads, writes and uses, for the checks: worked out once, from its text.
#pragma once

#include <array>
#include <string_view>
#include <vector>

#include "emulator/operation.hpp"

namespace mhc::emulator {

/// A set of scalar registers, a bit each.
struct scalar_set {
    std::array<u64, (scalar::count + 63) / 64> bits{};

    void add(u32 index, u32 count = 1)
    {
        for (u32 i = index; i < index + count; ++i) bits[i / 64] |= u64{1} << (i % 64);
    }
    void add(const scalar_set& others)
    {
        for (std::size_t i = 0; i < bits.size(); ++i) bits[i] |= others.bits[i];
    }
    void remove(const scalar_set& others)
    {
        for (std::size_t i = 0; i < bits.size(); ++i) bits[i] &= ~others.bits[i];
    }
    bool has(u32 index) const { return (bits[index / 64] >> (index % 64) & 1) != 0; }
    bool meets(const scalar_set& others) const
    {
        u64 both = 0;
        for (std::size_t i = 0; i < bits.size(); ++i) both |= bits[i] & others.bits[i];
        return both != 0;
    }
};

struct vector_range {
    u16 first = 0;
    u16 count = 0;
};

/// Up to seven operands of vectors; a dual issue has no more.
struct vector_ranges {
    std::array<vector_range, 7> all{};
    u32 size = 0;

    void add(const operand& from)
    {
        if (from.kind == operand_kind::vector && size < all.size()) all[size++] = {from.index, from.words};
    }
    const vector_range* begin() const { return all.data(); }
    const vector_range* end() const { return all.data() + size; }
};

/// `buffer`: scratch or global, as its descriptor says; `buffer_to_lds` reads a buffer and writes LDS.
enum class memory_space : u8 { none, global, lds, scratch, flat, scalar, buffer, buffer_to_lds };

/// Which bytes an instruction touches.
struct memory_access {
    memory_space space = memory_space::none;
    bool is_store = false, is_atomic = false;  ///< an atomic is no store
    bool has_result = false;
    u8 bytes = 0;                  ///< of one element
    u8 elements = 1;               ///< 2: LDS pairs
    std::array<u32, 2> offsets{};  ///< LDS: of the elements, in bytes
    u8 address = 0, data = 1;      ///< numbers of the operands
    u8 shift = 0;                  ///< 16: the upper half of the data is stored
    u32 kept = 0;                  ///< bits of the destination that stay: loads of one half
};

enum class effect_kind : u8 {
    compute,   ///< a function of registers to registers
    memory,    ///< see `memory`
    branch,    ///< on SCC or VCC
    jump,      ///< to an address in registers
    untested,  ///< neither reads nor writes what is checked
};

/// The only lane whose words an instruction reads or writes: `chosen` by its second source.
enum class one_lane : u8 { none, first_active, chosen };

struct effects {
    effect_kind kind = effect_kind::compute;
    vector_ranges reads, writes;
    scalar_set scalar_reads, scalar_writes;
    bool reads_scc = false;
    bool is_scalar = false;      ///< of scalars: may write SCC
    bool crosses_lanes = false;  ///< a lane's result may come from any lane
    bool ignores_exec = false;   ///< writes all lanes
    one_lane lane = one_lane::none;
    bool compares = false;       ///< a bit of the result, or SCC, tells whether two numbers compare so
    bool writes_exec = false;    ///< v_cmpx
    u16 mask_at = scalar::null;  ///< the first scalar of a vector comparison's result
    u32 compared_bits = ~0U;     ///< of each operand, by the type that is compared
    memory_access memory;
};

/// Of every operation of a program, in their order.
std::vector<effects> effects_of(const program& code);

}  // namespace mhc::emulator
