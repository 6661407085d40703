// emulator/indexed.cpp -- registers by number, gfx9 (MI300 ISA, "VGPR Indexing").
#include "emulator/indexed.hpp"

#include <fmt/format.h>

#include "emulator/handlers.hpp"

namespace mhc::emulator {
namespace {

constexpr std::string_view begin_mark = "s_set_gpr_idx_on", end_mark = "s_set_gpr_idx_off";

void run_indexed(wave& w, const operation& op)
{
    const operation chosen = indexed(w, op);
    chosen.run(w, chosen);
}

void add_index(const wave& w, operand& to, u32 bit)
{
    const u32 m0 = w.s[scalar::m0], number = to.index + (m0 & 0xFFU);
    if (to.kind != operand_kind::vector || (m0 >> (12 + bit) & 1U) == 0) return;
    // The machine reads v0 instead; no compiler means that.
    if (number >= first_accumulator || number + to.words > w.vector_count)
        throw fault(fmt::format("v{} with index {}: the kernel has no such register", to.index, m0 & 0xFFU));
    to.index = static_cast<u16>(number);
}

}  // namespace

void mark_indexed(program& code)
{
    bool is_between = false;
    for (operation& op : code.operations) {
        if (op.text == nullptr) continue;
        const std::string_view text = *op.text;
        if (text.starts_with(begin_mark)) is_between = true;
        if (text.starts_with(end_mark)) is_between = false;
        if (!is_between || op.run == run_unknown) continue;
        if (text.starts_with("s_cbranch") || text.starts_with("s_branch") || text.starts_with("s_setpc") ||
            text.starts_with("s_swappc") || text.starts_with("s_endpgm"))
            op.run = run_unknown;
        if (!text.starts_with("v_")) continue;
        op.other = static_cast<u32>(code.halves.size());
        code.halves.push_back(op);
        op.run = run_indexed;
        op.is_indexed = true;
    }
}

operation indexed(const wave& w, const operation& op)
{
    operation made = w.halves[op.other];
    for (u32 i = 0; i < made.from_count && i < 3; ++i) add_index(w, made.from[i], i);
    add_index(w, made.to[0], 3);
    return made;
}

effects indexed_effects(const wave& w, const operation& op, const effects& of)
{
    const operation chosen = indexed(w, op);
    effects made = of;
    made.reads = made.writes = {};
    for (u32 i = 0; i < chosen.from_count; ++i) made.reads.add(chosen.from[i]);
    made.writes.add(chosen.to[0]);
    // An instruction that reads its destination's old value: it is among what it reads as written, too.
    for (const vector_range& each : of.reads)
        if (op.to[0].kind == operand_kind::vector && each.first == op.to[0].index) made.reads.add(chosen.to[0]);
    return made;
}

}  // namespace mhc::emulator
