// emulator/scalar_memory.cpp -- s_load: words at the same address for the whole wave.
#include <fmt/format.h>

#include <cstring>

#include "emulator/handlers.hpp"
#include "emulator/lanes.hpp"
#include "emulator/recorder.hpp"

namespace mhc::emulator {
namespace {

template <u32 Words>
void load(wave& w, const operation& op)
{
    const u64 base = joined(w.s[op.from[0].index], w.s[op.from[0].index + 1]);
    const operand& added = op.from[1];  // a constant, a register with the constant behind it, or nothing
    u64 address = base + static_cast<u64>(i64{op.offset});
    if (added.kind == operand_kind::constant)
        address += joined(added.value, added.high);
    else if (added.kind == operand_kind::scalar)
        address += w.s[added.index];
    address &= ~u64{3};  // the machine ignores the low bits
    const memory_map& memory = *w.group->memory;
    if (memory.find(address, Words * 4) == nullptr)
        throw fault(fmt::format("a read of {} bytes at {:#x}, {}", Words * 4, address, memory.describe(address)));
    if (w.group->counts != nullptr) w.group->counts->reads_by_scalar(address, Words * 4);
    u32 words[Words];
    std::memcpy(words, reinterpret_cast<const void*>(static_cast<std::uintptr_t>(address)), sizeof(words));
    for (u32 i = 0; i < Words; ++i) w.set_scalar(op.to[0].index + i, words[i]);
}

void nothing(wave&, const operation&) {}

const handler_entry entries[] = {
    {"s_load_dword", load<1>},
    {"s_load_dwordx2", load<2>},
    {"s_load_dwordx3", load<3>},
    {"s_load_dwordx4", load<4>},
    {"s_load_dwordx8", load<8>},
    {"s_load_dwordx16", load<16>},
    {"s_dcache_inv", nothing, 0, operand_rule::ignored},
    {"s_dcache_wb", nothing, 0, operand_rule::ignored},
};

}  // namespace

handler_family scalar_memory_family() { return entries; }

}  // namespace mhc::emulator
