// emulator/matrix.cpp -- MFMA of gfx90a, gfx942 and gfx950: D = A * B + C on matrices spread over a wave's registers.
//
// Where elements lie: MI300 ISA, "Matrix Arithmetic Instructions", of an instruction of M x N x K with `Blocks` independent
// products. EXEC is ignored. How sums are rounded: matrix_sums.hpp.
#include "emulator/handlers.hpp"
#include "emulator/lanes.hpp"
#include "emulator/matrix_sums.hpp"

namespace mhc::emulator {
namespace {

constexpr u32 wave_lanes = 64;

/// The lane of B's element that a lane's is read from.
u32 lane_for_pattern(u32 pattern, u32 lane)
{
    switch (pattern) {
        case 0:
            return lane;
        case 1:  // the lower half of the wave in both halves
            return lane & 31U;
        case 2:
            return lane | 32U;
        case 3:
            throw fault("blgp:3 of a matrix instruction is not modelled");
        default:  // one row of 16 in all four
            return (pattern - 4) * 16 + (lane & 15U);
    }
}

/// M x N x K, `blocks` of them, and the width of the types.
struct shape {
    u32 m, n, k, blocks, source_bits, result_bits;
};

/// Hands every element of A, or of B transposed, to set(block, row, k, bits). `rows`: M or N. `pick(block, lane_of)` says
/// which lane has what is in lane_of(block) without broadcasts.
template <shape Of, u32 Rows, class Pick, class Set>
void gather(const wave& w, const operation& op, const operand& from, Pick pick, Set set)
{
    constexpr u32 by_lane = Of.k / (wave_lanes / (Rows * Of.blocks));  // consecutive k in one lane
    constexpr u32 bits = Of.source_bits, words = by_lane * bits / 32;
    row buffers[words];
    const u32* registers[words];
    for (u32 word = 0; word < words; ++word) registers[word] = read(w, op, from, word, buffers[word]);
    for (u32 block = 0; block < Of.blocks; ++block)
        for (u32 r = 0; r < Rows; ++r)
            for (u32 k = 0; k < Of.k; ++k) {
                const u32 lane = pick(block, [&](u32 b) { return r + Rows * (b + Of.blocks * (k / by_lane)); });
                const u32 bit = k % by_lane * bits;
                u64 value = registers[bit / 32][lane] >> bit % 32;
                if constexpr (bits == 64) value = joined(registers[0][lane], registers[1][lane]);
                if constexpr (bits < 32) value &= (u64{1} << bits) - 1;
                set(block, r, k, value);
            }
}

/// Where an element of C and D is: register number, in units of its size, and lane.
template <shape Of>
struct result_place {
    u32 item, lane;
    result_place(u32 block, u32 i, u32 j)
    {
        constexpr u32 group = Of.result_bits == 64 ? 1 : 4;  // consecutive rows in one lane
        constexpr u32 block_lanes = (wave_lanes + Of.n * Of.m / group - 1) / (Of.n * Of.m / group);
        constexpr u32 row_lanes = wave_lanes / block_lanes / Of.n;
        constexpr u32 groups = Of.m / (group * row_lanes);
        item = i % group + group * (i / (group * row_lanes) + groups * (block / block_lanes));
        lane = j + Of.n * (i / group % row_lanes + row_lanes * (block % block_lanes));
    }
};

template <shape Of, class Sum>
void multiply_blocks(wave& w, const operation& op)
{
    using result = typename Sum::result;
    constexpr u32 words = Of.result_bits / 32, registers = Of.m * Of.n * Of.blocks / wave_lanes * words;
    typename Sum::left_factors a;   // by rows
    typename Sum::right_factors b;  // by k: columns are beside each other
    const u32 group = (1U << op.block_broadcast) - 1;
    // The sign of one factor is that of every product.
    const u64 flip_a = ((op.neg_lo ^ op.neg_lo >> 1) & 1U) != 0 ? u64{1} << (Of.source_bits - 1) : 0;
    const result flip_c = (op.neg_lo & 4U) != 0 ? result{1} << (Of.result_bits - 1) : 0;
    gather<Of, Of.m>(
        w, op, op.from[0],
        [&](u32 block, auto lane_of) {
            return lane_of(op.block_broadcast == 0 ? block : (block & ~group) + op.block_chosen);
        },
        [&](u32 block, u32 i, u32 k, u64 bits) { a.set((block * Of.m + i) * Of.k + k, bits ^ flip_a); });
    gather<Of, Of.n>(
        w, op, op.from[1],
        [&](u32 block, auto lane_of) {
            return op.lane_pattern == 0 ? lane_of(block) : lane_for_pattern(op.lane_pattern, lane_of(block));
        },
        [&](u32 block, u32 j, u32 k, u64 bits) { b.set((block * Of.k + k) * Of.n + j, bits); });
    row c_buffers[registers], results[registers];
    const u32* c[registers];
    for (u32 r = 0; r < registers; ++r) {
        const bool is_constant = op.from[2].kind == operand_kind::constant;
        c[r] = read(w, op, op.from[2], is_constant ? r % words : r, c_buffers[r]);
    }
    for (u32 block = 0; block < Of.blocks; ++block)
        for (u32 i = 0; i < Of.m; ++i) {
            result sums[Of.n];
            for (u32 j = 0; j < Of.n; ++j) {
                const result_place<Of> at(block, i, j);
                const u32 first = at.item * words;
                sums[j] =
                    static_cast<result>(joined(c[first][at.lane], words == 2 ? c[first + words - 1][at.lane] : 0)) ^ flip_c;
            }
            Sum::template add<Of.n>(a, (block * Of.m + i) * Of.k, b, block * Of.k * Of.n, sums);
            for (u32 j = 0; j < Of.n; ++j) {
                const result_place<Of> at(block, i, j);
                for (u32 word = 0; word < words; ++word)
                    results[at.item * words + word][at.lane] = static_cast<u32>(u64{sums[j]} >> (word * 32));
            }
        }
    for (u32 r = 0; r < registers; ++r) std::memcpy(w.vector(op.to[0].index + r), results[r].at, wave_lanes * sizeof(u32));
}

template <u32 M, u32 N, u32 K, u32 Blocks, class Sum>
void multiply(wave& w, const operation& op)
{
    multiply_blocks<shape{M, N, K, Blocks, Sum::source_bits, sizeof(typename Sum::result) * 8}, Sum>(w, op);
}

template <u32 K>
using sum_of_singles = sum_of_chain<float, u32, K>;
template <u32 K>
using sum_of_doubles = sum_of_chain<double, u64, K>;
template <u32 K>
using half_trees = sum_of_trees<half_format, K, 4>;
template <u32 K>
using bfloat_trees = sum_of_trees<bfloat_format, K, 4>;
template <u32 K>
using bfloat_pairs = sum_of_trees<bfloat_format, K, 2>;
template <u32 K>
using half_groups = sum_of_groups<half_format, half_format, K, std::min(K, 8U)>;
template <u32 K>
using bfloat_groups = sum_of_groups<bfloat_format, bfloat_format, K, std::min(K, 8U)>;
template <u32 K>
using xf32_groups = sum_of_groups<xf32_format, xf32_format, K, 4>;
template <class A, class B, u32 K>
using byte_groups = sum_of_groups<A, B, K, 16, true>;

#define MHC_MATRIX(name, M, N, K, Blocks, Sum)            \
    {                                                     \
        "v_mfma_" name, multiply<M, N, K, Blocks, Sum<K>> \
    }
#define MHC_MATRIX_FP8(types, A, B)                                                                              \
    {"v_mfma_f32_16x16x32_" types, multiply<16, 16, 32, 1, byte_groups<A##_fnuz_format, B##_fnuz_format, 32>>},  \
    {                                                                                                            \
        "v_mfma_f32_32x32x16_" types, multiply<32, 32, 16, 1, byte_groups<A##_fnuz_format, B##_fnuz_format, 16>> \
    }

const handler_entry entries[] = {
    // gfx90a; the sums of fp32, fp64 and bytes are the same on gfx942
    MHC_MATRIX("f32_32x32x1f32", 32, 32, 1, 2, sum_of_singles),
    MHC_MATRIX("f32_16x16x1f32", 16, 16, 1, 4, sum_of_singles),
    MHC_MATRIX("f32_4x4x1f32", 4, 4, 1, 16, sum_of_singles),
    MHC_MATRIX("f32_32x32x2f32", 32, 32, 2, 1, sum_of_singles),
    MHC_MATRIX("f32_16x16x4f32", 16, 16, 4, 1, sum_of_singles),
    MHC_MATRIX("f64_16x16x4f64", 16, 16, 4, 1, sum_of_doubles),
    MHC_MATRIX("f64_4x4x4f64", 4, 4, 4, 4, sum_of_doubles),
    MHC_MATRIX("i32_32x32x4i8", 32, 32, 4, 2, sum_of_bytes),
    MHC_MATRIX("i32_16x16x4i8", 16, 16, 4, 4, sum_of_bytes),
    MHC_MATRIX("i32_4x4x4i8", 4, 4, 4, 16, sum_of_bytes),
    MHC_MATRIX("i32_32x32x8i8", 32, 32, 8, 1, sum_of_bytes),
    MHC_MATRIX("i32_16x16x16i8", 16, 16, 16, 1, sum_of_bytes),
    MHC_MATRIX("f32_32x32x4f16", 32, 32, 4, 2, half_trees),
    MHC_MATRIX("f32_16x16x4f16", 16, 16, 4, 4, half_trees),
    MHC_MATRIX("f32_4x4x4f16", 4, 4, 4, 16, half_trees),
    MHC_MATRIX("f32_32x32x8f16", 32, 32, 8, 1, half_trees),
    MHC_MATRIX("f32_16x16x16f16", 16, 16, 16, 1, half_trees),
    MHC_MATRIX("f32_32x32x4bf16_1k", 32, 32, 4, 2, bfloat_trees),
    MHC_MATRIX("f32_16x16x4bf16_1k", 16, 16, 4, 4, bfloat_trees),
    MHC_MATRIX("f32_4x4x4bf16_1k", 4, 4, 4, 16, bfloat_trees),
    MHC_MATRIX("f32_32x32x8bf16_1k", 32, 32, 8, 1, bfloat_trees),
    MHC_MATRIX("f32_16x16x16bf16_1k", 16, 16, 16, 1, bfloat_trees),
    MHC_MATRIX("f32_32x32x2bf16", 32, 32, 2, 2, bfloat_pairs),
    MHC_MATRIX("f32_16x16x2bf16", 16, 16, 2, 4, bfloat_pairs),
    MHC_MATRIX("f32_4x4x2bf16", 4, 4, 2, 16, bfloat_pairs),
    MHC_MATRIX("f32_32x32x4bf16", 32, 32, 4, 1, bfloat_pairs),
    MHC_MATRIX("f32_16x16x8bf16", 16, 16, 8, 1, bfloat_pairs),
    // gfx942
    MHC_MATRIX("f32_32x32x1_2b_f32", 32, 32, 1, 2, sum_of_singles),
    MHC_MATRIX("f32_16x16x1_4b_f32", 16, 16, 1, 4, sum_of_singles),
    MHC_MATRIX("f32_4x4x1_16b_f32", 4, 4, 1, 16, sum_of_singles),
    MHC_MATRIX("f32_32x32x2_f32", 32, 32, 2, 1, sum_of_singles),
    MHC_MATRIX("f32_16x16x4_f32", 16, 16, 4, 1, sum_of_singles),
    MHC_MATRIX("f64_16x16x4_f64", 16, 16, 4, 1, sum_of_doubles),
    MHC_MATRIX("f64_4x4x4_4b_f64", 4, 4, 4, 4, sum_of_doubles),
    MHC_MATRIX("i32_32x32x4_2b_i8", 32, 32, 4, 2, sum_of_bytes),
    MHC_MATRIX("i32_16x16x4_4b_i8", 16, 16, 4, 4, sum_of_bytes),
    MHC_MATRIX("i32_4x4x4_16b_i8", 4, 4, 4, 16, sum_of_bytes),
    MHC_MATRIX("i32_32x32x16_i8", 32, 32, 16, 1, sum_of_bytes),
    MHC_MATRIX("i32_16x16x32_i8", 16, 16, 32, 1, sum_of_bytes),
    MHC_MATRIX("f32_32x32x4_2b_f16", 32, 32, 4, 2, half_groups),
    MHC_MATRIX("f32_16x16x4_4b_f16", 16, 16, 4, 4, half_groups),
    MHC_MATRIX("f32_4x4x4_16b_f16", 4, 4, 4, 16, half_groups),
    MHC_MATRIX("f32_32x32x8_f16", 32, 32, 8, 1, half_groups),
    MHC_MATRIX("f32_16x16x16_f16", 16, 16, 16, 1, half_groups),
    MHC_MATRIX("f32_32x32x4_2b_bf16", 32, 32, 4, 2, bfloat_groups),
    MHC_MATRIX("f32_16x16x4_4b_bf16", 16, 16, 4, 4, bfloat_groups),
    MHC_MATRIX("f32_4x4x4_16b_bf16", 4, 4, 4, 16, bfloat_groups),
    MHC_MATRIX("f32_32x32x8_bf16", 32, 32, 8, 1, bfloat_groups),
    MHC_MATRIX("f32_16x16x16_bf16", 16, 16, 16, 1, bfloat_groups),
    MHC_MATRIX("f32_16x16x8_xf32", 16, 16, 8, 1, xf32_groups),
    MHC_MATRIX("f32_32x32x4_xf32", 32, 32, 4, 1, xf32_groups),
    MHC_MATRIX_FP8("fp8_fp8", fp8, fp8),
    MHC_MATRIX_FP8("fp8_bf8", fp8, bf8),
    MHC_MATRIX_FP8("bf8_fp8", bf8, fp8),
    MHC_MATRIX_FP8("bf8_bf8", bf8, bf8),
    // gfx950: nobody has published how it rounds; taken to be as gfx942
    MHC_MATRIX("f32_16x16x32_bf16", 16, 16, 32, 1, bfloat_groups),
};

}  // namespace

handler_family matrix_family() { return entries; }

}  // namespace mhc::emulator
