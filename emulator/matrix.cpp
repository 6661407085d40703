// emulator/matrix.cpp -- MFMA of gfx90a, gfx942 and gfx950: D = A * B + C on matrices spread over a wave's registers.
//
// Where elements lie: MI300 ISA, "Matrix Arithmetic Instructions", of an instruction of M x N x K with `Blocks` independent
// products. EXEC is ignored. How sums are rounded: matrix_numbers.hpp.
#include "emulator/handlers.hpp"
#include "emulator/lanes.hpp"
#include "emulator/matrix_numbers.hpp"

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

/// M x N x K, `Blocks` of them, and the width of the types.
struct shape {
    u32 m, n, k, blocks, source_bits, result_bits;
};

/// A, or B transposed: element ((block, row), k) as bits. No side has more than eight elements a lane.
struct side {
    u64 at[wave_lanes * 8];
    u32 k_count = 0;

    const u64* row_at(u32 number) const { return at + std::size_t{number} * k_count; }

    /// `rows`: M or N. `pick(block, lane_of)` says which lane has what is in lane_of(block) without broadcasts.
    template <class F>
    void gather(const wave& w, const operation& op, const operand& from, const shape& of, u32 rows, F pick)
    {
        k_count = of.k;
        const u32 by_lane = of.k / (wave_lanes / (rows * of.blocks));  // consecutive k in one lane
        const u32 bits = of.source_bits;
        row buffers[4];
        const u32* registers[4];
        for (u32 word = 0; word < by_lane * bits / 32; ++word) registers[word] = read(w, op, from, word, buffers[word]);
        for (u32 block = 0; block < of.blocks; ++block)
            for (u32 r = 0; r < rows; ++r)
                for (u32 k = 0; k < of.k; ++k) {
                    const u32 lane = pick(block, [&](u32 b) { return r + rows * (b + of.blocks * (k / by_lane)); });
                    const u32 bit = k % by_lane * bits;
                    u64 value = registers[bit / 32][lane] >> bit % 32;
                    if (bits == 64) value = joined(registers[0][lane], registers[1][lane]);
                    if (bits < 32) value &= (u64{1} << bits) - 1;
                    at[(std::size_t{block} * rows + r) * of.k + k] = value;
                }
    }
};

/// Where an element of C and D is: register number, in units of its size, and lane.
struct result_place {
    u32 item, lane;
    result_place(const shape& of, u32 block, u32 i, u32 j)
    {
        const u32 group = of.result_bits == 64 ? 1 : 4;  // consecutive rows in one lane
        const u32 block_lanes = (wave_lanes + of.n * of.m / group - 1) / (of.n * of.m / group);
        const u32 row_lanes = wave_lanes / block_lanes / of.n;
        const u32 groups = of.m / (group * row_lanes);
        item = i % group + group * (i / (group * row_lanes) + groups * (block / block_lanes));
        lane = j + of.n * (i / group % row_lanes + row_lanes * (block % block_lanes));
    }
};

/// D's element from C's and the two rows.
using sum_function = u64 (*)(const u64* a, const u64* b, u64 c);

void multiply(wave& w, const operation& op, const shape& of, sum_function sum)
{
    const u32 words = of.result_bits / 32, registers = of.m * of.n * of.blocks / wave_lanes * words;
    side a, b;
    const u32 group = (1U << op.block_broadcast) - 1;
    a.gather(w, op, op.from[0], of, of.m, [&](u32 block, auto lane_of) {
        return lane_of(op.block_broadcast == 0 ? block : (block & ~group) + op.block_chosen);
    });
    b.gather(w, op, op.from[1], of, of.n,
             [&](u32 block, auto lane_of) { return lane_for_pattern(op.lane_pattern, lane_of(block)); });
    if (((op.neg_lo ^ op.neg_lo >> 1) & 1U) != 0)  // the sign of one factor is that of every product
        for (u64& each : a.at) each ^= u64{1} << (of.source_bits - 1);
    const u64 flip_c = (op.neg_lo & 4U) != 0 ? u64{1} << (of.result_bits - 1) : 0;
    row c_buffers[32], results[32];
    const u32* c[32];
    for (u32 r = 0; r < registers; ++r) {
        const bool is_constant = op.from[2].kind == operand_kind::constant;
        c[r] = read(w, op, op.from[2], is_constant ? r % words : r, c_buffers[r]);
    }
    for (u32 block = 0; block < of.blocks; ++block)
        for (u32 i = 0; i < of.m; ++i)
            for (u32 j = 0; j < of.n; ++j) {
                const result_place at(of, block, i, j);
                const u32 first = at.item * words;
                const u64 addend = joined(c[first][at.lane], words == 2 ? c[first + 1][at.lane] : 0) ^ flip_c;
                const u64 d = sum(a.row_at(block * of.m + i), b.row_at(block * of.n + j), addend);
                for (u32 word = 0; word < words; ++word) results[first + word][at.lane] = static_cast<u32>(d >> (word * 32));
            }
    for (u32 r = 0; r < registers; ++r) std::memcpy(w.vector(op.to[0].index + r), results[r].at, wave_lanes * sizeof(u32));
}

template <u32 M, u32 N, u32 K, u32 Blocks, class Sum>
void multiply(wave& w, const operation& op)
{
    multiply(w, op, {M, N, K, Blocks, Sum::source_bits, Sum::result_bits}, Sum::of);
}

template <u32 K>
struct chain_of_singles {
    static constexpr u32 source_bits = 32, result_bits = 32;
    static u64 of(const u64* a, const u64* b, u64 c)
    {
        float sum = to_float(static_cast<u32>(c));
        for (u32 k = 0; k < K; ++k)
            sum = __builtin_fmaf(to_float(static_cast<u32>(a[k])), to_float(static_cast<u32>(b[k])), sum);
        return to_bits(sum);
    }
};
template <u32 K>
struct chain_of_doubles {
    static constexpr u32 source_bits = 64, result_bits = 64;
    static u64 of(const u64* a, const u64* b, u64 c)
    {
        double sum = to_double(c);
        for (u32 k = 0; k < K; ++k) sum = __builtin_fma(to_double(a[k]), to_double(b[k]), sum);
        return to_bits(sum);
    }
};
template <u32 K>
struct sum_of_bytes {
    static constexpr u32 source_bits = 8, result_bits = 32;
    static u64 of(const u64* a, const u64* b, u64 c)
    {
        auto sum = static_cast<u32>(c);
        for (u32 k = 0; k < K; ++k) sum += static_cast<u32>(static_cast<i8>(a[k]) * static_cast<i8>(b[k]));
        return sum;
    }
};

/// gfx90a.
template <class Format, u32 K, u32 Group>
struct sum_of_trees {
    static constexpr u32 source_bits = 16, result_bits = 32;
    static float source(u64 bits)
    {
        const auto v = static_cast<float>(Format::value(static_cast<u32>(bits)));
        const number_parts p = Format::parts(static_cast<u32>(bits));
        const bool is_subnormal = std::abs(p.significand) < 1 << Format::fraction_bits;
        return is_subnormal && !Format::is_special(static_cast<u32>(bits)) ? 0.0F : v;
    }
    static u64 of(const u64* a, const u64* b, u64 c)
    {
        float sum = to_float(static_cast<u32>(c));
        if (std::fabs(sum) < 0x1p-126F) sum = 0;
        for (u32 k = 0; k < K; k += Group) {
            float products[Group];
            for (u32 i = 0; i < Group; ++i) products[i] = without_subnormal(source(a[k + i]) * source(b[k + i]));
            for (u32 width = Group; width > 1; width /= 2)  // neighbours first
                for (u32 i = 0; i < width / 2; ++i) products[i] = without_subnormal(products[2 * i] + products[2 * i + 1]);
            sum = without_subnormal(sum + products[0]);
        }
        return to_bits(sum);
    }
};

/// gfx942: fp16, bf16, xf32; ByParity: fp8 and bf8, whose even and odd products are added apart.
template <class A, class B, u32 K, u32 Group, bool ByParity = false>
struct sum_of_groups {
    static constexpr bool is_xf32 = A::bits > 16;
    static constexpr u32 source_bits = is_xf32 ? 32 : A::bits, result_bits = 32;
    static u32 stored(u64 bits) { return static_cast<u32>(is_xf32 ? bits >> 13 : bits); }

    static u64 of(const u64* a, const u64* b, u64 c)
    {
        auto sum = static_cast<u32>(c);
        for (u32 k = 0; k < K; k += Group) sum = to_bits(step(a + k, b + k, sum));
        return sum;
    }
    static float step(const u64* a, const u64* b, u32 addend)
    {
        number_parts left[Group], right[Group];
        bool is_special = (addend & 0x7F800000U) == 0x7F800000U, is_large = false;
        for (u32 i = 0; i < Group; ++i) {
            const u32 x = stored(a[i]), y = stored(b[i]);
            left[i] = A::parts(x), right[i] = B::parts(y);
            is_special |= A::is_special(x) || B::is_special(y);
            is_large |= left[i].exponent + right[i].exponent >= 127;
        }
        if (is_special || is_large) {
            const float sum = with_specials(a, b, addend, is_special);
            if (is_special || !std::isfinite(sum)) return sum;
        }
        if (!ByParity) return add_fused(sum_products<A, B, Group, 1>(left, right, 0), addend, false);
        fused_sum even = sum_products<A, B, Group, 2>(left, right, 0);
        const fused_sum odd = sum_products<A, B, Group, 2>(left, right, 1);
        const i32 largest = std::max(even.exponent, odd.exponent);
        even.sum = shifted_down(even.sum, largest - even.exponent) + shifted_down(odd.sum, largest - odd.exponent);
        even.exponent = largest;
        return add_fused(even, addend, true);
    }
    /// Infinities and NaN, and products that are infinite as fp32.
    static float with_specials(const u64* a, const u64* b, u32 addend, bool is_special)
    {
        double sum = is_special ? static_cast<double>(to_float(addend)) : 0.0;
        for (u32 i = 0; i < Group; ++i) {
            const double product = A::value(stored(a[i])) * B::value(stored(b[i]));
            if (is_special)
                sum += product;
            else if (std::fabs(product) >= 0x1p128)
                sum += product < 0 ? -std::numeric_limits<double>::infinity() : std::numeric_limits<double>::infinity();
        }
        return static_cast<float>(sum);
    }
};

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
    MHC_MATRIX("f32_32x32x1f32", 32, 32, 1, 2, chain_of_singles),
    MHC_MATRIX("f32_16x16x1f32", 16, 16, 1, 4, chain_of_singles),
    MHC_MATRIX("f32_4x4x1f32", 4, 4, 1, 16, chain_of_singles),
    MHC_MATRIX("f32_32x32x2f32", 32, 32, 2, 1, chain_of_singles),
    MHC_MATRIX("f32_16x16x4f32", 16, 16, 4, 1, chain_of_singles),
    MHC_MATRIX("f64_16x16x4f64", 16, 16, 4, 1, chain_of_doubles),
    MHC_MATRIX("f64_4x4x4f64", 4, 4, 4, 4, chain_of_doubles),
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
    MHC_MATRIX("f32_32x32x1_2b_f32", 32, 32, 1, 2, chain_of_singles),
    MHC_MATRIX("f32_16x16x1_4b_f32", 16, 16, 1, 4, chain_of_singles),
    MHC_MATRIX("f32_4x4x1_16b_f32", 4, 4, 1, 16, chain_of_singles),
    MHC_MATRIX("f32_32x32x2_f32", 32, 32, 2, 1, chain_of_singles),
    MHC_MATRIX("f32_16x16x4_f32", 16, 16, 4, 1, chain_of_singles),
    MHC_MATRIX("f64_16x16x4_f64", 16, 16, 4, 1, chain_of_doubles),
    MHC_MATRIX("f64_4x4x4_4b_f64", 4, 4, 4, 4, chain_of_doubles),
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
