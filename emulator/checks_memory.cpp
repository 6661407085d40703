// emulator/checks_memory.cpp -- accesses under the checks: addresses and what is stored to memory must be defined; LDS and
// scratch keep undefined bits for those who read them.
#include <fmt/format.h>

#include <algorithm>

#include "emulator/buffer_memory.hpp"
#include "emulator/checks.hpp"
#include "emulator/scratch.hpp"

namespace mhc::emulator {

/// What a load brings into one word of its destination.
struct group_checks::lane_access {
    u32 lane = 0, word = 0;
    u32 undefined = 0;
    origin from;
};

namespace {

/// Parts of words are brought and stored where the instruction's half of a register is.
u32 bits_of_bytes(u32 bytes) { return bytes >= 4 ? ~0U : (1U << (bytes * 8)) - 1; }

}  // namespace

u32 group_checks::data_bits(const wave& w, const operation& op, const effects& e, u32 lane, u32 word) const
{
    const memory_access& m = e.memory;
    const u32 words = (m.bytes + 3U) / 4;  // of an element; the second one has its own operand
    const operand& data = op.from[m.data + word / words];
    if (data.kind != operand_kind::vector) return 0;
    const u32 undefined = waves_[w.number].registers.bits(data.index + word % words, lane);
    return undefined >> m.shift & bits_of_bytes(m.bytes);
}

void group_checks::require_address(const wave& w, const operation& op, const effects& e) const
{
    const wave_shadow& registers = waves_[w.number].registers;
    require_scalars(w, e.scalar_reads, "the address");
    if (e.memory.space == memory_space::scalar) return;
    const operand& address = op.from[e.memory.address];
    if (address.kind != operand_kind::vector) return;
    for (u32 i = address.index; i < u32{address.index} + address.words; ++i) {
        const u64 lanes = registers.lanes_of(i) & w.exec();
        if (lanes == 0) continue;
        const int lane = std::countr_zero(lanes);
        throw fault(fmt::format("lane {}: the address, {}, depends on {}, which nothing wrote", lane, vector_name(i),
                                registers.vector_origins[i].text()),
                    lane);
    }
}

void group_checks::require_data(const wave& w, const operation& op, const effects& e) const
{
    const wave_shadow& registers = waves_[w.number].registers;
    if ((registers.lanes_of(e.reads) & w.exec()) == 0) return;
    const u32 words = (e.memory.bytes + 3U) / 4;
    for (u64 left = w.exec(); left != 0; left &= left - 1)
        for (u32 word = 0; word < words; ++word) {
            const int lane = std::countr_zero(left);
            if (data_bits(w, op, e, static_cast<u32>(lane), word) == 0) continue;
            const u32 data = op.from[e.memory.data].index + word;
            throw fault(fmt::format("lane {}: what is stored, {}, depends on {}, which nothing wrote", lane,
                                    vector_name(data), registers.vector_origins[data].text()),
                        lane);
        }
}

/// The destination holds what was read; `read` has its undefined parts. Half a word leaves the other half as it was.
void group_checks::give_result(const wave& w, const operation& op, const effects& e, const std::vector<lane_access>& read)
{
    wave_shadow& registers = waves_[w.number].registers;
    registers.undefined_scalars.remove(e.scalar_writes);
    if (e.memory.kept == 0) {
        registers.define(e.writes, w.exec());
    } else {
        const u32 to = op.to[0].index;
        for (u64 left = w.exec() & registers.lanes_of(to); left != 0; left &= left - 1) {
            const auto lane = static_cast<u32>(std::countr_zero(left));
            registers.set_bits(to, lane, registers.bits(to, lane) & e.memory.kept);
        }
    }
    const u32 shift = e.memory.kept == 0xFFFFU ? 16 : 0;
    // Bytes are extended into the rest of their half or word, which is then as undefined as they are.
    const bool is_narrow = e.memory.bytes < 4;
    for (auto at = read.rbegin(); at != read.rend(); ++at) {  // so that the first lane is the one that messages name
        const lane_access& each = *at;
        const u32 to = op.to[0].index + each.word;
        const u32 undefined = !is_narrow ? each.undefined : e.memory.kept == 0 ? ~0U : 0xFFFFU << shift;
        registers.set_bits(to, each.lane, registers.bits(to, each.lane) | undefined);
        registers.vector_origins[to] = each.from;
    }
}

void group_checks::access(wave& w, const operation& op, const effects& e, u32 number)
{
    if (w.exec() != 0 || e.memory.space == memory_space::scalar) require_address(w, op, e);
    switch (e.memory.space) {
        case memory_space::lds:
            return access_lds(w, op, e, number);
        case memory_space::scratch:
            return access_scratch(w, op, e);
        case memory_space::buffer:
            return is_memory_buffer(w, op, e.memory.address) ? access_memory(w, op, e) : access_scratch(w, op, e);
        case memory_space::buffer_to_lds:
            return load_to_lds(w, op, e, number);
        default:
            return access_memory(w, op, e);
    }
}

void group_checks::access_memory(wave& w, const operation& op, const effects& e)
{
    if (e.memory.is_store || e.memory.is_atomic) require_data(w, op, e);
    op.run(w, op);
    give_result(w, op, e, {});
}

/// Memory is defined, so LDS is where it was copied to.
void group_checks::load_to_lds(wave& w, const operation& op, const effects& e, u32 number)
{
    const std::size_t size = w.group->lds.size();
    for (u64 left = w.exec(); left != 0; left &= left - 1) {
        const auto lane = static_cast<u32>(std::countr_zero(left));
        const u32 byte = lds_place_of_load(w, op, lane);
        if (byte > size || size - byte < e.memory.bytes) continue;  // the instruction will say so
        touch_lds(w, lane, byte, e, number);
        lds_.set_bits(byte, e.memory.bytes, 0);
    }
    op.run(w, op);
}

void group_checks::touch_lds(const wave& w, u32 lane, u32 byte, const effects& e, u32 number)
{
    const memory_access& m = e.memory;
    const bool is_write = m.is_store || m.is_atomic;
    const lds_shadow::note* other =
        lds_.touch(byte, m.bytes, {w.number, number, waves_[w.number].clock, is_write, m.is_atomic});
    if (other == nullptr) return;
    throw fault(
        fmt::format("lane {}: a race for LDS bytes {} to {}: wave {} {} them, and no barrier is between that and wave "
                    "{} at {}",
                    lane, byte, byte + m.bytes - 1, w.number, is_write ? "writes" : "reads", other->wave,
                    place_of(other->operation)),
        static_cast<int>(lane));
}

void group_checks::access_lds(wave& w, const operation& op, const effects& e, u32 number)
{
    const memory_access& m = e.memory;
    const wave_shadow& registers = waves_[w.number].registers;
    const bool is_write = m.is_store || m.is_atomic;
    if (m.is_atomic) require_data(w, op, e);
    const bool stores_undefined = is_write && (registers.lanes_of(e.reads) & w.exec()) != 0;
    const operand& address = op.from[m.address];
    const u32 words = (m.bytes + 3U) / 4;
    std::vector<lane_access> read;
    for (u64 left = w.exec(); left != 0; left &= left - 1) {
        const auto lane = static_cast<u32>(std::countr_zero(left));
        const u32 begin = address.kind == operand_kind::vector ? w.vector(address.index)[lane] : scalar_word(w, address);
        for (u32 element = 0; element < m.elements; ++element) {
            const u32 byte = begin + m.offsets[element];
            const std::size_t size = w.group->lds.size();
            if (byte > size || size - byte < m.bytes) continue;  // the instruction will say so
            touch_lds(w, lane, byte, e, number);
            const bool is_plain = is_write ? !stores_undefined : lds_.is_defined(byte, m.bytes);
            if (is_plain && !is_write) continue;
            for (u32 word = 0; word < words; ++word) {
                const u32 at = byte + word * 4, count = std::min<u32>(4, m.bytes - word * 4);
                if (is_write) {
                    const u32 undefined = is_plain ? 0 : data_bits(w, op, e, lane, element * words + word);
                    lds_.set_bits(at, count, undefined);
                    const u32 from = op.from[m.data + element].index + word;
                    if (undefined != 0) lds_.set_origin(at, registers.vector_origins[from]);
                } else if (const u32 undefined = lds_.bits(at, count); undefined != 0) {
                    const u32 first = at + static_cast<u32>(std::countr_zero(undefined)) / 8;
                    read.push_back({lane, element * words + word, undefined, lds_.origin_of(first)});
                }
            }
        }
    }
    op.run(w, op);
    give_result(w, op, e, read);
}

void group_checks::access_scratch(wave& w, const operation& op, const effects& e)
{
    const memory_access& m = e.memory;
    wave_state& state = waves_[w.number];
    row offsets;
    scratch_offsets(w, op, m.address, m.bytes, offsets);
    std::vector<lane_access> read;
    for (u64 left = w.exec(); left != 0; left &= left - 1) {
        const auto lane = static_cast<u32>(std::countr_zero(left));
        for (u32 word = 0; word * 4 < m.bytes; ++word) {
            u32 undefined = m.is_store ? data_bits(w, op, e, lane, word) : 0;
            const u32 count = std::min<u32>(4, m.bytes - word * 4);
            for (u32 i = 0; i < count; ++i) {
                u8& byte = state.scratch[scratch_place(w, lane, offsets[lane] + word * 4 + i)];
                if (m.is_store)
                    byte = static_cast<u8>(undefined >> (i * 8));
                else
                    undefined |= u32{byte} << (i * 8);
            }
            if (!m.is_store && undefined != 0)
                read.push_back({lane, word, undefined, {origin::kind::scratch, offsets[lane] + word * 4}});
        }
    }
    op.run(w, op);
    give_result(w, op, e, read);
}

}  // namespace mhc::emulator
