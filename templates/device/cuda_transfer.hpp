// mhc/device/cuda_transfer.hpp -- the vocabulary of NVIDIA GPUs from compute capability 9.0 on for what is on its way
// between memory, LDS and registers.
#pragma once

#include <mhc/device/cuda_numbers.hpp>

namespace mhc {

/// The value of lane `from` of each group of Lanes, in all of its lanes. All lanes of the warp must call it.
template <int Lanes>
MHC_DEVICE float of_lane(float v, int from)
{
    return __shfl_sync(0xffffffffU, v, from, Lanes);
}

/// 16 bytes at `p`, a multiple of Align, that this block reads once; where MayLack, zeros unless `is_there`. It stays where
/// it is written: loads of a loop run ahead of their use, and none is moved in front of wait_for_last_kernel. A load under
/// an `if` would be waited for where the branches meet.
template <int Align, bool MayLack>
MHC_DEVICE uint4 load_once(const void* p, bool is_there)
{
    uint4 v;
    if constexpr (Align >= 16 && !MayLack) {
        asm volatile("ld.global.L1::no_allocate.L2::128B.v4.u32 {%0, %1, %2, %3}, [%4];"
                     : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
                     : "l"(p));
        return v;
    }
    v = {0, 0, 0, 0};
    if constexpr (Align >= 16) {
        asm volatile(
            "{ .reg .pred there; setp.ne.u32 there, %5, 0; "
            "@there ld.global.L1::no_allocate.L2::128B.v4.u32 {%0, %1, %2, %3}, [%4]; }"
            : "+r"(v.x), "+r"(v.y), "+r"(v.z), "+r"(v.w)
            : "l"(p), "r"(u32(is_there)));
    } else if (!MayLack || is_there) {
        u16 halves[8];
#pragma unroll
        for (int i = 0; i < 8; ++i) {
            const u16* const from = static_cast<const u16*>(p) + i;
            asm volatile("ld.global.u16 %0, [%1];" : "=h"(halves[i]) : "l"(from));
        }
        const auto pair = [&](int i) { return u32(halves[i]) | u32(halves[i + 1]) << 16; };
        v = {pair(0), pair(2), pair(4), pair(6)};
    }
    return v;
}

/// LDS that a launch gives, beside what the kernel declares.
#define MHC_LDS_OF_LAUNCH(name) extern __shared__ uint4 name[]

/// As load_once, into LDS, in the background: this lane sees it there after copies_but.
template <int Align>
MHC_DEVICE void copy_once(uint4* to, const void* p, bool is_there)
{
    if constexpr (Align >= 16)
        asm volatile("cp.async.cg.shared.global.L2::128B [%0], [%1], 16, %2;" ::"r"(u32(__cvta_generic_to_shared(to))),
                     "l"(p), "r"(is_there ? 16 : 0)
                     : "memory");
    else
        *to = load_once<Align, true>(p, is_there);
}
/// The same of one number.
MHC_DEVICE void copy_number(float* to, const float* p, bool is_there)
{
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(u32(__cvta_generic_to_shared(to))), "l"(p),
                 "r"(is_there ? 4 : 0)
                 : "memory");
}
/// What was copied since the last call is one group.
MHC_DEVICE void end_copies() { asm volatile("cp.async.commit_group;" ::: "memory"); }
/// All groups of copies but the last Count have come.
template <int Count>
MHC_DEVICE void copies_but()
{
    asm volatile("cp.async.wait_group %0;" ::"n"(Count) : "memory");
}

/// Words of 16 bytes on their way to a lane, a few sets of them in LDS: more than registers hold.
template <int Words, int Block, int Stages = 3>
struct lane_queue {
    static constexpr int stages = Stages, room = stages * Words * Block;
    static constexpr bool stays = true;  ///< a set's words are there until the next one is asked for
    uint4* lds;                          ///< [stages, Words, Block]

    explicit MHC_MEMBER lane_queue(uint4* room) : lds(room) {}
    template <int Align>
    MHC_MEMBER void ask(int stage, int word, int thread, const void* p, bool is_there)
    {
        copy_once<Align>(lds + (stage * Words + word) * Block + thread, p, is_there);
    }
    MHC_MEMBER void end_set() { end_copies(); }
    /// The oldest set has come.
    MHC_MEMBER void wait() const { copies_but<stages - 1>(); }
    MHC_MEMBER void wait_for_all() const { copies_but<0>(); }
    MHC_MEMBER uint4 word(int stage, int word, int thread) const { return lds[(stage * Words + word) * Block + thread]; }
};
/// Count words for LDS, brought by all lanes of a work-group: they are there after wait_for_all of a queue and a barrier.
template <int Block, int Count>
MHC_DEVICE void bring_words(uint4* to, const uint4* from, int thread)
{
#pragma unroll 8
    for (int e = thread; e < Count; e += Block) copy_once<16>(to + e, from + e, true);
    end_copies();
}

/// LDS for `count` times 16 bytes: given by the launch, since it is more than a kernel may declare.
#define MHC_LARGE_LDS(name, count) MHC_LDS_OF_LAUNCH(name)

/// A word of 8 values, or of 4.
template <int W, class Data>
MHC_DEVICE typename word<2 * W>::type narrow_word(vec<float, W> values, const Data* type)
{
    union {
        vec<u16, W> narrow;
        typename word<2 * W>::type words;
    } v;
    v.narrow = narrow<W>(values, type);
    return v.words;
}
/// 4 values of fp32, as they are.
MHC_DEVICE uint4 narrow_word(vec<float, 4> v, const fp32*)
{
    return {__float_as_uint(v[0]), __float_as_uint(v[1]), __float_as_uint(v[2]), __float_as_uint(v[3])};
}
/// Where is_there: what this kernel does not read, past the cache that its loads use.
MHC_DEVICE void store_word_once(void* to, uint4 v, bool is_there = true)
{
    asm volatile(
        "{ .reg .pred there; setp.ne.u32 there, %5, 0;\n"
        "@there st.global.L1::no_allocate.v4.b32 [%0], {%1, %2, %3, %4}; }" ::"l"(to),
        "r"(v.x), "r"(v.y), "r"(v.z), "r"(v.w), "r"(u32(is_there))
        : "memory");
}
MHC_DEVICE void store_word_once(void* to, uint2 v, bool is_there)
{
    asm volatile(
        "{ .reg .pred there; setp.ne.u32 there, %3, 0;\n@there st.global.L1::no_allocate.v2.b32 [%0], {%1, %2}; }" ::"l"(to),
        "r"(v.x), "r"(v.y), "r"(u32(is_there))
        : "memory");
}
/// 8 values as 16 bytes.
template <class Data>
MHC_DEVICE void store_once(Data* to, vec<float, 8> values)
{
    store_word_once(to, narrow_word(values, to));
}

MHC_DEVICE void store_once(fp32* to, vec<float, 4> values) { store_word_once(to, narrow_word(values, to)); }

/// What the kernel before may have written: as load_once, never moved in front of wait_for_last_kernel.
MHC_DEVICE float load_fresh(const float* p)
{
    float v;
    asm volatile("ld.global.f32 %0, [%1];" : "=f"(v) : "l"(p));
    return v;
}

/// Some waves of a work-group, that have Lanes lanes, meet without the others; who only tells does not wait. Number: from 1
/// on, of each meeting another.
template <int Number, int Lanes>
struct meeting {
    MHC_MEMBER void tell() const { asm volatile("bar.arrive %0, %1;" ::"n"(Number), "n"(Lanes) : "memory"); }
    MHC_MEMBER void meet() const { asm volatile("bar.sync %0, %1;" ::"n"(Number), "n"(Lanes) : "memory"); }
    /// Meets when `bits` are known: loads that they come from are asked for before.
    MHC_MEMBER void meet_after(u32 bits) const
    {
        asm volatile(
            "{ .reg .b32 lanes;\n.reg .f32 known;\n.reg .pred never;\n"
            "cvt.rn.f32.u32 known, %1;\n"
            "setp.lt.f32 never, known, 0f00000000;\n"  // which the assembler does not see
            "selp.b32 lanes, 32, %2, never;\n"
            "bar.sync %0, lanes; }" ::"n"(Number),
            "r"(bits), "n"(Lanes)
            : "memory");
    }
};

/// True, but not before v is here; false for one of all NaNs.
MHC_DEVICE bool has_come(float v) { return __float_as_uint(v) != 0xffffffffU; }

}  // namespace mhc
