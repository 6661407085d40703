// mhc/device/amdgpu_wmma_twice.hpp -- matrix products of gfx1100 and gfx1101: WMMA of 16 x 16 by 16 x 16, in waves of 32 of
// which both halves have the factors.
#pragma once

#include <mhc/device/amdgpu_matrix.hpp>

namespace mhc {

/// A product of 16 rows by 16 columns as a wave has it: lanes g and 16 + g have, of eight channels of their own, row g of the
/// left factor and column g of the right one, and of the result the even or the odd rows of column g. The instruction wants
/// both lanes to have all sixteen channels: they give them to each other, so that memory is asked once. (RDNA3 ISA, "Wave
/// Matrix Multiply Accumulate".)
struct matrix_unit {
    static constexpr int columns = 16;       ///< of a product
    static constexpr int left_rows = 1;      ///< of a left factor in a lane
    static constexpr int groups = 2;         ///< of lanes that have the same rows and columns, each other channels
    static constexpr int loads = 1;          ///< of 8 channels a lane, in a product
    static constexpr int sums = 8;           ///< of a product in a lane
    static constexpr int half_rows = 8;      ///< item i and item i + sums / 2 of a lane are so many rows apart
    static constexpr int waves = 16;         ///< that share the weights of a slice
    static constexpr int tiles_at_once = 1;  ///< between two barriers
    static constexpr bool takes_fp16 = false;
    static MHC_MEMBER int group(int lane) { return lane / 16; }
    static MHC_MEMBER int column(int lane) { return lane % 16; }
    static MHC_MEMBER int left_row(int lane, int) { return lane % 16; }
    static MHC_MEMBER int sum_row(int lane, int item) { return lane / 16 + item * 2; }
    static MHC_MEMBER int sum_column(int lane, int) { return lane % 16; }
    /// Floats from one token's `width` sums to the next one's in LDS: an odd number, for rows are written one by one.
    static constexpr MHC_MEMBER int spaced(int width) { return width; }
};

struct product_sums {
    vec<float, 8> at;
};

/// bf16 of sixteen channels of a row, the same in lanes g and 16 + g, from the eight that each of them has.
struct shared_row {
    uint4 first, second;

    MHC_MEMBER void operator=(uint4 own)
    {
        const bool is_upper = (__builtin_amdgcn_workitem_id_x() & 16U) != 0;
#pragma unroll
        for (int i = 0; i < 4; ++i) {
            const u32 mine = own[i];
            const u32 other = __builtin_amdgcn_permlanex16(mine, mine, 0x76543210U, 0xfedcba98U, true, false);
            first[i] = is_upper ? other : mine;
            second[i] = is_upper ? mine : other;
        }
    }
};

/// What a lane has of a left factor: its row's channels.
struct left_piece {
    shared_row rows[1];
};

/// sums += a * b, of all channels of two lanes. Products are exact; they are added in an order of the GPU's, the same for
/// every column.
MHC_DEVICE void add_product(product_sums& sums, const left_piece* a, const uint4* b)
{
    using sixteen = short __attribute__((ext_vector_type(16)));
    shared_row right;  // made once for all products that it is in
    right = *b;
    sums.at = __builtin_amdgcn_wmma_f32_16x16x16_bf16_w32(__builtin_bit_cast(sixteen, a->rows[0]),
                                                          __builtin_bit_cast(sixteen, right), sums.at);
}

}  // namespace mhc

#include <mhc/device/square_products.hpp>
