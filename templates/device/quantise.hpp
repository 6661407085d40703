// mhc/device/quantise.hpp -- a layer input in fp8 e4m3 with float scales, by row or by block of channels.
//
// scale = max(largest magnitude, 1e-10) / 448; stored is value / scale, to nearest even. A NaN is stored as NaN and leaves
// the scale to the others; an infinity makes the scale infinite, itself NaN and the others 0, so that none of them comes
// back as a finite number. The conversion is integer arithmetic, the same bits on every target.
#pragma once

#include <mhc/device/math.hpp>
#include <mhc/device/norm.hpp>

namespace mhc {

/// What is stored; nothing reads it here.
struct e4m3 {
    unsigned char bits;
};

/// OCP's e4m3fn of v: largest 448, where larger numbers end too; NaN is 0x7f.
MHC_DEVICE u32 e4m3_bits(float v)
{
    const u32 bits = float_to_bits(v), sign = bits >> 24 & 0x80U, size = bits & 0x7fffffffU;
    if (size > 0x7f800000U) return 0x7fU;
    if (size >= 0x43e00000U) return sign | 0x7eU;
    // Below 2^-6 numbers are multiples of 2^-9, to which the adder rounds; above, exponents are 120 less, fractions 20 bits.
    if (size < 0x3c800000U) return sign | (float_to_bits(bits_to_float(size) + 0x1p14f) - 0x46800000U);
    return sign | ((size + 0x7ffffU + (size >> 20 & 1U) - 0x3c000000U) >> 20);
}

/// The larger of `top` and the magnitudes of v, which NaN has none of.
template <int W>
MHC_DEVICE float largest_magnitude(vec<float, W> v, float top)
{
#pragma unroll
    for (int i = 0; i < W; ++i) {
        const float size = magnitude(v[i]);
        if (size > top) top = size;
    }
    return top;
}

constexpr float e4m3_floor = 1e-10f, e4m3_largest = 448.0f;

/// Rows of bytes that begin at multiples of Align bytes; Block channels have a scale, or, at 0, the whole row.
template <class Rows, int Align, int Block_>
struct e4m3_rows {
    static constexpr int C = Rows::C, W = Rows::W, block = Block_;
    using lanes = typename Rows::lanes;

    /// v, of which `top` is the largest, from channel c on.
    static MHC_MEMBER void store(e4m3* row, int c, lanes v, float top)
    {
        const lanes q = v * (e4m3_largest / top);
        if constexpr (Align % 4 == 0 && W % 4 == 0) {
#pragma unroll
            for (int i = 0; i < W; i += 4)
                if (C % W == 0 || c + i < C)
                    *reinterpret_cast<u32*>(row + c + i) =
                        e4m3_bits(q[i]) | e4m3_bits(q[i + 1]) << 8 | e4m3_bits(q[i + 2]) << 16 | e4m3_bits(q[i + 3]) << 24;
        } else {
#pragma unroll
            for (int i = 0; i < W; ++i)
                if (c + i < C) row[c + i].bits = static_cast<unsigned char>(e4m3_bits(q[i]));
        }
    }
};

/// One row by its largest number; `shared` has a float for each lane.
template <class To, class Rows, class Grid, class Value>
MHC_DEVICE void store_by_row(Grid at, float* shared, e4m3* row, float* scale, Value value)
{
    constexpr int step = Grid::block * Rows::W;
    float top = e4m3_floor;
    for (int c = at.thread() * Rows::W; c < Rows::C; c += step) top = largest_magnitude<Rows::W>(value(c), top);
    shared[at.thread()] = top;
    barrier();
    for (int k = 0; k < Grid::block; ++k) top = shared[k] > top ? shared[k] : top;
    barrier();  // before the next token overwrites them
    for (int c = at.thread() * Rows::W; c < Rows::C; c += step) To::store(row, c, value(c), top);
    if (at.thread() == 0) *scale = top * (1.0f / e4m3_largest);
}

/// One row by the largest number of each block; lanes that share a block find it in `shared`.
template <class To, class Rows, class Grid, class Value>
MHC_DEVICE void store_by_block(Grid at, float* shared, e4m3* row, float* scales, Value value)
{
    constexpr int W = Rows::W, sharing = smaller(Grid::block, To::block / W), vectors = To::block / (W * sharing);
    constexpr int blocks = ceil_div(Rows::C, To::block), turn = Grid::block / sharing;
    static_assert(Grid::block % sharing == 0 && sharing * vectors * W == To::block, "whole blocks");
    const int mine = at.thread() / sharing, place = at.thread() % sharing;
    for (int first = 0; first < blocks; first += turn) {  // all lanes take the same turns
        const int b = first + mine, begin = b * To::block + place * W;
        typename Rows::lanes v[vectors];
        float top = e4m3_floor;
#pragma unroll
        for (int k = 0; k < vectors; ++k) {
            const int c = begin + k * sharing * W;
            if (c >= Rows::C) continue;
            v[k] = value(c);
            top = largest_magnitude<W>(v[k], top);
        }
        shared[at.thread()] = top;
        barrier();
        for (int k = 0; k < sharing; ++k) {
            const float other = shared[mine * sharing + k];
            top = other > top ? other : top;
        }
        barrier();  // before the next turn overwrites them
#pragma unroll
        for (int k = 0; k < vectors; ++k) {
            const int c = begin + k * sharing * W;
            if (c < Rows::C) To::store(row, c, v[k], top);
        }
        if (b < blocks && place == 0) scales[b] = top * (1.0f / e4m3_largest);
    }
}

/// a = sum_i pre[t,i] * x[t,i], with HasNorm a / sqrt(mean(a^2) + eps) * weight; layer_input[t] and its scales.
template <class To, class Rows, int n, bool HasNorm, int WeightAlign, class Grid, class Data, class Weight>
MHC_DEVICE void apply_mix_e4m3(Grid at, float* shared, const Data* x, const float* pre, const Weight* weight,
                               e4m3* layer_input, float* scales, i64 tokens, i64 x_token, i64 x_stream, i64 pre_token,
                               float eps)
{
    using x_rows = last_read<Rows, !HasNorm && To::block != 0>;  // in all other cases they are read again
    for_each_token(at, tokens, [=](i64 t) MHC_INLINE {
        auto a = [=](int c)
                     MHC_INLINE { return weighted_sum<x_rows, n>(x + t * x_token, x_stream, pre + t * pre_token, c); };
        float by = 1.0f;
        if constexpr (HasNorm) by = 1.0f / root_mean_square<Rows>(at, shared, eps, a);
        auto value = [=](int c) MHC_INLINE {
            if constexpr (HasNorm)
                return a(c) * by * Rows::template load<WeightAlign>(weight, c);
            else
                return a(c);
        };
        e4m3* const row = layer_input + t * Rows::C;
        if constexpr (To::block == 0)
            store_by_row<To, Rows>(at, shared, row, scales + t, value);
        else
            store_by_block<To, Rows>(at, shared, row, scales + t * ceil_div(Rows::C, To::block), value);
    });
}

}  // namespace mhc
