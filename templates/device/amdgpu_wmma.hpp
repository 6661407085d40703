// mhc/device/amdgpu_wmma.hpp -- matrix products of gfx1200 and gfx1201: WMMA of 16 x 16 by 16 x 16, in waves of 32.
#pragma once

#include <mhc/device/amdgpu_matrix.hpp>

namespace mhc {

/// A product of 16 rows by 16 columns as a wave has it: lane 16 q + g has, of eight channels of its own, row g of the left
/// factor and column g of the right one, and of the result rows 8 q to 8 q + 7 of column g. (RDNA4 ISA, "Wave Matrix
/// Multiply Accumulate".)
struct matrix_unit {
    static constexpr int columns = 16;       ///< of a product
    static constexpr int left_rows = 1;      ///< of a left factor in a lane
    static constexpr int groups = 2;         ///< of lanes that have the same rows and columns, each other channels
    static constexpr int loads = 1;          ///< of 8 channels a lane, in a product
    static constexpr int sums = 8;           ///< of a product in a lane
    static constexpr int half_rows = 4;      ///< item i and item i + sums / 2 of a lane are so many rows apart
    static constexpr int waves = 8;          ///< that share the weights of a slice
    static constexpr int tiles_at_once = 1;  ///< between two barriers
    static constexpr bool takes_fp16 = false;
    static MHC_MEMBER int group(int lane) { return lane / 16; }
    static MHC_MEMBER int column(int lane) { return lane % 16; }
    static MHC_MEMBER int left_row(int lane, int) { return lane % 16; }
    static MHC_MEMBER int sum_row(int lane, int item) { return lane / 16 * 8 + item; }
    static MHC_MEMBER int sum_column(int lane, int) { return lane % 16; }
    /// Floats from one token's `width` sums to the next one's in LDS: four are written at once.
    static constexpr MHC_MEMBER int spaced(int width) { return ceil_div(width, 4) * 4; }
};

struct product_sums {
    vec<float, 8> at;
};

/// What a lane has of a left factor: bf16 of eight channels of its row.
struct left_piece {
    uint4 rows[1];
};

/// sums += a * b, of all channels of two lanes. Products are exact; they are added in an order of the GPU's, the same for
/// every column.
MHC_DEVICE void add_product(product_sums& sums, const left_piece* a, const uint4* b)
{
    using eight = short __attribute__((ext_vector_type(8)));
    sums.at = __builtin_amdgcn_wmma_f32_16x16x16_bf16_w32_gfx12(__builtin_bit_cast(eight, a->rows[0]),
                                                                __builtin_bit_cast(eight, *b), sums.at);
}

}  // namespace mhc

#include <mhc/device/square_products.hpp>
