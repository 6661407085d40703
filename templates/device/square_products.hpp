// mhc/device/square_products.hpp -- sums of squares by matrix units: the diagonal of a product with itself.
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

}  // namespace mhc
