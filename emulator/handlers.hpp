// emulator/handlers.hpp -- the table of instructions: a family a file, each a list of names and handlers.
#pragma once

#include <span>
#include <string_view>

#include "emulator/operation.hpp"

namespace mhc::emulator {

enum class operand_rule : u8 {
    read,
    may_return,  ///< atomic: with a destination before the others where its modifiers say so
    ignored,     ///< the text behind the name says nothing to the emulator: counters to wait for, hints
};

struct handler_entry {
    std::string_view name;  ///< canonical
    handler run = nullptr;
    u8 destinations = 1;  ///< how many of the operands, from the first, are written
    operand_rule operands = operand_rule::read;
};

using handler_family = std::span<const handler_entry>;

handler_family control_family();         ///< branches, barriers, waits, the end
handler_family scalar_integer_family();  ///< SOP1, SOP2, SOPC, SOPK on integers and masks
handler_family scalar_float_family();    ///< gfx12's scalar floats
handler_family scalar_memory_family();
handler_family vector_integer_family();
handler_family vector_float_family();     ///< fp32 and fp64 arithmetic
handler_family vector_half_family();      ///< fp16, packed fp16, mixed
handler_family vector_packed_family();    ///< two fp32 or two words at once
handler_family vector_division_family();  ///< div_scale, div_fmas, div_fixup, transcendentals
handler_family vector_convert_family();
handler_family vector_compare_family();
handler_family lane_family();  ///< readlane, writelane, permutes
handler_family lds_family();
handler_family scratch_family();             ///< scratch and buffers: loads, stores
handler_family global_family();              ///< global and flat loads, stores
handler_family vector_double_family();       ///< fp64: division, roots, conversions to integers
handler_family vector_packed_half_family();  ///< two numbers of 16 bits; dot products
handler_family vector_short_family();        ///< integers of 16 bits, rarer integers
handler_family vector_half_more_family();    ///< fp16: functions, conversions, three sources
handler_family scalar_half_family();         ///< gfx12's scalar fp16
handler_family vector_fp8_family();          ///< fp8 and bf8 conversions
handler_family memory_atomic_family();       ///< global and flat atomics
handler_family lds_atomic_family();
handler_family matrix_family();         ///< MFMA
handler_family matrix_wave32_family();  ///< WMMA

/// Null where no family has the name.
const handler_entry* find_handler(std::string_view canonical_name);

/// Executes two operations at once: gfx11's dual issue.
void run_dual(wave& w, const operation& op);

/// Stands for what has no handler, or was not understood: says so when it is executed.
void run_unknown(wave& w, const operation& op);

}  // namespace mhc::emulator
