// emulator/operation.hpp -- one decoded instruction: its handler, its operands, its modifiers. Made once a code object.
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "emulator/counting_rule.hpp"
#include "emulator/integers.hpp"

namespace mhc::emulator {

struct wave;
struct operation;

/// Executes one instruction for one wave. `wave::next` has been moved past it already.
using handler = void (*)(wave& w, const operation& op);

/// Numbers of the scalar registers, the machine's own where it has them: s0 to s105, then these.
namespace scalar {
inline constexpr u16 vcc = 106, trap_temporary = 108, m0 = 124, null = 125, exec = 126;
inline constexpr u16 scc = 128, vccz = 129, execz = 130;  ///< read-only: what the name means at that moment
inline constexpr u16 count = 131;
}  // namespace scalar

enum class operand_kind : u8 { none, vector, scalar, constant };

/// Part of a 32-bit source that SDWA takes, or of a result that it writes.
enum class part : u8 { byte_0, byte_1, byte_2, byte_3, word_0, word_1, dword };

struct operand {
    operand_kind kind = operand_kind::none;
    u8 words = 0;             ///< registers it names
    u16 index = 0;            ///< of its first register; accumulation registers come after `first_accumulator`
    u32 value = 0, high = 0;  ///< of a constant; `high` is what a 64-bit operation sees above it
    part selected = part::dword;
    bool is_negated = false, is_absolute = false, is_sign_extended = false;
    bool is_moved = false;  ///< DPP moves it between lanes before use

    bool is_plain() const { return !is_negated && !is_absolute && selected == part::dword && !is_moved; }
};

inline constexpr u16 first_accumulator = 256;  ///< a0 among the vector registers

/// How DPP chooses, for each lane, the lane to read.
struct lane_move {
    enum class kind : u8 {
        none,
        quad_perm,
        row_shl,
        row_shr,
        row_ror,
        row_mirror,
        row_half_mirror,
        row_share,
        row_xmask,
        row_bcast15,
        row_bcast31,
        wave_shl,
        wave_shr,
        wave_rol,
        wave_ror,
        dpp8,
        row_newbcast
    };
    kind how = kind::none;
    std::array<u8, 8> selected{};  ///< of quad_perm (4 of them) and dpp8
    u8 amount = 0;                 ///< of rows' shifts and their kind
    u8 row_mask = 0xF, bank_mask = 0xF;
    bool is_zero_outside = false;  ///< bound_ctrl: lanes without a source read 0 instead of staying as they were
};

struct operation {
    handler run = nullptr;
    std::array<operand, 2> to;    ///< destinations, as they are written
    std::array<operand, 5> from;  ///< sources, as they are written
    u8 from_count = 0;
    u8 op_sel = 0, op_sel_hi = 0, neg_lo = 0, neg_hi = 0;  ///< a bit a source; op_sel's next one is the destination's
    u8 result_scale = 0;                                   ///< mul:2, mul:4, div:2 as 1, 2, 3
    bool clamps = false;
    bool goes_to_lds = false;          ///< a load that no register gets
    bool keeps_unused = false;         ///< SDWA: the bits not written stay
    bool sign_extends_unused = false;  ///< SDWA: they become copies of the sign
    part written = part::dword;
    bool is_indexed = false;  ///< gfx9: M0 is added to its registers; itself it is `other` among `program::halves`
    u8 generation = 0;        ///< 9 of gfx942, 11 of gfx1100: what one name means may depend on it
    lane_move move;
    u8 block_broadcast = 0, block_chosen = 0, lane_pattern = 0;  ///< of matrix instructions: cbsz, abid, blgp
    i32 offset = 0, offset_1 = 0;                                ///< bytes; in elements for LDS pairs
    u32 target = 0;                                              ///< of a branch: number of the operation
    u32 other = 0;                      ///< of a dual issue: number of its first half among `program::halves`
    u64 address = 0;                    ///< in the code object
    const std::string* text = nullptr;  ///< as LLVM prints it
};

/// A code object's instructions in order, and what they are called.
struct program {
    std::vector<operation> operations;
    std::vector<operation> halves;     ///< of dual issues, two after two; what indexed.hpp chooses registers for
    std::vector<counting_rule> rules;  ///< an operation's, at its number
    std::vector<std::string> texts;    ///< an operation's text, at its number
    std::vector<u32> at_word;          ///< number of the operation at (address - begin) / 4; no_operation inside one
    u64 begin = 0;                     ///< address of the first
    // Of coverage.hpp, empty without it: the handlers that are watched, and a flag each for "executed".
    std::vector<handler> watched;
    mutable std::vector<u8> executed;

    static constexpr u32 no_operation = 0xFFFFFFFFU;
};

}  // namespace mhc::emulator
