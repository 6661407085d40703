// emulator/control.cpp -- branches, barriers, the end of a wave, its modes; and what only tells the hardware to wait.
#include <fmt/format.h>

#include "emulator/checks.hpp"
#include "emulator/handlers.hpp"
#include "emulator/indexed.hpp"
#include "emulator/lanes.hpp"

namespace mhc::emulator {
namespace {

void nothing(wave&, const operation&) {}

void branch(wave& w, const operation& op) { w.next = op.target; }
template <auto Holds>
void branch_if(wave& w, const operation& op)
{
    if (Holds(w)) w.next = op.target;
}

/// The address of the next instruction, as it is loaded.
u64 next_address(const wave& w)
{
    const program& code = *w.group->code;
    return w.group->image + code.operations[w.next].address;
}
void jump(wave& w, u64 address)
{
    const program& code = *w.group->code;
    const u64 offset = address - w.group->image - code.begin;
    const u32 number = offset / 4 < code.at_word.size() && offset % 4 == 0
                           ? code.at_word[static_cast<std::size_t>(offset / 4)]
                           : program::no_operation;
    if (number == program::no_operation) throw fault(fmt::format("a jump to {:#x}, where no instruction begins", address));
    w.next = number;
}
void program_counter(wave& w, const operation& op) { w.set_scalar_pair(op.to[0].index, next_address(w)); }
void set_program_counter(wave& w, const operation& op) { jump(w, scalar_pair(w, op.from[0])); }
void swap_program_counter(wave& w, const operation& op)
{
    const u64 to = scalar_pair(w, op.from[0]);
    w.set_scalar_pair(op.to[0].index, next_address(w));
    jump(w, to);
}

void end(wave& w, const operation&)
{
    w.state = wave_state::ended;
    --w.group->alive;
    w.group->open_barrier_if_complete();
}

void signal(wave& w)
{
    if (w.group->checks != nullptr) w.group->checks->signal(w);
    w.barrier_phase = w.group->phase;
    ++w.group->arrived;
    w.group->open_barrier_if_complete();
}
void wait_for_barrier(wave& w)
{
    if (w.group->checks != nullptr) w.group->checks->wait(w);
    if (w.group->phase == w.barrier_phase) w.state = wave_state::waiting;
}
void barrier(wave& w, const operation&)
{
    signal(w);
    wait_for_barrier(w);
}
void barrier_signal(wave& w, const operation& op)
{
    if (op.from[0].value != ~0U) throw fault("only the work-group's barrier, -1, is modelled");
    signal(w);
}
void barrier_wait(wave& w, const operation&) { wait_for_barrier(w); }

/// The mode register's field of denormals: 1 and 3 let them in, 2 and 3 let them out, for fp32 in bits 0 and 1.
void set_denormals(wave& w, u32 value)
{
    w.single = {(value & 1U) != 0, (value & 2U) != 0};
    w.half_and_double = {(value & 4U) != 0, (value & 8U) != 0};
}
void denormal_mode(wave& w, const operation& op) { set_denormals(w, op.from[0].value); }
void round_mode(wave&, const operation& op)
{
    if (op.from[0].value != 0) throw fault("only rounding to nearest even is modelled");
}

/// A field of the mode register, of which rounding, in bits 0 to 3, and denormals, in 4 to 7, are modelled. The first
/// operand is the register's number in bits 0 to 5, the field's first bit in 6 to 10 and its size, less one, in 11 to 15.
void set_register(wave& w, const operation& op)
{
    constexpr u32 mode_register = 1;
    const u32 field = op.from[0].value, first = field >> 6 & 31U, size = (field >> 11 & 31U) + 1;
    if ((field & 63U) != mode_register || first + size > 8) throw fault(fmt::format("'{}' is not modelled", *op.text));
    const u32 mask = ((1U << size) - 1) << first, bit = 1;
    u32 mode = (w.single.in ? bit << 4 : 0) | (w.single.out ? bit << 5 : 0) | (w.half_and_double.in ? bit << 6 : 0) |
               (w.half_and_double.out ? bit << 7 : 0);
    mode = (mode & ~mask) | (scalar_word(w, op.from[1]) << first & mask);
    if ((mode & 15U) != 0) throw fault("only rounding to nearest even is modelled");
    set_denormals(w, mode >> 4);
}

/// Which registers follow: indexed.hpp.
void index_on(wave& w, const operation& op)
{
    const u32 chosen = (scalar_word(w, op.from[0]) & 0xFFU) | op.from[1].value << 12;
    w.set_scalar(scalar::m0, (w.s[scalar::m0] & ~index_bits) | chosen);
}

const handler_entry entries[] = {
    {"s_nop", nothing, 0, operand_rule::ignored},
    {"s_code_end", nothing, 0, operand_rule::ignored},
    {"s_waitcnt", nothing, 0, operand_rule::ignored},
    {"s_waitcnt_vscnt", nothing, 0, operand_rule::ignored},
    {"s_waitcnt_vmcnt", nothing, 0, operand_rule::ignored},
    {"s_waitcnt_expcnt", nothing, 0, operand_rule::ignored},
    {"s_waitcnt_lgkmcnt", nothing, 0, operand_rule::ignored},
    {"s_waitcnt_depctr", nothing, 0, operand_rule::ignored},
    {"s_wait_alu", nothing, 0, operand_rule::ignored},
    {"s_wait_loadcnt", nothing, 0, operand_rule::ignored},
    {"s_wait_storecnt", nothing, 0, operand_rule::ignored},
    {"s_wait_samplecnt", nothing, 0, operand_rule::ignored},
    {"s_wait_bvhcnt", nothing, 0, operand_rule::ignored},
    {"s_wait_expcnt", nothing, 0, operand_rule::ignored},
    {"s_wait_dscnt", nothing, 0, operand_rule::ignored},
    {"s_wait_kmcnt", nothing, 0, operand_rule::ignored},
    {"s_wait_loadcnt_dscnt", nothing, 0, operand_rule::ignored},
    {"s_wait_storecnt_dscnt", nothing, 0, operand_rule::ignored},
    {"s_wait_idle", nothing, 0, operand_rule::ignored},
    {"s_delay_alu", nothing, 0, operand_rule::ignored},
    {"s_clause", nothing, 0, operand_rule::ignored},
    {"s_sleep", nothing, 0, operand_rule::ignored},
    {"s_setprio", nothing, 0, operand_rule::ignored},
    {"s_set_inst_prefetch_distance", nothing, 0, operand_rule::ignored},
    {"s_inst_prefetch", nothing, 0, operand_rule::ignored},
    {"s_icache_inv", nothing, 0, operand_rule::ignored},
    {"s_sendmsg", nothing, 0, operand_rule::ignored},  // registers given back before the end
    {"buffer_gl0_inv", nothing, 0, operand_rule::ignored},
    {"buffer_gl1_inv", nothing, 0, operand_rule::ignored},
    {"buffer_inv", nothing, 0, operand_rule::ignored},
    {"buffer_wbl2", nothing, 0, operand_rule::ignored},
    {"buffer_wbinvl1", nothing, 0, operand_rule::ignored},
    {"buffer_wbinvl1_vol", nothing, 0, operand_rule::ignored},
    {"buffer_invl2", nothing, 0, operand_rule::ignored},
    {"global_wb", nothing, 0, operand_rule::ignored},
    {"global_inv", nothing, 0, operand_rule::ignored},
    {"global_wbinv", nothing, 0, operand_rule::ignored},
    {"v_nop", nothing, 0, operand_rule::ignored},
    {"s_branch", branch, 0, operand_rule::ignored},
    {"s_cbranch_scc0", branch_if<[](const wave& w) { return !w.scc; }>, 0, operand_rule::ignored},
    {"s_cbranch_scc1", branch_if<[](const wave& w) { return w.scc; }>, 0, operand_rule::ignored},
    {"s_cbranch_vccz", branch_if<[](const wave& w) { return w.vcc() == 0; }>, 0, operand_rule::ignored},
    {"s_cbranch_vccnz", branch_if<[](const wave& w) { return w.vcc() != 0; }>, 0, operand_rule::ignored},
    {"s_cbranch_execz", branch_if<[](const wave& w) { return w.exec() == 0; }>, 0, operand_rule::ignored},
    {"s_cbranch_execnz", branch_if<[](const wave& w) { return w.exec() != 0; }>, 0, operand_rule::ignored},
    {"s_getpc_b64", program_counter},
    {"s_setpc_b64", set_program_counter, 0},
    {"s_swappc_b64", swap_program_counter},
    {"s_endpgm", end, 0, operand_rule::ignored},
    {"s_barrier", barrier, 0, operand_rule::ignored},
    {"s_barrier_signal", barrier_signal, 0},
    {"s_barrier_wait", barrier_wait, 0, operand_rule::ignored},
    {"s_denorm_mode", denormal_mode, 0},
    {"s_round_mode", round_mode, 0},
    {"s_set_gpr_idx_on", index_on, 0},
    {"s_set_gpr_idx_off", nothing, 0, operand_rule::ignored},
    {"s_setreg_b32", set_register, 0},
    {"s_setreg_imm32_b32", set_register, 0},
};

}  // namespace

handler_family control_family() { return entries; }

}  // namespace mhc::emulator
