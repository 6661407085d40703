// emulator/vector_packed.cpp -- two numbers a lane: packed fp32 in register pairs, packed moves.
#include "emulator/handlers.hpp"
#include "emulator/lanes.hpp"

namespace mhc::emulator {
namespace {

/// The word of a source that op_sel asks for. What hardware takes as the upper half of a constant is not documented: only
/// that of 0 is the same by every reading.
u32 chosen_word(const operand& from, u32 word)
{
    if (word == 0 || from.kind != operand_kind::constant) return word;
    if (from.value != 0) throw fault("the upper half of a constant in packed arithmetic is not modelled");
    return 0;
}

/// Source `number` of half `half`: op_sel and op_sel_hi choose the word, neg_lo and neg_hi the sign.
const u32* read_half(const wave& w, const operation& op, u32 number, u32 half, row& buffer)
{
    operand from = op.from[number];
    const u32 word = chosen_word(from, (half == 0 ? op.op_sel : op.op_sel_hi) >> number & 1U);
    from.is_negated = ((half == 0 ? op.neg_lo : op.neg_hi) >> number & 1U) != 0;
    return read_single(w, op, from, buffer, word);
}

template <auto F>
void binary(wave& w, const operation& op)
{
    row buffer_a, buffer_b, results[2];
    for (u32 half = 0; half < 2; ++half) {
        const u32* a = read_half(w, op, 0, half, buffer_a);
        const u32* b = read_half(w, op, 1, half, buffer_b);
        row& result = results[half];
        each_lane(w, [&](u32 i) { result[i] = to_bits(F(to_float(a[i]), to_float(b[i]))); });
    }
    for (u32 half = 0; half < 2; ++half) write_single(w, op, results[half], half);
}

void fma(wave& w, const operation& op)
{
    row buffer_a, buffer_b, buffer_c, results[2];
    for (u32 half = 0; half < 2; ++half) {
        const u32* a = read_half(w, op, 0, half, buffer_a);
        const u32* b = read_half(w, op, 1, half, buffer_b);
        const u32* c = read_half(w, op, 2, half, buffer_c);
        row& result = results[half];
        each_lane(w, [&](u32 i) { result[i] = to_bits(__builtin_fmaf(to_float(a[i]), to_float(b[i]), to_float(c[i]))); });
    }
    for (u32 half = 0; half < 2; ++half) write_single(w, op, results[half], half);
}

/// The low word comes from source 0, the high word from source 1; op_sel chooses which word of each.
void move(wave& w, const operation& op)
{
    row buffer, results[2];
    for (u32 half = 0; half < 2; ++half) {
        const u32 word = chosen_word(op.from[half], op.op_sel >> half & 1U);
        const u32* a = read(w, op, op.from[half], word, buffer);
        row& result = results[half];
        each_lane(w, [&](u32 i) { result[i] = a[i]; });
    }
    for (u32 half = 0; half < 2; ++half) write(w, op, results[half], half);
}

const handler_entry entries[] = {
    {"v_pk_add_f32", binary<[](float a, float b) { return a + b; }>},
    {"v_pk_mul_f32", binary<[](float a, float b) { return a * b; }>},
    {"v_pk_fma_f32", fma},
    {"v_pk_mov_b32", move},
};

}  // namespace

handler_family vector_packed_family() { return entries; }

}  // namespace mhc::emulator
