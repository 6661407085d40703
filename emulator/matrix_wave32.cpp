// emulator/matrix_wave32.cpp -- WMMA of gfx11 and gfx12: D = A * B + C of 16 x 16 x 16, in waves of 32.
//
// Where elements lie: the RDNA3 and RDNA4 ISA documents, "Wave Matrix Multiply Accumulate". How sums are rounded is not
// documented and defined by us: a chain of fma in fp32 over k, from C; results of 16 bits are rounded from it, once.
#include <fmt/format.h>

#include <array>

#include "emulator/handlers.hpp"
#include "emulator/lanes.hpp"
#include "emulator/numbers.hpp"

namespace mhc::emulator {
namespace {

constexpr u32 size = 16;
using matrix = std::array<std::array<float, size>, size>;

struct half {
    static float value(u32 bits) { return half_to_single(bits); }
    static u32 rounded(float v) { return single_to_half(v); }
};
struct bfloat {
    static float value(u32 bits) { return to_float(bits << 16); }
    static u32 rounded(float v)
    {
        const u32 bits = to_bits(v);
        if (is_nan(bits)) return quieted(bits) >> 16;
        return (bits + 0x7FFFU + (bits >> 16 & 1U)) >> 16;
    }
};

/// gfx11: a lane holds a row of A, or a column of B; the upper half of the wave the same ones again. The machine reads
/// both halves, and a kernel that gives different ones is wrong.
template <class Type>
void read_source_twice(const wave& w, const operation& op, const operand& from, matrix& into)
{
    for (u32 word = 0; word < size / 2; ++word) {
        row buffer;
        const u32* bits = read(w, op, from, word, buffer);
        for (u32 r = 0; r < size; ++r) {
            if (bits[r] != bits[r + size])
                throw fault(
                    fmt::format("lanes {} and {} of a matrix source differ; on gfx11 both hold row {}", r, r + size, r));
            into[r][2 * word] = Type::value(bits[r] & 0xFFFFU);
            into[r][2 * word + 1] = Type::value(bits[r] >> 16);
        }
    }
}
/// gfx12: the lower lanes hold k from 0 to 7, the upper ones the rest.
template <class Type>
void read_source_once(const wave& w, const operation& op, const operand& from, matrix& into)
{
    for (u32 word = 0; word < size / 4; ++word) {
        row buffer;
        const u32* bits = read(w, op, from, word, buffer);
        for (u32 lane = 0; lane < 32; ++lane) {
            const u32 k = lane / size * 8 + 2 * word;
            into[lane % size][k] = Type::value(bits[lane] & 0xFFFFU);
            into[lane % size][k + 1] = Type::value(bits[lane] >> 16);
        }
    }
}

/// The row of C and D whose element is in item `item` of a lane; its column is lane % 16.
u32 row_of(const operation& op, u32 item, u32 lane)
{
    return op.generation == 11 ? 2 * item + lane / size : lane / size * 8 + item;
}

float dot(const matrix& a, const matrix& b, u32 i, u32 j, float sum)
{
    for (u32 k = 0; k < size; ++k) sum = __builtin_fmaf(a[i][k], b[j][k], sum);
    return sum;
}

template <class Type>
void read_sources(const wave& w, const operation& op, matrix& a, matrix& b)
{
    if (op.neg_lo != 0 || op.neg_hi != 0 || op.clamps) throw fault("a WMMA that negates or clamps is not modelled");
    const auto read_source = op.generation == 11 ? read_source_twice<Type> : read_source_once<Type>;
    read_source(w, op, op.from[0], a);
    read_source(w, op, op.from[1], b);
}

template <class Type>
void to_singles(wave& w, const operation& op)
{
    matrix a, b;
    read_sources<Type>(w, op, a, b);
    row results[8];
    for (u32 item = 0; item < 8; ++item) {
        row buffer;
        const u32* c = read(w, op, op.from[2], op.from[2].kind == operand_kind::constant ? 0 : item, buffer);
        for (u32 lane = 0; lane < 32; ++lane)
            results[item][lane] = to_bits(dot(a, b, row_of(op, item, lane), lane % size, to_float(c[lane])));
    }
    for (u32 item = 0; item < 8; ++item) std::memcpy(w.vector(op.to[0].index + item), results[item].at, 32 * sizeof(u32));
}

/// gfx11: a result in each of eight registers, in the half that op_sel chooses; the other half stays. gfx12: two a register.
template <class Type>
void to_halves(wave& w, const operation& op)
{
    matrix a, b;
    read_sources<Type>(w, op, a, b);
    const bool is_packed = op.generation != 11;
    const u32 chosen = (op.op_sel & 4U) != 0 ? 16 : 0;
    row results[8];
    for (u32 item = 0; item < 8; ++item) {
        const u32 word = is_packed ? item / 2 : item, shift = is_packed ? item % 2 * 16 : chosen;
        row buffer;
        const bool is_constant = op.from[2].kind == operand_kind::constant;
        const u32* c = read(w, op, op.from[2], is_constant ? 0 : word, buffer);
        const u32* before = w.vector(op.to[0].index + word);
        for (u32 lane = 0; lane < 32; ++lane) {
            const float sum = Type::value(c[lane] >> (is_constant ? 0 : shift) & 0xFFFFU);
            const u32 d = Type::rounded(dot(a, b, row_of(op, item, lane), lane % size, sum));
            u32& result = results[word][lane];
            if (!is_packed || item % 2 == 0) result = is_packed ? 0 : before[lane] & ~(0xFFFFU << shift);
            result |= d << shift;
        }
    }
    for (u32 word = 0; word < (is_packed ? 4U : 8U); ++word)
        std::memcpy(w.vector(op.to[0].index + word), results[word].at, 32 * sizeof(u32));
}

const handler_entry entries[] = {
    {"v_wmma_f32_16x16x16_f16", to_singles<half>},
    {"v_wmma_f32_16x16x16_bf16", to_singles<bfloat>},
    {"v_wmma_f16_16x16x16_f16", to_halves<half>},
    {"v_wmma_bf16_16x16x16_bf16", to_halves<bfloat>},
};

}  // namespace

handler_family matrix_wave32_family() { return entries; }

}  // namespace mhc::emulator
