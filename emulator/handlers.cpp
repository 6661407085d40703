// emulator/handlers.cpp -- all families by name, dual issue, and what stands for an unknown instruction.
#include "emulator/handlers.hpp"

#include <fmt/format.h>

#include <unordered_map>

#include "emulator/lanes.hpp"

namespace mhc::emulator {

const handler_entry* find_handler(std::string_view canonical_name)
{
    static const auto table = [] {
        std::unordered_map<std::string_view, const handler_entry*> all;
        for (const handler_family family : {control_family(),
                                            scalar_integer_family(),
                                            scalar_float_family(),
                                            scalar_memory_family(),
                                            vector_integer_family(),
                                            vector_float_family(),
                                            vector_half_family(),
                                            vector_packed_family(),
                                            vector_division_family(),
                                            vector_convert_family(),
                                            vector_compare_family(),
                                            lane_family(),
                                            lds_family(),
                                            global_family(),
                                            scratch_family(),
                                            vector_fp8_family(),
                                            memory_atomic_family(),
                                            lds_atomic_family(),
                                            matrix_family(),
                                            matrix_wave32_family(),
                                            vector_double_family(),
                                            vector_packed_half_family(),
                                            vector_short_family(),
                                            vector_half_more_family(),
                                            scalar_half_family()})
            for (const handler_entry& entry : family) all.emplace(entry.name, &entry);
        return all;
    }();
    const auto found = table.find(canonical_name);
    return found == table.end() ? nullptr : found->second;
}

/// Both halves read before either writes. They write different registers, so what the first wrote is put aside while the
/// second reads.
void run_dual(wave& w, const operation& op)
{
    const operation& first = w.halves[op.other];
    const operation& second = w.halves[op.other + 1];
    u32* const written = w.vector(first.to[0].index);
    row before, after;
    std::memcpy(before.at, written, w.lanes * sizeof(u32));
    first.run(w, first);
    std::memcpy(after.at, written, w.lanes * sizeof(u32));
    std::memcpy(written, before.at, w.lanes * sizeof(u32));
    second.run(w, second);
    std::memcpy(written, after.at, w.lanes * sizeof(u32));
}

void run_unknown(wave&, const operation& op) { throw fault(fmt::format("the emulator does not know '{}'", *op.text)); }

}  // namespace mhc::emulator
