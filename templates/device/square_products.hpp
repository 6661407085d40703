// mhc/device/square_products.hpp -- what follows from products of 16 by 16 whose factors lie in lanes alike: sums of
// squares, the diagonal of a product with itself; and products whose sums lie as factors of the next ones do.
#pragma once

namespace mhc {

/// The sums of squares of the columns that a right factor brings: it is the left one too, since both lie in lanes alike.
template <int Loads>
struct column_squares {
    product_sums sums;
    MHC_MEMBER void add(int, const uint4* v)
    {
        left_piece same[matrix_unit::loads];
#pragma unroll
        for (int k = 0; k < matrix_unit::loads; ++k) same[k].rows[0] = v[k];
        add_product(sums, same, v);
    }
    /// Of numbers that are split for the products: what their low parts' own squares would add is below 2^-18 of the sum.
    MHC_MEMBER void add(int load, const weight_parts* parts, const vec<float, 8>*)
    {
        uint4 high[matrix_unit::loads], low[matrix_unit::loads];
#pragma unroll
        for (int k = 0; k < matrix_unit::loads; ++k) {
            high[k] = parts[k].high;
            low[k] = parts[k].low;
        }
        add(load, high);
        left_piece left[matrix_unit::loads];
#pragma unroll
        for (int k = 0; k < matrix_unit::loads; ++k) left[k].rows[0] = high[k];
        add_product(sums, left, low);
        add_product(sums, left, low);
    }
    /// put(column, sum) in one lane for each column.
    template <class Put>
    MHC_MEMBER void give(int lane, Put put) const
    {
        bool has_diagonal = false;
        float sum = 0.0f;
#pragma unroll
        for (int i = 0; i < matrix_unit::sums; ++i) {
            const bool is_diagonal = matrix_unit::sum_row(lane, i) == matrix_unit::sum_column(lane, i);
            const float one = sums.at[i];
            sum = is_diagonal ? one : sum;
            has_diagonal = has_diagonal || is_diagonal;
        }
        if (has_diagonal) put(matrix_unit::column(lane), sum);
    }
};

/// A left piece as add_in_order takes it.
MHC_DEVICE left_piece in_order(const left_piece& rows) { return rows; }
MHC_DEVICE void add_in_order(product_sums& sums, const left_piece& a, const uint4& b) { add_product(sums, &a, &b); }

/// Products of 16 tokens by the 8 channels that each of 16 lanes has: tokens are the rows, so that a lane's sums are of the
/// tokens that it has in a product over tokens.
struct token_products {
    static constexpr int tokens = matrix_unit::sums;  ///< of 16, in a lane
    product_sums at[8];
    static MHC_MEMBER int token(int group, int k) { return group * tokens + k; }
    /// Puts what a lane's 8 channels have of some rows of fn `distance` words apart, as add takes it.
    static MHC_MEMBER void keep(uint4* to, int distance, const uint4 (&channels)[8])
    {
#pragma unroll
        for (int c = 0; c < 8; ++c) to[c * distance] = channels[c];
    }
    /// weights(i): the i-th word that keep has put; tokens_from(first): of the token `column` after it.
    template <class Weights, class Tokens>
    MHC_MEMBER void add(Weights weights, Tokens tokens_from)
    {
        const left_piece left = {{tokens_from(0)}};
#pragma unroll
        for (int c = 0; c < 8; ++c) {
            const uint4 right = weights(c);
            add_product(at[c], &left, &right);
        }
    }
    MHC_MEMBER float get(int k, int channel) const { return at[channel].at[k]; }
};

}  // namespace mhc
