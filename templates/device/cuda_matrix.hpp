// mhc/device/cuda_matrix.hpp -- the vocabulary of NVIDIA GPUs from compute capability 9.0 on for their matrix units.
#pragma once

#include <mhc/device/cuda_transfer.hpp>

namespace mhc {

/// A product of 16 rows by 8 columns as a warp has it: lane 4 g + q has, of eight channels of its own, rows g and g + 8 of
/// the left factor and column g of the right one, and of the result rows g and g + 8 of columns 2 q and 2 q + 1.
struct matrix_unit {
    static constexpr int columns = 8;         ///< of a product
    static constexpr int left_rows = 2;       ///< of a left factor in a lane
    static constexpr int groups = 4;          ///< of lanes that have the same rows and columns, each other channels
    static constexpr int loads = 1;           ///< of 8 channels a lane, in a product
    static constexpr int sums = 4;            ///< of a product in a lane
    static constexpr int half_rows = 8;       ///< item i and item i + sums / 2 of a lane are so many rows apart
    static constexpr int waves = 8;           ///< that share the weights of a slice
    static constexpr int tiles_at_once = 2;   ///< between two barriers
    static constexpr bool takes_fp16 = true;  ///< factors may be fp16
    static MHC_MEMBER int group(int lane) { return lane % 4; }
    static MHC_MEMBER int column(int lane) { return lane / 4; }
    static MHC_MEMBER int left_row(int lane, int item) { return lane / 4 + item * 8; }
    static MHC_MEMBER int sum_row(int lane, int item) { return lane / 4 + item / 2 * 8; }
    static MHC_MEMBER int sum_column(int lane, int item) { return lane % 4 * 2 + item % 2; }
    /// Floats from one token's `width` sums to the next one's in LDS.
    static constexpr MHC_MEMBER int spaced(int width) { return width; }
};

struct product_sums {
    float at[matrix_unit::sums];
};

/// What a lane has of a left factor: bf16 of eight channels of each of its rows.
struct left_piece {
    uint4 rows[matrix_unit::left_rows];
};

/// mma of 16 x 16 by 16 x 8: `a` has two words of row g, two of row g + 8, by turns; `b` those of column g.
MHC_DEVICE void add_step(product_sums& sums, u32 a0, u32 a1, u32 a2, u32 a3, u32 b0, u32 b1)
{
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};"
        : "+f"(sums.at[0]), "+f"(sums.at[1]), "+f"(sums.at[2]), "+f"(sums.at[3])
        : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
}

/// sums += a * b, of all channels of four lanes. Products are exact; they are added in an order of the GPU's, the same for
/// every column.
MHC_DEVICE void add_product(product_sums& sums, const left_piece* a, const uint4* b)
{
    const uint4 low = a->rows[0], high = a->rows[1];
    add_step(sums, low.x, high.x, low.y, high.y, b->x, b->y);
    add_step(sums, low.z, high.z, low.w, high.w, b->z, b->w);
}

/// The same of fp16.
MHC_DEVICE void add_step_fp16(product_sums& sums, u32 a0, u32 a1, u32 a2, u32 a3, u32 b0, u32 b1)
{
    asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};"
        : "+f"(sums.at[0]), "+f"(sums.at[1]), "+f"(sums.at[2]), "+f"(sums.at[3])
        : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
}
MHC_DEVICE void add_product(product_sums& sums, const left_piece* a, const uint4* b, const fp16*)
{
    const uint4 low = a->rows[0], high = a->rows[1];
    add_step_fp16(sums, low.x, high.x, low.y, high.y, b->x, b->y);
    add_step_fp16(sums, low.z, high.z, low.w, high.w, b->z, b->w);
}

/// A left piece whose words are in the order of add_step, which are then in registers that follow each other.
MHC_DEVICE left_piece in_order(uint4 low, uint4 high)
{
    return {{{low.x, high.x, low.y, high.y}, {low.z, high.z, low.w, high.w}}};
}
MHC_DEVICE left_piece in_order(const left_piece& rows) { return in_order(rows.rows[0], rows.rows[1]); }
MHC_DEVICE void add_in_order(product_sums& sums, const left_piece& a, const uint4& b)
{
    add_step(sums, a.rows[0].x, a.rows[0].y, a.rows[0].z, a.rows[0].w, b.x, b.y);
    add_step(sums, a.rows[1].x, a.rows[1].y, a.rows[1].z, a.rows[1].w, b.z, b.w);
}

/// Products of 16 tokens by the 8 channels that each of 8 lanes has: channels are the rows, two of a lane's at a time, so
/// that a lane's sums are of the tokens that it has in a product over tokens.
struct token_products {
    static constexpr int tokens = 4;  ///< of 16, in a lane
    product_sums at[2][4];
    static MHC_MEMBER int token(int group, int k) { return k / 2 * 8 + group * 2 + k % 2; }
    /// Puts what a lane's 8 channels have of some rows of fn `distance` words apart, as add takes it: the words of one
    /// instruction together.
    static MHC_MEMBER void keep(uint4* to, int distance, const uint4 (&channels)[8])
    {
#pragma unroll
        for (int j = 0; j < 8; j += 2) {
            const left_piece pair = in_order(channels[j], channels[j + 1]);
            to[j * distance] = pair.rows[0];
            to[(j + 1) * distance] = pair.rows[1];
        }
    }
    /// weights(i): the i-th word that keep has put; tokens_from(first): of the token `column` after it.
    template <class Weights, class Tokens>
    MHC_MEMBER void add(Weights weights, Tokens tokens_from)
    {
        const uint4 right[2] = {tokens_from(0), tokens_from(8)};
#pragma unroll
        for (int j = 0; j < 4; ++j) {
            const left_piece left = {{weights(2 * j), weights(2 * j + 1)}};
            add_in_order(at[0][j], left, right[0]);
            add_in_order(at[1][j], left, right[1]);
        }
    }
    MHC_MEMBER float get(int k, int channel) const { return at[k / 2][channel / 2].at[channel % 2 * 2 + k % 2]; }
};

/// Sum over the lanes of a warp, of a in the lower half of them, of b in the upper one.
MHC_DEVICE float sum_in_halves(float a, float b, int lane)
{
    const bool is_upper = lane & 16;
    return wave_sum<16>((is_upper ? b : a) + __shfl_xor_sync(0xffffffffU, is_upper ? a : b, 16));
}

/// Products of up to 4 rows by up to 4 others, added up: of a step the lanes of `lanes` vectors of 8 channels, in whose
/// order the channels of both rows are. A lane brings one row of each from lane lane_of(lane) of the step.
struct row_products {
    static constexpr int lanes = 8;
    product_sums sums;
    static MHC_MEMBER int row(int lane) { return lane / 4 % 4; }
    static MHC_MEMBER int lane_of(int lane) { return lane / 16 * 4 + lane % 4; }
    MHC_MEMBER void add(uint4 left, uint4 right, const bf16*)
    {
        const left_piece piece = {{left, {0, 0, 0, 0}}};
        add_product(sums, &piece, &right);
    }
    MHC_MEMBER void add(uint4 left, uint4 right, const fp16* type)
    {
        const left_piece piece = {{left, {0, 0, 0, 0}}};
        add_product(sums, &piece, &right, type);
    }
    /// put(row of the left, row of the right, their product) in one lane for each. All lanes of the wave must call it.
    template <class Put>
    MHC_MEMBER void give(int lane, Put put) const
    {
        // Rows and columns from 4 on are the same ones, of the other half of the channels.
#pragma unroll
        for (int e = 0; e < 2; ++e) {
            const float product = sums.at[e] + __shfl_xor_sync(0xffffffffU, sums.at[e], 18);
            if (lane < 16 && lane % 4 < 2) put(lane / 4, lane % 4 * 2 + e, product);
        }
    }
};

/// The lower or the upper halves of two words, those of the first one in the low half.
MHC_DEVICE u32 lower_halves(u32 low, u32 high) { return __byte_perm(low, high, 0x5410); }
MHC_DEVICE u32 upper_halves(u32 low, u32 high) { return __byte_perm(low, high, 0x7632); }

/// 16 bytes at `p`, a multiple of Align, that other waves read too.
template <int Align>
MHC_DEVICE uint4 load_words_of(const bf16* p)
{
    return load_words<uint4, Align>(p);
}

/// v, as if it were not known before: what follows from it is not kept in registers from one turn of a loop to the next.
MHC_DEVICE int made_anew(int v)
{
    asm volatile("" : "+r"(v));
    return v;
}

/// The largest number of the four lanes that share a row of a left factor, in each of them.
MHC_DEVICE u32 row_max(u32 v, const fp16*)
{
    v = max(v, __shfl_xor_sync(0xffffffffU, v, 1));
    return max(v, __shfl_xor_sync(0xffffffffU, v, 2));
}

/// Sum over the four lanes that share g, in each of them.
MHC_DEVICE float quad_sum(float v)
{
    v += __shfl_xor_sync(0xffffffffU, v, 1);
    return v + __shfl_xor_sync(0xffffffffU, v, 2);
}

MHC_DEVICE float add_squares(float sum, u32 pair)
{
    const float low = bits_to_float(pair << 16), high = bits_to_float(pair & 0xffff0000U);
    return fma(high, high, fma(low, low, sum));
}

/// The sums of squares of the columns that a right factor brings, by ordinary arithmetic: a product more takes longer.
template <int Loads>
struct column_squares {
    float parts[2];  ///< of loads by turns
    MHC_MEMBER void add(int load, const uint4* v)
    {
        float& part = parts[load % 2];
        part = add_squares(add_squares(add_squares(add_squares(part, v->x), v->y), v->z), v->w);
    }
    /// Of numbers that are split for the products.
    MHC_MEMBER void add(int load, const weight_parts*, const vec<float, 8>* values)
    {
        float& part = parts[load % 2];
#pragma unroll
        for (int i = 0; i < 8; ++i) part = fma(values->at[i], values->at[i], part);
    }
    /// put(column, sum) in one lane for each column.
    template <class Put>
    MHC_MEMBER void give(int lane, Put put) const
    {
        const float sum = quad_sum(parts[0] + parts[1]);
        if (lane % 4 == 0) put(lane / 4, sum);
    }
};

/// Where a queue keeps the words of a lane that has the columns of matrix_unit::column and, of each column, the tokens of
/// its group: copies write what a group has together, and neither they nor the lanes that read meet in a bank.
MHC_DEVICE int place_of_columns(int thread)
{
    const int group = matrix_unit::group(thread % 32), column = matrix_unit::column(thread % 32);
    return thread / 32 * 32 + group * 8 + (column ^ (2 * group));
}

}  // namespace mhc
