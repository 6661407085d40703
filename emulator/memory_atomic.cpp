// emulator/memory_atomic.cpp -- atomic operations on memory. Lanes go in the order of their numbers, which is one of those
// that hardware may take; work-groups on other threads come in between lanes.
#include <atomic>

#include "emulator/atomics.hpp"
#include "emulator/handlers.hpp"
#include "emulator/lane_addresses.hpp"

namespace mhc::emulator {
namespace {

template <class T>
T data_of(const wave& w, const operand& from, u32 lane, u32 number = 0)
{
    constexpr u32 words = sizeof(T) / 4;
    const u32* low = w.vector(from.index + number * words);
    return words == 1 ? static_cast<T>(low[lane]) : static_cast<T>(joined(low[lane], low[w.lanes + lane]));
}

/// `exchange(place, lane)` gives the old value, which goes to the destination where there is one.
template <class T, class F>
void each_place(wave& w, const operation& op, F exchange)
{
    addresses all;
    if (!addresses_of(w, op, 0, 2, all)) return;
    check(w, all, sizeof(T), true);
    row low, high;
    for (u32 lane = 0; lane < w.lanes; ++lane) {
        if (w.active[lane] == 0) continue;
        if (all.at[lane] % sizeof(T) != 0)
            throw fault("an atomic operation at an address that is not aligned", static_cast<int>(lane));
        const u64 old = exchange(std::atomic_ref(*static_cast<T*>(host_to_write(all.at[lane]))), lane);
        low[lane] = static_cast<u32>(old), high[lane] = static_cast<u32>(old >> 32);
    }
    if (op.to[0].kind == operand_kind::none) return;
    write(w, op, low, 0);
    if (sizeof(T) == 8) write(w, op, high, 1);
}

template <class T, T F(T, T)>
void modify(wave& w, const operation& op)
{
    each_place<T>(w, op, [&](std::atomic_ref<T> place, u32 lane) {
        const T data = data_of<T>(w, op.from[1], lane);
        T old = place.load();
        while (!place.compare_exchange_weak(old, F(old, data))) {
        }
        return old;
    });
}

/// The data is the new value, then the one to compare with.
template <class T>
void compare_and_swap(wave& w, const operation& op)
{
    each_place<T>(w, op, [&](std::atomic_ref<T> place, u32 lane) {
        T expected = data_of<T>(w, op.from[1], lane, 1);
        place.compare_exchange_strong(expected, data_of<T>(w, op.from[1], lane));
        return expected;  // the old value in both cases
    });
}

// The first name of each is gfx9's, the second that of gfx11 and gfx12.
#define MHC_ATOMIC(kind, old_name, new_name, T, ...)                                  \
    {kind "_atomic_" old_name, modify<T, __VA_ARGS__>, 0, operand_rule::may_return},  \
    {                                                                                 \
        kind "_atomic_" new_name, modify<T, __VA_ARGS__>, 0, operand_rule::may_return \
    }
#define MHC_ATOMIC_WIDTHS(kind, old_name, name, type, F)                  \
    MHC_ATOMIC(kind, old_name, name "_" type "32", u32, atomics::F<u32>), \
        MHC_ATOMIC(kind, old_name "_x2", name "_" type "64", u64, atomics::F<u64>)
#define MHC_ATOMICS(kind)                                                                                                  \
    MHC_ATOMIC_WIDTHS(kind, "add", "add", "u", add), MHC_ATOMIC_WIDTHS(kind, "sub", "sub", "u", subtract),                 \
        MHC_ATOMIC_WIDTHS(kind, "swap", "swap", "b", swap), MHC_ATOMIC_WIDTHS(kind, "and", "and", "b", bits_and),          \
        MHC_ATOMIC_WIDTHS(kind, "or", "or", "b", bits_or), MHC_ATOMIC_WIDTHS(kind, "xor", "xor", "b", bits_xor),           \
        MHC_ATOMIC_WIDTHS(kind, "umin", "min", "u", least_unsigned),                                                       \
        MHC_ATOMIC_WIDTHS(kind, "umax", "max", "u", most_unsigned),                                                        \
        MHC_ATOMIC_WIDTHS(kind, "smin", "min", "i", least_signed),                                                         \
        MHC_ATOMIC_WIDTHS(kind, "smax", "max", "i", most_signed), MHC_ATOMIC_WIDTHS(kind, "inc", "inc", "u", increment),   \
        MHC_ATOMIC_WIDTHS(kind, "dec", "dec", "u", decrement), MHC_ATOMIC(kind, "fmin", "min_f32", u32, smaller),          \
        MHC_ATOMIC(kind, "fmax", "max_f32", u32, larger), MHC_ATOMIC(kind, "min_f64", "min_num_f64", u64, smaller_double), \
        MHC_ATOMIC(kind, "max_f64", "max_num_f64", u64, larger_double),                                                    \
        MHC_ATOMIC(kind, "min_num_f32", "fmin_num", u32, smaller),                                                         \
        MHC_ATOMIC(kind, "max_num_f32", "fmax_num", u32, larger),                                                          \
        {kind "_atomic_add_f32", modify<u32, atomics::add_single>, 0, operand_rule::may_return},                           \
        {kind "_atomic_add_f64", modify<u64, atomics::add_double>, 0, operand_rule::may_return},                           \
        {kind "_atomic_pk_add_f16", modify<u32, atomics::add_halves>, 0, operand_rule::may_return},                        \
        {kind "_atomic_pk_add_bf16", modify<u32, atomics::add_bfloats>, 0, operand_rule::may_return},                      \
        {kind "_atomic_cmpswap", compare_and_swap<u32>, 0, operand_rule::may_return},                                      \
        {kind "_atomic_cmpswap_x2", compare_and_swap<u64>, 0, operand_rule::may_return},                                   \
        {kind "_atomic_cmpswap_b32", compare_and_swap<u32>, 0, operand_rule::may_return},                                  \
    {                                                                                                                      \
        kind "_atomic_cmpswap_b64", compare_and_swap<u64>, 0, operand_rule::may_return                                     \
    }

const handler_entry entries[] = {MHC_ATOMICS("global"), MHC_ATOMICS("flat")};

}  // namespace

handler_family memory_atomic_family() { return entries; }

}  // namespace mhc::emulator
