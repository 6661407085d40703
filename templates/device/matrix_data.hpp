// mhc/device/matrix_data.hpp -- numbers of streams as matrix units take them: bf16 as it is, other types as the sum of two.
//
// A number of fp16 is that sum, one of fp32 but for 2^-17 of it. Of the four products of two such sums three are made: the
// product of the low parts is below 2^-17 of the whole. Where units take fp16 too, that is used as it is, and a weight is
// the sum of two fp16: rows of fn are scaled by powers of two, so that their largest weights are near fp16's largest.
#pragma once

#include <mhc/device/rows.hpp>

namespace mhc {

/// Words of 16 bytes that 8 channels take.
template <class Data>
constexpr int data_words = int(sizeof(Data)) / 2;

/// Where a word of a lane's 8 channels begins among those of one load: lanes of a token ask for words that follow each
/// other.
template <class Data>
MHC_DEVICE int place_in_load(int group, int word)
{
    return data_words<Data> == 1 ? group * 8 : (word * matrix_unit::groups + group) * 4;
}

/// The weights of the same channels, of a load that begins at `from`; zeros for those that `has` says are not there.
template <class Data, int WeightAlign, class Weight, class Has>
MHC_DEVICE vec<float, 8> load_weights(const Weight* from, int group, Has has)
{
    vec<float, 8> all = splat<8>(0.0f);
    if constexpr (data_words<Data> == 1) {
        if (has(group * 8)) all = load<8, WeightAlign>(from + group * 8);
    } else {
#pragma unroll
        for (int word = 0; word < 2; ++word) {
            const int c = place_in_load<Data>(group, word);
            if (!has(c)) continue;
            const vec<float, 4> some = load<4, WeightAlign>(from + c);
#pragma unroll
            for (int i = 0; i < 4; ++i) all[word * 4 + i] = some[i];
        }
    }
    return all;
}

template <class Data>
constexpr bool is_bf16 = false;
template <>
constexpr bool is_bf16<bf16> = true;

template <class Data>
constexpr bool is_fp16 = false;
template <>
constexpr bool is_fp16<fp16> = true;
/// Whether factors are fp16.
template <class Data, bool RoundAsReference>
constexpr bool has_fp16_factors = is_fp16<Data>&& matrix_unit::takes_fp16 && !RoundAsReference;

/// Of some rows that a lane has the weights and the sums of: what their sums are to be multiplied by, a power of two for
/// each, as a float's exponent.
struct row_scales {
    u32 exponents;
    MHC_MEMBER float inverse(int k) const { return bits_to_float(exponents >> 8 * k << 24 >> 1); }
    /// Of a row whose largest weight has these bits: it becomes 2^14 or more, and less than 2^15. Returns the scale.
    MHC_MEMBER float add(int k, u32 largest)
    {
        const u32 own = largest >> 23, inverse = own > 15 ? own - 14 : 1;
        exponents |= inverse << 8 * k;
        return bits_to_float((254 - inverse) << 23);
    }
};

MHC_DEVICE void add_product(product_sums& sums, const left_piece* a, const uint4* b, const bf16*)
{
    add_product(sums, a, b);
}
template <bool IsFp16>
struct factor_type {
    using type = bf16;
};
template <>
struct factor_type<true> {
    using type = fp16;
};

/// The right factor of one product, from a lane's words of its channels.
template <class Data, bool RoundAsReference>
struct right_piece {
    /// Whether there are low parts. As in mHC.cu all numbers are rounded to bf16.
    static constexpr bool is_whole = is_bf16<Data> || has_fp16_factors<Data, RoundAsReference>;
    static constexpr bool has_low = !is_whole && !RoundAsReference;
    uint4 high[matrix_unit::loads], low[has_low ? matrix_unit::loads : 1];

    MHC_MEMBER void take(const uint4* words)
    {
#pragma unroll
        for (int k = 0; k < matrix_unit::loads; ++k) {
            if constexpr (is_whole) {
                high[k] = words[k];
            } else {
                const weight_parts parts = split_weights(values(words, k), has_low);
                high[k] = parts.high;
                if constexpr (has_low) low[k] = parts.low;
            }
        }
    }
    /// Adds the squares of the same words' numbers, as those of load number `load`.
    template <class Squares>
    MHC_MEMBER void add_squares(const uint4* words, int load, Squares& squares) const
    {
        if constexpr (is_bf16<Data> || RoundAsReference) {
            squares.add(load, high);
        } else {
            weight_parts parts[matrix_unit::loads];
            vec<float, 8> wide[matrix_unit::loads];
#pragma unroll
            for (int k = 0; k < matrix_unit::loads; ++k) {
                if constexpr (has_low) parts[k] = {high[k], low[k]};
                wide[k] = values(words, k);
            }
            squares.add(load, parts, wide);
        }
    }
    static MHC_MEMBER vec<float, 8> values(const uint4* words, int k)
    {
        return widen_words(words + k * data_words<Data>, static_cast<const Data*>(nullptr));
    }
};

}  // namespace mhc
