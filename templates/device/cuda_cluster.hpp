// mhc/device/cuda_cluster.hpp -- the vocabulary of NVIDIA GPUs from compute capability 9.0 on for work-groups that reach
// each other's LDS, and for waves of one work-group that have different tasks.
#pragma once

#include <mhc/device/cuda_matrix.hpp>

namespace mhc {

/// This work-group's number in its cluster: groups 0, 1, ... of a launch are 0, 1, ... of the first cluster, and so on.
MHC_DEVICE u32 cluster_rank()
{
    u32 rank;
    asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
    return rank;
}

/// A lane of the cluster's work-groups tells that it has come here, and waits until all have.
MHC_DEVICE void tell_cluster() { asm volatile("barrier.cluster.arrive.relaxed;" ::: "memory"); }
MHC_DEVICE void wait_for_cluster() { asm volatile("barrier.cluster.wait.acquire;" ::: "memory"); }

MHC_DEVICE u32 lds_address(const void* p) { return u32(__cvta_generic_to_shared(p)); }
/// Where `address` of this work-group's LDS is in that of `rank`.
MHC_DEVICE u32 lds_of_rank(u32 address, u32 rank)
{
    u32 there;
    asm volatile("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(there) : "r"(address), "r"(rank));
    return there;
}

/// A word of LDS that waves wait at: its turn ends when as many have arrived as it was made for, and every byte that was
/// announced has come. Turns are counted from 0; who waits names the turn.
struct signal {
    unsigned long long word;

    MHC_MEMBER void make(u32 arrivals)
    {
        asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(lds_address(&word)), "r"(arrivals) : "memory");
    }
    /// What this lane wrote before is seen by those who waited.
    MHC_MEMBER void arrive()
    {
        asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(lds_address(&word)) : "memory");
    }
    /// At the signal that a work-group of the cluster has at this one's place. What this lane wrote is not said to be seen
    /// there, which would take as long as a write to memory.
    MHC_MEMBER void arrive_at(u32 rank)
    {
        asm volatile("mbarrier.arrive.shared::cluster.b64 _, [%0];" ::"r"(lds_of_rank(lds_address(&word), rank)) : "memory");
    }
    /// Arrives when `bits` are known: of loads that they come from, which no arrival would wait for otherwise.
    MHC_MEMBER void arrive_after(u32 bits)
    {
        asm volatile(
            "{ .reg .b32 one;\n.reg .f32 known;\n.reg .pred never;\n"
            "cvt.rn.f32.u32 known, %1;\n"
            "setp.lt.f32 never, known, 0f00000000;\n"  // which the assembler does not see
            "selp.b32 one, 2, 1, never;\n"
            "mbarrier.arrive.shared::cta.b64 _, [%0], one; }" ::"r"(lds_address(&word)),
            "r"(bits)
            : "memory");
    }
    /// Arrives, and announces bytes that send() brings.
    MHC_MEMBER void expect(u32 bytes)
    {
        asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(lds_address(&word)), "r"(bytes)
                     : "memory");
    }
    /// Arrives when all copies that this lane has begun have come.
    MHC_MEMBER void arrive_with_copies()
    {
        asm volatile("cp.async.mbarrier.arrive.noinc.shared::cta.b64 [%0];" ::"r"(lds_address(&word)) : "memory");
    }
    MHC_MEMBER void wait(u32 turn) const
    {
        asm volatile(
            "{ .reg .pred done;\n"
            "again: mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n"
            "@!done bra again; }" ::"r"(lds_address(&word)),
            "r"(turn & 1)
            : "memory");
    }
};

/// A place in a ring of Size that goes round: turn counts the rounds.
template <int Size>
struct ring {
    int at = 0;
    u32 turn = 0;
    MHC_MEMBER void next()
    {
        if (++at == Size) {
            at = 0;
            ++turn;
        }
    }
};

/// Those who wait at signals find them made: of the cluster, when this lane has told it.
MHC_DEVICE void show_signals() { asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory"); }

/// 16 bytes to a work-group's LDS, of which they tell its signal; both addresses are lds_of_rank's.
MHC_DEVICE void send(u32 to, float4 v, u32 signal_there)
{
    asm volatile("st.async.shared::cluster.mbarrier::complete_tx::bytes.v4.b32 [%0], {%1, %2, %3, %4}, [%5];" ::"r"(to),
                 "r"(__float_as_uint(v.x)), "r"(__float_as_uint(v.y)), "r"(__float_as_uint(v.z)), "r"(__float_as_uint(v.w)),
                 "r"(signal_there)
                 : "memory");
}

/// What the copy engine knows of streams: base, sizes, strides, and the box that it copies. Made by the driver.
struct alignas(64) tensor_map {
    unsigned long long words[16];
};
/// How a kernel takes it: the copy engine reads it where the argument is.
#define MHC_TENSOR_MAP const __grid_constant__ mhc::tensor_map
MHC_DEVICE void prefetch(const tensor_map& map) { asm volatile("prefetch.tensormap [%0];" ::"l"(&map) : "memory"); }
/// The box of streams whose first channel and token are given, to LDS in the background, told to a signal that expects its
/// bytes; what is outside the tensor is zero.
MHC_DEVICE void copy_box(uint4* to, const tensor_map& map, int channel, int token, signal& told)
{
    asm volatile(
        "cp.async.bulk.tensor.3d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3, %4}], [%5];" ::"r"(
            lds_address(to)),
        "l"(&map), "r"(channel), "r"(token), "r"(0), "r"(lds_address(&told.word))
        : "memory");
}

/// The same box, to the L2 cache alone.
MHC_DEVICE void prefetch_box(const tensor_map& map, int channel, int token)
{
    asm volatile("cp.async.bulk.prefetch.tensor.3d.L2.global [%0, {%1, %2, %3}];" ::"l"(&map), "r"(channel), "r"(token),
                 "r"(0)
                 : "memory");
}
/// `bytes` that follow each other, as copy_box; places and bytes are multiples of 16.
MHC_DEVICE void copy_row(uint4* to, const void* from, int bytes, signal& told)
{
    asm volatile(
        "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(lds_address(to)),
        "l"(from), "r"(bytes), "r"(lds_address(&told.word))
        : "memory");
}
/// copy_row to the same place of all Ranks work-groups of the cluster, told to the signal that each has at this one's place.
template <int Ranks>
MHC_DEVICE void copy_row_to_all(uint4* to, const void* from, int bytes, signal& told)
{
    asm volatile(
        "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes.multicast::cluster [%0], [%1], %2, [%3], %4;" ::
            "r"(lds_address(to)),
        "l"(from), "r"(bytes), "r"(lds_address(&told.word)), "h"(static_cast<unsigned short>((1 << Ranks) - 1))
        : "memory");
}
/// What this lane has seen of writes to LDS comes before what it asks the copy engine to put there.
MHC_DEVICE void before_copies() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }

/// Four waves that follow each other have up to Count registers a lane from here on.
template <int Count>
MHC_DEVICE void take_registers()
{
    asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(Count));
}
template <int Count>
MHC_DEVICE void give_registers()
{
    asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(Count));
}

}  // namespace mhc
