// emulator/checks.cpp -- each instruction executed under the checks, and barriers; checks_memory.cpp has accesses.
#include "emulator/checks.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "emulator/indexed.hpp"
#include "emulator/lanes.hpp"
#include "emulator/trial.hpp"

namespace mhc::emulator {
namespace {

/// The number of the only lane that is read or written; without active lanes the first stands for them.
u32 lane_of(const wave& w, const operation& op, const effects& e)
{
    if (e.lane == one_lane::chosen) return scalar_word(w, op.from[1]) & (w.lanes - 1);
    return w.exec() == 0 ? 0 : static_cast<u32>(std::countr_zero(w.exec()));
}

}  // namespace

group_checks::group_checks(const work_group& group, const std::vector<effects>& all, u32 vectors, u32 lanes, u32 lds_bytes,
                           u32 scratch_bytes)
    : group_(group), effects_(all), lds_(lds_bytes)
{
    waves_.reserve(group.waves.size());
    for (std::size_t i = 0; i < group.waves.size(); ++i)
        waves_.push_back({.registers = wave_shadow(vectors, lanes),
                          .scratch = std::vector<u8>(std::size_t{scratch_bytes} * lanes),
                          .clock = {}});
}

void group_checks::begin()
{
    for (const wave_state& each : waves_) clock_begin_ = std::max(clock_begin_, each.clock.signals + 1);
    lds_.begin();
    first_signal_.phase = ~0U;
}

void group_checks::begin(const wave& w, const scalar_set& given)
{
    wave_state& state = waves_[w.number];
    state.registers.begin(w, given);
    std::fill(state.scratch.begin(), state.scratch.end(), u8{0xFF});
    state.clock = {clock_begin_, clock_begin_};
    state.has_signalled = false;
}

void group_checks::run(wave& w, const operation& op, u32 number)
{
    const effects& e = effects_[number];
    switch (e.kind) {
        case effect_kind::compute:
            return compute(w, op, e);
        case effect_kind::memory:
            return access(w, op, e, number);
        case effect_kind::branch:
            return branch(w, op, e);
        case effect_kind::jump:
            require_scalars(w, e.scalar_reads, "the address of a jump");
            op.run(w, op);
            waves_[w.number].registers.undefined_scalars.remove(e.scalar_writes);
            return;
        case effect_kind::untested:
            op.run(w, op);
            return;
    }
}

void group_checks::compute(wave& w, const operation& op, const effects& e)
{
    if (op.is_indexed && (waves_[w.number].registers.scalar_bits(scalar::m0) & index_bits) != 0)
        throw fault(fmt::format("the number of a register depends on {}, which nothing wrote",
                                waves_[w.number].registers.scalar_origins[scalar::m0].text()));
    if (op.is_indexed) return compute_exactly(w, op, indexed_effects(w, op, e));
    compute_exactly(w, op, e);
}

void group_checks::compute_exactly(wave& w, const operation& op, const effects& e)
{
    wave_shadow& registers = waves_[w.number].registers;
    const u64 exec = w.exec();
    u64 read = e.crosses_lanes ? w.all_lanes() : exec, written = e.ignores_exec ? w.all_lanes() : exec;
    if (e.lane != one_lane::none) read = written = u64{1} << lane_of(w, op, e);
    const bool reads_undefined = (registers.lanes_of(e.reads) & read) != 0 ||
                                 e.scalar_reads.meets(registers.undefined_scalars) ||
                                 (registers.scc && (e.reads_scc || e.is_scalar));
    if (reads_undefined) return run_by_trial(w, op, e, registers);
    op.run(w, op);
    registers.define(e.writes, written);
    registers.undefined_scalars.remove(e.scalar_writes);
}

/// A branch on VCC is decided where one defined bit is set, or none can be.
void group_checks::branch(wave& w, const operation& op, const effects& e)
{
    const wave_shadow& registers = waves_[w.number].registers;
    if (e.reads_scc && registers.scc)
        throw fault(fmt::format("the branch depends on {}, which nothing wrote", registers.scc_origin.text()));
    if (!e.reads_scc && e.scalar_reads.meets(registers.undefined_scalars)) {
        u32 defined = 0, undefined = 0, from = scalar::vcc;
        for (u32 i = scalar::vcc; i < scalar::vcc + w.lanes / 32; ++i) {
            defined |= w.s[i] & ~registers.scalar_bits(i);
            undefined |= registers.scalar_bits(i);
            if (registers.scalar_bits(i) != 0) from = i;
        }
        if (defined == 0 && undefined != 0)
            throw fault(fmt::format("the branch depends on {}, which nothing wrote", registers.scalar_origins[from].text()));
    }
    op.run(w, op);
}

void group_checks::require_scalars(const wave& w, const scalar_set& of, const char* what) const
{
    const wave_shadow& registers = waves_[w.number].registers;
    if (!of.meets(registers.undefined_scalars)) return;
    for (u32 i = 0; i < scalar::exec; ++i)
        if (of.has(i) && registers.undefined_scalars.has(i))
            throw fault(fmt::format("{}, {}, depends on {}, which nothing wrote", what, scalar_name(i),
                                    registers.scalar_origins[i].text()));
}

std::string group_checks::place_of(u32 number) const
{
    const operation& op = group_.code->operations[number];
    return fmt::format("{:#x} '{}'", op.address, *op.text);
}

void group_checks::signal(const wave& w)
{
    wave_state& state = waves_[w.number];
    if (state.has_signalled) throw fault("the wave signals the barrier again before it has waited for it");
    const u32 here = w.next - 1;
    if (first_signal_.phase != group_.phase) first_signal_ = {group_.phase, w.number, here};
    if (first_signal_.operation != here)
        throw fault(fmt::format("wave {} is at another barrier of the same phase, at {}", first_signal_.wave,
                                place_of(first_signal_.operation)));
    state.has_signalled = true;
    ++state.clock.signals;
}

void group_checks::wait(const wave& w)
{
    wave_state& state = waves_[w.number];
    if (!state.has_signalled) throw fault("the wave waits for a barrier that it has not signalled");
    state.has_signalled = false;
    state.clock.waits = state.clock.signals;
}

std::string waves_and_places(const work_group& group)
{
    std::string made;
    for (const wave& each : group.waves) {
        if (each.state == wave_state::ended) continue;
        // A wave that waits is past its barrier; others are named by what they would do next.
        const operation& op = group.code->operations[each.next - (each.state == wave_state::waiting ? 1 : 0)];
        made += fmt::format("{}wave {} at {:#x} '{}'", made.empty() ? "" : ", ", each.number, op.address, *op.text);
    }
    return made;
}

}  // namespace mhc::emulator
