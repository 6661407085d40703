// emulator/matrix_sums.hpp -- the sums of products of matrix instructions, by the rules of matrix_numbers.hpp.
//
// A kind of sums has left_factors and right_factors, sources as they are while they are multiplied, and add(), for one row
// of A and all columns of B: sums[j] += a[k] * b[k * Columns + j] over its k, each column's in order. Columns are what loops
// go over last, for the compiler to vectorise.
#pragma once

#include "emulator/matrix_numbers.hpp"

namespace mhc::emulator {

/// No side has more than eight elements a lane.
inline constexpr u32 factors_max = 64 * 8;

/// Calls f(column) for each. GCC unrolls a loop of so few whole, and then does not vectorise it.
template <u32 Columns, class F>
inline __attribute__((always_inline)) void each_column(F f)
{
#pragma GCC unroll 1
    for (u32 j = 0; j < Columns; ++j) f(j);
}

/// fp32 and fp64: T, and its bits.
template <class T, class Bits, u32 K>
struct sum_of_chain {
    using result = Bits;
    static constexpr u32 source_bits = sizeof(T) * 8;
    struct factors {
        T at[factors_max];
        void set(u32 place, u64 bits) { at[place] = std::bit_cast<T>(static_cast<Bits>(bits)); }
    };
    using left_factors = factors;
    using right_factors = factors;
    template <u32 Columns>
    static void add(const factors& a, u32 a_first, const factors& b, u32 b_first, result (&sums)[Columns])
    {
        for (u32 k = 0; k < K; ++k)
            for (u32 j = 0; j < Columns; ++j)
                sums[j] = std::bit_cast<Bits>(
                    std::fma(a.at[a_first + k], b.at[b_first + k * Columns + j], std::bit_cast<T>(sums[j])));
    }
};

template <u32 K>
struct sum_of_bytes {
    using result = u32;
    static constexpr u32 source_bits = 8;
    struct factors {
        i32 at[factors_max];
        void set(u32 place, u64 bits) { at[place] = static_cast<i8>(bits); }
    };
    using left_factors = factors;
    using right_factors = factors;
    template <u32 Columns>
    static void add(const factors& a, u32 a_first, const factors& b, u32 b_first, result (&sums)[Columns])
    {
        for (u32 k = 0; k < K; ++k)
            for (u32 j = 0; j < Columns; ++j)
                sums[j] += static_cast<u32>(a.at[a_first + k] * b.at[b_first + k * Columns + j]);
    }
};

/// gfx90a.
template <class Format, u32 K, u32 Group>
struct sum_of_trees {
    using result = u32;
    static constexpr u32 source_bits = 16;
    struct factors {
        float at[factors_max];
        void set(u32 place, u64 bits) { at[place] = Format::normal_single(static_cast<u32>(bits)); }
    };
    using left_factors = factors;
    using right_factors = factors;
    template <u32 Columns>
    static void add(const factors& a, u32 a_first, const factors& b, u32 b_first, result (&sums)[Columns])
    {
        float sum[Columns], products[Group][Columns];
        for (u32 j = 0; j < Columns; ++j) sum[j] = std::fabs(to_float(sums[j])) < 0x1p-126F ? 0.0F : to_float(sums[j]);
        for (u32 k = 0; k < K; k += Group) {
            for (u32 i = 0; i < Group; ++i)
                each_column<Columns>([&](u32 j) {
                    products[i][j] = without_subnormal(a.at[a_first + k + i] * b.at[b_first + (k + i) * Columns + j]);
                });
            for (u32 distance = 1; distance < Group; distance *= 2)  // neighbours first
                for (u32 i = 0; i < Group; i += 2 * distance)
                    each_column<Columns>(
                        [&](u32 j) { products[i][j] = without_subnormal(products[i][j] + products[i + distance][j]); });
            each_column<Columns>([&](u32 j) { sum[j] = without_subnormal(sum[j] + products[0][j]); });
        }
        for (u32 j = 0; j < Columns; ++j) sums[j] = to_bits(sum[j]);
    }
};

/// Sources of gfx942 in parts.
template <class Format>
struct factors_in_parts {
    i32 significand[factors_max], exponent[factors_max];
    u32 stored[factors_max];
    i32 largest = -126;  ///< exponent of all
    bool has_special = false;

    void set(u32 at, u64 bits)
    {
        const auto v = static_cast<u32>(Format::bits > 16 ? bits >> 13 : bits);  // xf32 is 32 bits in its register
        const number_parts p = Format::parts(v);
        significand[at] = p.significand;
        exponent[at] = p.exponent;
        stored[at] = v;
        largest = std::max(largest, p.exponent);
        has_special |= Format::is_special(v);
    }
};

/// gfx942: fp16, bf16, xf32; ByParity: fp8 and bf8, whose even and odd products are added apart.
template <class A, class B, u32 K, u32 Group, bool ByParity = false>
struct sum_of_groups {
    using result = u32;
    static constexpr u32 source_bits = A::bits > 16 ? 32 : A::bits;
    using left_factors = factors_in_parts<A>;
    using right_factors = factors_in_parts<B>;

    template <u32 Columns>
    static void add(const left_factors& a, u32 a_first, const right_factors& b, u32 b_first, result (&sums)[Columns])
    {
        const bool are_plain = !a.has_special && !b.has_special && a.largest + b.largest < 127;
        for (u32 k = 0; k < K; k += Group) add_group(a, a_first + k, b, b_first + k * Columns, are_plain, sums);
    }

private:
    static bool is_infinite_or_nan(u32 v) { return (v & 0x7F800000U) == 0x7F800000U; }

    template <u32 Columns>
    static void add_group(const left_factors& a, u32 a_first, const right_factors& b, u32 b_first, bool are_plain,
                          u32 (&sums)[Columns])
    {
        u32 addends[Columns];
        std::copy_n(sums, Columns, addends);
        fused_sums<Columns> found = products<Columns>(a, a_first, b, b_first);
        if constexpr (ByParity) found.join(products<Columns>(a, a_first + 1, b, b_first + Columns));
        bool are_all_plain = are_plain;
        each_column<Columns>([&](u32 j) {
            are_all_plain &= !is_infinite_or_nan(addends[j]);
            sums[j] = to_bits(add_fused(found.sum[j], found.exponent[j], addends[j], ByParity));
        });
        if (are_all_plain) return;
        for (u32 j = 0; j < Columns; ++j) replace_special(a, a_first, b, b_first + j, Columns, addends[j], sums[j]);
    }

    /// A group's products from the first on; ByParity: every second.
    template <u32 Columns>
    static fused_sums<Columns> products(const left_factors& a, u32 a_first, const right_factors& b, u32 b_first)
    {
        constexpr u32 step = ByParity ? 2 : 1;
        constexpr i32 up = 24 - static_cast<i32>(A::fraction_bits + B::fraction_bits);
        fused_sums<Columns> made;
        each_column<Columns>([&](u32 j) { made.exponent[j] = a.exponent[a_first] + b.exponent[b_first + j]; });
        for (u32 k = step; k < Group; k += step)
            each_column<Columns>([&](u32 j) {
                const i32 exponent = a.exponent[a_first + k] + b.exponent[b_first + k * Columns + j];
                made.exponent[j] = std::max(made.exponent[j], exponent);
            });
        for (u32 k = 0; k < Group; k += step)
            each_column<Columns>([&](u32 j) {
                const u32 right = b_first + k * Columns + j;
                const i32 product = a.significand[a_first + k] * b.significand[right];
                const i32 down = std::min(made.exponent[j] - a.exponent[a_first + k] - b.exponent[right], 31);
                const i32 size = std::abs(product) << up >> down;  // cut off towards zero
                made.sum[j] += product < 0 ? -size : size;
            });
        return made;
    }

    /// Infinities and NaN, and products that are infinite as fp32.
    static void replace_special(const left_factors& a, u32 a_first, const right_factors& b, u32 b_first, u32 columns,
                                u32 addend, u32& sum)
    {
        bool is_special = is_infinite_or_nan(addend);
        for (u32 k = 0; k < Group; ++k)
            is_special |= A::is_special(a.stored[a_first + k]) || B::is_special(b.stored[b_first + k * columns]);
        double made = is_special ? static_cast<double>(to_float(addend)) : 0.0;
        for (u32 k = 0; k < Group; ++k) {
            const double product = A::value(a.stored[a_first + k]) * B::value(b.stored[b_first + k * columns]);
            if (is_special)
                made += product;
            else if (std::fabs(product) >= 0x1p128)
                made += product < 0 ? -std::numeric_limits<double>::infinity() : std::numeric_limits<double>::infinity();
        }
        if (is_special || !std::isfinite(made)) sum = to_bits(static_cast<float>(made));
    }
};

}  // namespace mhc::emulator
