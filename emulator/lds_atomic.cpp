// emulator/lds_atomic.cpp -- atomic operations on LDS, lane after lane: the waves of a work-group run on one thread.
#include <fmt/format.h>

#include "emulator/atomics.hpp"
#include "emulator/handlers.hpp"
#include "emulator/lanes.hpp"

namespace mhc::emulator {
namespace {

template <class T>
u8* place(const wave& w, u32 lane, u32 address)
{
    std::vector<u8>& lds = w.group->lds;
    const bool is_inside = address <= lds.size() && lds.size() - address >= sizeof(T);
    if (is_inside && address % sizeof(T) == 0) return lds.data() + address;
    throw fault(fmt::format("lane {}: an atomic operation on LDS bytes {} to {}, of {} that the kernel has", lane, address,
                            u64{address} + sizeof(T) - 1, lds.size()),
                static_cast<int>(lane));
}

template <class T>
T data_of(const wave& w, const operand& from, u32 lane)
{
    const u32* low = w.vector(from.index);
    return sizeof(T) == 4 ? static_cast<T>(low[lane]) : static_cast<T>(joined(low[lane], low[w.lanes + lane]));
}

/// `make(old, lane)` gives the new value; the old one goes to the destination where there is one.
template <class T, class F>
void each_place(wave& w, const operation& op, F make)
{
    row buffer, low, high;
    const u32* address = read(w, op, op.from[0], 0, buffer);
    for (u32 lane = 0; lane < w.lanes; ++lane) {
        if (w.active[lane] == 0) continue;
        u8* const at = place<T>(w, lane, address[lane] + static_cast<u32>(op.offset));
        T old{};
        std::memcpy(&old, at, sizeof(T));
        const T made = make(old, lane);
        std::memcpy(at, &made, sizeof(T));
        low[lane] = static_cast<u32>(old), high[lane] = static_cast<u32>(u64{old} >> 32);
    }
    if (op.to[0].kind == operand_kind::none) return;
    write(w, op, low, 0);
    if (sizeof(T) == 8) write(w, op, high, 1);
}

template <class T, T F(T, T)>
void modify(wave& w, const operation& op)
{
    each_place<T>(w, op, [&](T old, u32 lane) { return F(old, data_of<T>(w, op.from[1], lane)); });
}
/// gfx9's ds_cmpst has the value to compare with first; gfx11's ds_cmpstore has it second.
template <class T, u32 Compared>
void compare_and_store(wave& w, const operation& op)
{
    each_place<T>(w, op, [&](T old, u32 lane) {
        return old == data_of<T>(w, op.from[Compared], lane) ? data_of<T>(w, op.from[3 - Compared], lane) : old;
    });
}

#define MHC_LDS(name, type, T, ...) \
    {"ds_" name "_" type, modify<T, __VA_ARGS__>, 0}, { "ds_" name "_rtn_" type, modify<T, __VA_ARGS__> }
#define MHC_LDS_WIDTHS(name, type, F) \
    MHC_LDS(name, type "32", u32, atomics::F<u32>), MHC_LDS(name, type "64", u64, atomics::F<u64>)

const handler_entry entries[] = {
    MHC_LDS_WIDTHS("add", "u", add),
    MHC_LDS_WIDTHS("sub", "u", subtract),
    MHC_LDS_WIDTHS("rsub", "u", subtract_from),
    MHC_LDS_WIDTHS("inc", "u", increment),
    MHC_LDS_WIDTHS("dec", "u", decrement),
    MHC_LDS_WIDTHS("min", "u", least_unsigned),
    MHC_LDS_WIDTHS("max", "u", most_unsigned),
    MHC_LDS_WIDTHS("min", "i", least_signed),
    MHC_LDS_WIDTHS("max", "i", most_signed),
    MHC_LDS_WIDTHS("and", "b", bits_and),
    MHC_LDS_WIDTHS("or", "b", bits_or),
    MHC_LDS_WIDTHS("xor", "b", bits_xor),
    MHC_LDS("min", "f32", u32, smaller),
    MHC_LDS("max", "f32", u32, larger),
    MHC_LDS("min_num", "f32", u32, smaller),
    MHC_LDS("max_num", "f32", u32, larger),
    MHC_LDS("min", "f64", u64, smaller_double),
    MHC_LDS("max", "f64", u64, larger_double),
    MHC_LDS("add", "f32", u32, atomics::add_single),
    MHC_LDS("add", "f64", u64, atomics::add_double),
    MHC_LDS("pk_add", "f16", u32, atomics::add_halves),
    MHC_LDS("pk_add", "bf16", u32, atomics::add_bfloats),
    {"ds_wrxchg_rtn_b32", modify<u32, atomics::swap<u32>>},
    {"ds_wrxchg_rtn_b64", modify<u64, atomics::swap<u64>>},
    {"ds_storexchg_rtn_b32", modify<u32, atomics::swap<u32>>},
    {"ds_storexchg_rtn_b64", modify<u64, atomics::swap<u64>>},
    {"ds_cmpst_b32", compare_and_store<u32, 1>, 0},
    {"ds_cmpst_b64", compare_and_store<u64, 1>, 0},
    {"ds_cmpst_rtn_b32", compare_and_store<u32, 1>},
    {"ds_cmpst_rtn_b64", compare_and_store<u64, 1>},
    {"ds_cmpstore_b32", compare_and_store<u32, 2>, 0},
    {"ds_cmpstore_b64", compare_and_store<u64, 2>, 0},
    {"ds_cmpstore_rtn_b32", compare_and_store<u32, 2>},
    {"ds_cmpstore_rtn_b64", compare_and_store<u64, 2>},
};

}  // namespace

handler_family lds_atomic_family() { return entries; }

}  // namespace mhc::emulator
