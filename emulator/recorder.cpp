// emulator/recorder.cpp -- executions by number, bytes by lane, lines by instruction.
#include "emulator/recorder.hpp"

#include <algorithm>

#include "emulator/lanes.hpp"
#include "emulator/lds_banks.hpp"

namespace mhc::emulator {

recorder::recorder(const program& code, u32 line_bytes, std::array<address_range, 2> uncounted,
                   std::span<const address_range> shared)
    : code_(code),
      line_shift_(static_cast<u32>(std::countr_zero(line_bytes))),
      uncounted_(uncounted),
      shared_(shared),
      executed_(code.operations.size())
{
}

void recorder::accesses_memory(u64 active, const u64* addresses, u32 bytes, bool is_write)
{
    if (active == 0 || is_uncounted(addresses[std::countr_zero(active)])) return;
    (is_write ? sums_.bytes_written : sums_.bytes_read) += static_cast<u64>(std::popcount(active)) * bytes;
    for (u64 left = active; left != 0; left &= left - 1) {
        const u64 address = addresses[std::countr_zero(left)];
        if (is_shared(address)) sums_.shared_bytes += bytes;
        ask_for(address >> line_shift_, (address + bytes - 1) >> line_shift_);
    }
    end_instruction();
}

void recorder::reads_by_scalar(u64 address, u32 bytes)
{
    if (is_uncounted(address)) return;
    sums_.scalar_bytes_read += bytes;
    if (is_shared(address)) sums_.shared_bytes += bytes;
    ask_for(address >> line_shift_, (address + bytes - 1) >> line_shift_);
    end_instruction();
}

bool recorder::is_uncounted(u64 address) const
{
    return std::any_of(uncounted_.begin(), uncounted_.end(), [&](const address_range& one) { return one.holds(address); });
}

bool recorder::is_shared(u64 address) const
{
    return std::any_of(shared_.begin(), shared_.end(), [&](const address_range& one) { return one.holds(address); });
}

void recorder::ask_for(u64 first_line, u64 last_line)
{
    for (u64 line = first_line; line <= last_line; ++line)
        if (std::find(asked_.rbegin(), asked_.rend(), line) == asked_.rend()) asked_.push_back(line);
}

void recorder::end_instruction()
{
    for (std::size_t at = 0; at < asked_.size();) {
        u32 count = 1;
        while (at + count < asked_.size() && asked_[at + count] == asked_[at] + count) ++count;
        lines_.push_back(make_line_run(asked_[at], count));
        at += count;
    }
    lines_.back() |= last_of_instruction;
    asked_.clear();
}

void recorder::accesses_lds(const wave& w, u32 number)
{
    const counting_rule& rule = code_.rules[number];
    const operation& op = code_.operations[number];
    row buffer, places;
    const u32* address = read(w, op, op.from[0], 0, buffer);
    for (u32 place = 0; place < rule.lds_places; ++place) {
        const u32 scale = rule.lds_places == 1 ? 1U : u32{rule.lds_bytes} * rule.lds_stride;
        const u32 offset = static_cast<u32>(place == 0 ? op.offset : op.offset_1) * scale;
        for (u32 lane = 0; lane < w.lanes; ++lane) places[lane] = address[lane] + offset;
        sums_.lds_conflict_cycles += lds_conflict_cycles(places.at, w.exec(), w.lanes, rule.lds_bytes, rule.is_lds_read);
    }
}

jit::execution_counts recorder::counts() const
{
    jit::execution_counts made = sums_;
    made.lds_cycles += made.lds_conflict_cycles;
    const std::array<u64*, instruction_class_count> by_class = {&made.vector,        &made.transcendental, &made.scalar,
                                                                &made.scalar_memory, &made.global,         &made.lds,
                                                                &made.matrix,        &made.other};
    for (std::size_t i = 0; i < executed_.size(); ++i) {
        *by_class[static_cast<std::size_t>(code_.rules[i].of)] += executed_[i];
        if (code_.rules[i].is_barrier) made.barriers += executed_[i];
    }
    return made;
}

}  // namespace mhc::emulator
