// emulator/scalar_memory.cpp -- s_load and s_buffer_load: the same words, or a part of one, for the whole wave.
#include <fmt/format.h>

#include <cstring>

#include "emulator/handlers.hpp"
#include "emulator/lanes.hpp"
#include "emulator/recorder.hpp"

namespace mhc::emulator {
namespace {

/// What the instruction adds to its base: a constant, a register with the constant behind it, or nothing.
u64 added_offset(const wave& w, const operation& op)
{
    const operand& added = op.from[1];
    u64 sum = static_cast<u64>(i64{op.offset});
    if (added.kind == operand_kind::constant)
        sum += joined(added.value, added.high);
    else if (added.kind == operand_kind::scalar)
        sum += w.s[added.index];
    return sum;
}

const void* readable(const wave& w, u64 address, u32 bytes)
{
    const memory_map& memory = *w.group->memory;
    if (memory.find(address, bytes) == nullptr)
        throw fault(fmt::format("a read of {} bytes at {:#x}, {}", bytes, address, memory.describe(address)));
    if (w.group->counts != nullptr) w.group->counts->reads_by_scalar(address, bytes);
    return reinterpret_cast<const void*>(static_cast<std::uintptr_t>(address));
}

/// The machine ignores the low bits of an address. A kernel that has some there reads what it does not mean.
u64 aligned(const wave& w, u64 address, u64 unit)
{
    if (w.group->checks != nullptr && address % unit != 0)
        throw fault(fmt::format("the address {:#x} is no multiple of {}: the machine reads at {:#x}", address, unit,
                                address / unit * unit));
    return address / unit * unit;
}

template <u32 Words>
void give_words(wave& w, const operation& op, u64 address)
{
    u32 words[Words];
    std::memcpy(words, readable(w, aligned(w, address, sizeof(u32)), sizeof(words)), sizeof(words));
    for (u32 i = 0; i < Words; ++i) w.set_scalar(op.to[0].index + i, words[i]);
}
/// A byte or 16 bits, extended: gfx12.
template <class T>
void give_part(wave& w, const operation& op, u64 address)
{
    T value{};
    std::memcpy(&value, readable(w, aligned(w, address, sizeof(T)), sizeof(T)), sizeof(T));
    w.set_scalar(op.to[0].index, static_cast<u32>(static_cast<i32>(value)));
}

template <auto Give>
void load(wave& w, const operation& op)
{
    Give(w, op, joined(w.s[op.from[0].index], w.s[op.from[0].index + 1]) + added_offset(w, op));
}

/// Through a buffer's descriptor: 48 bits of address, 14 of stride, then the number of its bytes, or of strides. What is
/// outside reads as 0 (MI300 ISA, "Scalar Memory Reads": the range check).
template <auto Give, u32 Bytes>
void load_from_buffer(wave& w, const operation& op)
{
    const u32* descriptor = w.s + op.from[0].index;
    const u64 base = joined(descriptor[0], descriptor[1] & 0xFFFFU);
    const u32 stride = descriptor[1] >> 16 & 0x3FFFU;
    const u64 size = u64{descriptor[2]} * (stride == 0 ? 1 : stride);
    const u64 offset = aligned(w, added_offset(w, op), Bytes >= 4 ? 4 : Bytes);
    if (offset + Bytes <= size) return Give(w, op, base + offset);
    constexpr u32 words = Bytes < 4 ? 1 : Bytes / 4;
    for (u32 i = 0; i < words; ++i) {
        u32 value = 0;
        if (offset + i * 4 + 4 <= size) std::memcpy(&value, readable(w, base + offset + i * 4, 4), 4);
        w.set_scalar(op.to[0].index + i, value);
    }
}

void nothing(wave&, const operation&) {}

#define MHC_SCALAR_LOAD(kind, Give, Bytes) \
    {"s_load_" kind, load<Give>}, { "s_buffer_load_" kind, load_from_buffer<Give, Bytes> }

const handler_entry entries[] = {
    MHC_SCALAR_LOAD("dword", give_words<1>, 4),
    MHC_SCALAR_LOAD("dwordx2", give_words<2>, 8),
    MHC_SCALAR_LOAD("dwordx3", give_words<3>, 12),
    MHC_SCALAR_LOAD("dwordx4", give_words<4>, 16),
    MHC_SCALAR_LOAD("dwordx8", give_words<8>, 32),
    MHC_SCALAR_LOAD("dwordx16", give_words<16>, 64),
    MHC_SCALAR_LOAD("u8", give_part<u8>, 1),
    MHC_SCALAR_LOAD("i8", give_part<i8>, 1),
    MHC_SCALAR_LOAD("u16", give_part<u16>, 2),
    MHC_SCALAR_LOAD("i16", give_part<i16>, 2),
    {"s_dcache_inv", nothing, 0, operand_rule::ignored},
    {"s_dcache_wb", nothing, 0, operand_rule::ignored},
};

}  // namespace

handler_family scalar_memory_family() { return entries; }

}  // namespace mhc::emulator
