// mhc/device/matrix_data.hpp -- numbers of streams as matrix units take them: bf16 as it is, other types as the sum of two.
//
// A number of fp16 is that sum, one of fp32 but for 2^-17 of it. Of the four products of two such sums three are made: the
// product of the low parts is below 2^-17 of the whole.
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

/// The right factor of one product, from a lane's words of its channels.
template <class Data, bool RoundAsReference>
struct right_piece {
    /// Whether there are low parts. As in mHC.cu all numbers are rounded to bf16.
    static constexpr bool has_low = !is_bf16<Data> && !RoundAsReference;
    uint4 high[matrix_unit::loads], low[has_low ? matrix_unit::loads : 1];

    /// Adds its columns' squares too, as number `load` of them.
    template <class Squares>
    MHC_MEMBER void take(const uint4* words, int load, Squares& squares)
    {
        weight_parts parts[matrix_unit::loads];
        vec<float, 8> values[matrix_unit::loads];
#pragma unroll
        for (int k = 0; k < matrix_unit::loads; ++k) {
            if constexpr (is_bf16<Data>) {
                high[k] = words[k];
            } else {
                values[k] = widen_words(words + k * data_words<Data>, static_cast<const Data*>(nullptr));
                parts[k] = split_weights(values[k], has_low);
                high[k] = parts[k].high;
                if constexpr (has_low) low[k] = parts[k].low;
            }
        }
        if constexpr (has_low)
            squares.add(load, parts, values);
        else
            squares.add(load, high);
    }
};

}  // namespace mhc
