// mhc/device/amdgpu_mfma.hpp -- matrix products of gfx90a, gfx942 and gfx950: MFMA of 16 x 16 by 16 x 16, on gfx950 by
// 32 x 16, in waves of 64.
#pragma once

#include <mhc/device/amdgpu_matrix.hpp>

namespace mhc {

/// A product of 16 rows by 16 columns as a wave has it: lane 16 q + g has, of eight channels of its own, row g of the left
/// factor and column g of the right one, and of the result rows 4 q to 4 q + 3 of column g. (MI300 ISA, "Matrix Arithmetic
/// Instructions".)
struct matrix_unit {
    static constexpr int columns = 16;       ///< of a product
    static constexpr int left_rows = 1;      ///< of a left factor in a lane
    static constexpr int groups = 4;         ///< of lanes that have the same rows and columns, each other channels
    static constexpr int loads = 1;          ///< of 8 channels a lane, in a product
    static constexpr int sums = 4;           ///< of a product in a lane
    static constexpr int half_rows = 2;      ///< item i and item i + sums / 2 of a lane are so many rows apart
    static constexpr int waves = 8;          ///< that share the weights of a slice
    static constexpr int tiles_at_once = 1;  ///< between two barriers
    static constexpr bool takes_fp16 = false;
    static MHC_MEMBER int group(int lane) { return lane / 16; }
    static MHC_MEMBER int column(int lane) { return lane % 16; }
    static MHC_MEMBER int left_row(int lane, int) { return lane % 16; }
    static MHC_MEMBER int sum_row(int lane, int item) { return lane / 16 * 4 + item; }
    static MHC_MEMBER int sum_column(int lane, int) { return lane % 16; }
    /// Floats from one token's `width` sums to the next one's in LDS: four are written at once.
    static constexpr MHC_MEMBER int spaced(int width) { return ceil_div(width, 4) * 4; }
};

struct product_sums {
    vec<float, 4> at;
};

/// What a lane has of a left factor: bf16 of eight channels of its row.
struct left_piece {
    uint4 rows[1];
};

/// sums += a * b, of all channels of four lanes. Products are exact; they are added in an order of the GPU's, the same for
/// every column.
MHC_DEVICE void add_product(product_sums& sums, const left_piece* a, const uint4* b)
{
#if __has_builtin(__builtin_amdgcn_mfma_f32_16x16x32_bf16)  // gfx950, and every compiler that knows it
    using eight = __bf16 __attribute__((ext_vector_type(8)));
    sums.at = __builtin_amdgcn_mfma_f32_16x16x32_bf16(__builtin_bit_cast(eight, a->rows[0]), __builtin_bit_cast(eight, *b),
                                                      sums.at, 0, 0, 0);
#else
    using eight = short __attribute__((ext_vector_type(8)));
    const eight left = __builtin_bit_cast(eight, a->rows[0]), right = __builtin_bit_cast(eight, *b);
    sums.at = __builtin_amdgcn_mfma_f32_16x16x16bf16_1k(left.lo, right.lo, sums.at, 0, 0, 0);
    sums.at = __builtin_amdgcn_mfma_f32_16x16x16bf16_1k(left.hi, right.hi, sums.at, 0, 0, 0);
#endif
}

}  // namespace mhc

#include <mhc/device/square_products.hpp>
