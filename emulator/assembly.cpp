// emulator/assembly.cpp -- operands and modifiers of a printed instruction.
#include "emulator/assembly.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <vector>

#include "emulator/handlers.hpp"
#include "emulator/instruction_names.hpp"
#include "emulator/read_swizzle.hpp"

namespace mhc::emulator {
namespace {

[[noreturn]] void give_up(std::string_view what, std::string_view text)
{
    throw unreadable(fmt::format("{} '{}' is not understood", what, text));
}

std::string_view trimmed(std::string_view text)
{
    const std::size_t begin = text.find_first_not_of(" \t"), end = text.find_last_not_of(" \t");
    return begin == std::string_view::npos ? std::string_view() : text.substr(begin, end - begin + 1);
}

/// Splits at `separator` outside brackets and bars.
std::vector<std::string_view> split(std::string_view text, char separator)
{
    std::vector<std::string_view> pieces;
    int depth = 0;
    std::size_t begin = 0;
    for (std::size_t at = 0; at < text.size(); ++at) {
        const char c = text[at];
        if (c == '[' || c == '(') ++depth;
        if (c == ']' || c == ')') --depth;
        if (c != separator || depth != 0) continue;
        pieces.push_back(trimmed(text.substr(begin, at - begin)));
        begin = at + 1;
    }
    pieces.push_back(trimmed(text.substr(begin)));
    std::erase_if(pieces, [](std::string_view piece) { return piece.empty(); });
    return pieces;
}

i64 integer(std::string_view text)
{
    const std::string_view whole = text;
    const bool is_negative = text.starts_with('-');
    if (is_negative) text.remove_prefix(1);
    int base = 10;
    if (text.starts_with("0x")) {
        base = 16;
        text.remove_prefix(2);
    }
    u64 value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
    if (error != std::errc() || end != text.data() + text.size()) give_up("the number", whole);
    return is_negative ? -static_cast<i64>(value) : static_cast<i64>(value);
}

/// "[0,1,1]"
std::vector<i64> list(std::string_view text)
{
    if (!text.starts_with('[') || !text.ends_with(']')) give_up("the list", text);
    std::vector<i64> values;
    for (const std::string_view each : split(text.substr(1, text.size() - 2), ',')) values.push_back(integer(each));
    return values;
}

u8 bits(std::string_view text)
{
    unsigned all = 0, bit = 1;
    for (const i64 value : list(text)) {
        all |= value != 0 ? bit : 0;
        bit <<= 1;
    }
    return static_cast<u8>(all);
}

/// An inline float, the only ones that are printed so: in bits of 16, 32 and 64.
struct inline_float {
    std::string_view text;
    u32 half, single;
    u64 full;
};
constexpr std::array<inline_float, 12> inline_floats{{{"0.5", 0x3800, 0x3F000000, 0x3FE0000000000000},
                                                      {"-0.5", 0xB800, 0xBF000000, 0xBFE0000000000000},
                                                      {"1.0", 0x3C00, 0x3F800000, 0x3FF0000000000000},
                                                      {"-1.0", 0xBC00, 0xBF800000, 0xBFF0000000000000},
                                                      {"2.0", 0x4000, 0x40000000, 0x4000000000000000},
                                                      {"-2.0", 0xC000, 0xC0000000, 0xC000000000000000},
                                                      {"4.0", 0x4400, 0x40800000, 0x4010000000000000},
                                                      {"-4.0", 0xC400, 0xC0800000, 0xC010000000000000},
                                                      {"0.15915494", 0x3118, 0x3E22F983, 0x3FC45F306DC9C882},
                                                      {"0.15915494309189532", 0x3118, 0x3E22F983, 0x3FC45F306DC9C882},
                                                      {"0.15915494309189530", 0x3118, 0x3E22F983, 0x3FC45F306DC9C882},
                                                      {"0.1592", 0x3118, 0x3E22F983, 0x3FC45F306DC9C882}}};

operand constant(std::string_view text, number_type type)
{
    operand made;
    made.kind = operand_kind::constant;
    made.words = 1;
    if (text.find('.') != std::string_view::npos) {
        for (const inline_float& each : inline_floats) {
            if (each.text != text) continue;
            const bool is_wide =
                type == number_type::double_ || type == number_type::signed_64 || type == number_type::unsigned_64;
            made.value = is_wide ? static_cast<u32>(each.full) : type == number_type::half ? each.half : each.single;
            made.high = is_wide ? static_cast<u32>(each.full >> 32) : 0;
            return made;
        }
        give_up("the constant", text);
    }
    const i64 value = integer(text);
    const bool is_literal = text.starts_with("0x");
    if (type == number_type::double_ && is_literal) {  // a literal is the upper half of a double
        made.high = static_cast<u32>(value);
        return made;
    }
    made.value = static_cast<u32>(value);
    made.high = static_cast<u32>(static_cast<u64>(value) >> 32);
    // A literal has 32 bits: above them is its sign where the operation has one, else zero.
    if (is_literal && type == number_type::signed_64 && made.high == 0) made.high = 0U - (made.value >> 31);
    return made;
}

struct named_register {
    std::string_view name;
    u16 index;
    u8 words;
};
constexpr std::array<named_register, 19> named_registers{{{"vcc", scalar::vcc, 2},
                                                          {"vcc_lo", scalar::vcc, 1},
                                                          {"vcc_hi", scalar::vcc + 1, 1},
                                                          {"exec", scalar::exec, 2},
                                                          {"exec_lo", scalar::exec, 1},
                                                          {"exec_hi", scalar::exec + 1, 1},
                                                          {"m0", scalar::m0, 1},
                                                          {"null", scalar::null, 1},
                                                          {"scc", scalar::scc, 1},
                                                          {"src_scc", scalar::scc, 1},
                                                          {"vccz", scalar::vccz, 1},
                                                          {"src_vccz", scalar::vccz, 1},
                                                          {"execz", scalar::execz, 1},
                                                          {"src_execz", scalar::execz, 1},
                                                          {"flat_scratch", 102, 2},
                                                          {"flat_scratch_lo", 102, 1},
                                                          {"flat_scratch_hi", 103, 1},
                                                          {"xnack_mask", 104, 2},
                                                          {"xnack_mask_lo", 104, 1}}};

/// "5" and "[4:7]" behind a register file's letter.
void number_registers(std::string_view text, operand& made)
{
    i64 first = 0, last = 0;
    if (text.starts_with('[') && text.ends_with(']')) {
        const std::vector<std::string_view> ends = split(text.substr(1, text.size() - 2), ':');
        first = integer(ends.front());
        last = integer(ends.back());
    } else {
        first = last = integer(text);
    }
    made.index = static_cast<u16>(first);
    made.words = static_cast<u8>(last - first + 1);
}

bool read_register(std::string_view text, operand& made)
{
    for (const named_register& each : named_registers) {
        if (each.name != text) continue;
        made.kind = operand_kind::scalar;
        made.index = each.index;
        made.words = each.words;
        return true;
    }
    std::string_view rest = text;
    const bool is_trap = rest.starts_with("ttmp");
    rest.remove_prefix(is_trap ? 4 : 1);
    const char file = is_trap ? 't' : text.front();
    const bool has_number = !rest.empty() && (rest.front() == '[' || (rest.front() >= '0' && rest.front() <= '9'));
    if (!has_number || std::string_view("vast").find(file) == std::string_view::npos) return false;
    part half = part::dword;
    if (rest.ends_with(".l") || rest.ends_with(".h")) {
        half = rest.back() == 'l' ? part::word_0 : part::word_1;
        rest.remove_suffix(2);
    }
    number_registers(rest, made);
    made.kind = file == 'v' || file == 'a' ? operand_kind::vector : operand_kind::scalar;
    made.selected = half;
    if (file == 'a') made.index = static_cast<u16>(made.index + first_accumulator);
    if (file == 't') made.index = static_cast<u16>(made.index + scalar::trap_temporary);
    if (file == 's' && made.index + made.words > scalar::vcc) give_up("the register", text);
    return true;
}

/// "hwreg(HW_REG_MODE, 4, 2)" as the machine has it: the register's number, then the field's first bit and its size less
/// one.
operand hardware_register(std::string_view text)
{
    const std::vector<std::string_view> parts = split(text.substr(6, text.size() - 7), ',');
    if (parts.empty() || parts.front() != "HW_REG_MODE") give_up("the hardware register", text);
    const i64 first = parts.size() == 3 ? integer(parts[1]) : 0, size = parts.size() == 3 ? integer(parts[2]) : 32;
    operand made;
    made.kind = operand_kind::constant;
    made.words = 1;
    made.value = static_cast<u32>(1 | first << 6 | (size - 1) << 11);
    return made;
}

/// "gpr_idx(SRC0,DST)": a bit an operand.
operand indexed_operands(std::string_view text)
{
    constexpr std::array<std::string_view, 4> names{"SRC0", "SRC1", "SRC2", "DST"};
    operand made;
    made.kind = operand_kind::constant;
    made.words = 1;
    for (const std::string_view each : split(text.substr(8, text.size() - 9), ',')) {
        const auto* const found = std::find(names.begin(), names.end(), each);
        if (found == names.end()) give_up("the operand", text);
        made.value |= 1U << (found - names.begin());
    }
    return made;
}

operand read_operand(std::string_view text, number_type type)
{
    if (text.starts_with("hwreg(") && text.ends_with(')')) return hardware_register(text);
    if (text.starts_with("gpr_idx(") && text.ends_with(')')) return indexed_operands(text);
    const std::string_view whole = text;
    bool is_negated = false, is_absolute = false, is_sign_extended = false;
    const auto strip = [&](std::string_view opening, std::string_view closing, bool& flag) {
        if (!text.starts_with(opening) || !text.ends_with(closing)) return;
        text = text.substr(opening.size(), text.size() - opening.size() - closing.size());
        flag = true;
    };
    strip("neg(", ")", is_negated);
    if (text.size() > 1 && text[0] == '-' && !(text[1] >= '0' && text[1] <= '9')) strip("-", "", is_negated);
    strip("abs(", ")", is_absolute);
    if (text.size() > 2) strip("|", "|", is_absolute);
    strip("sext(", ")", is_sign_extended);
    operand made;
    if (text.empty()) give_up("the operand", whole);
    const bool is_number = (text[0] >= '0' && text[0] <= '9') || text[0] == '-';
    if (is_number)
        made = constant(text, type);
    else if (text != "off" && !read_register(text, made))
        give_up("the operand", whole);
    made.is_negated = is_negated;
    made.is_absolute = is_absolute;
    made.is_sign_extended = is_sign_extended;
    return made;
}

part read_part(std::string_view text)
{
    constexpr std::array<std::string_view, 7> names{"BYTE_0", "BYTE_1", "BYTE_2", "BYTE_3", "WORD_0", "WORD_1", "DWORD"};
    for (std::size_t i = 0; i < names.size(); ++i)
        if (names[i] == text) return static_cast<part>(i);
    give_up("the part", text);
}

bool read_lane_move(std::string_view name, std::string_view value, operation& made)
{
    using kind = lane_move::kind;
    struct named_move {
        std::string_view name;
        kind how;
    };
    static constexpr std::array<named_move, 15> moves{{{"quad_perm", kind::quad_perm},
                                                       {"row_shl", kind::row_shl},
                                                       {"row_shr", kind::row_shr},
                                                       {"row_ror", kind::row_ror},
                                                       {"row_mirror", kind::row_mirror},
                                                       {"row_half_mirror", kind::row_half_mirror},
                                                       {"row_share", kind::row_share},
                                                       {"row_xmask", kind::row_xmask},
                                                       {"wave_shl", kind::wave_shl},
                                                       {"wave_shr", kind::wave_shr},
                                                       {"wave_rol", kind::wave_rol},
                                                       {"wave_ror", kind::wave_ror},
                                                       {"dpp8", kind::dpp8},
                                                       {"row_newbcast", kind::row_newbcast},
                                                       {"row_bcast", kind::row_bcast15}}};
    lane_move& move = made.move;
    if (name == "row_mask") {
        move.row_mask = static_cast<u8>(integer(value));
    } else if (name == "bank_mask") {
        move.bank_mask = static_cast<u8>(integer(value));
    } else if (name == "bound_ctrl") {
        move.is_zero_outside = true;  // printed only where the bit is set, as 0 by older LLVMs, as 1 by newer ones
    } else {
        const auto* found = moves.begin();
        while (found != moves.end() && found->name != name) ++found;
        if (found == moves.end()) return false;
        move.how = found->how;
        if (value.starts_with('[')) {
            const std::vector<i64> lanes = list(value);
            for (std::size_t i = 0; i < lanes.size() && i < move.selected.size(); ++i)
                move.selected[i] = static_cast<u8>(lanes[i]);
        } else if (!value.empty()) {
            move.amount = static_cast<u8>(integer(value));
            if (move.how == kind::row_bcast15 && move.amount == 31) move.how = kind::row_bcast31;
        }
        made.from[0].is_moved = true;
    }
    return true;
}

i32 swizzle(std::string_view text)
{
    const std::size_t begin = text.find('(') + 1;
    std::vector<std::string_view> parts = split(text.substr(begin, text.size() - begin - 1), ',');
    const std::string_view name = parts.empty() ? std::string_view() : parts.front();
    if (!parts.empty()) parts.erase(parts.begin());
    const i32 pattern = swizzle_pattern(name, parts);
    if (pattern < 0) give_up("the swizzle", text);
    return pattern;
}

void read_modifier(std::string_view text, operation& made)
{
    const std::size_t colon = text.find(':');
    const std::string_view name = text.substr(0, colon);
    const std::string_view value = colon == std::string_view::npos ? std::string_view() : text.substr(colon + 1);
    // Cache policy: the emulated memory has no caches.
    static constexpr std::array<std::string_view, 9> ignored{"glc", "slc", "dlc", "nt", "sc0", "sc1", "scc", "th", "scope"};
    for (const std::string_view each : ignored)
        if (name == each) return;
    if (name == "lds") {
        made.goes_to_lds = true;
        return;
    }
    if (name == "offen") return;  // a buffer's address is in a register, which is written out
    if (value.starts_with("swizzle("))
        made.offset = swizzle(value);
    else if (name == "offset" || name == "offset0")
        made.offset = static_cast<i32>(integer(value));
    else if (name == "offset1")
        made.offset_1 = static_cast<i32>(integer(value));
    else if (name == "op_sel")
        made.op_sel = bits(value);
    else if (name == "op_sel_hi")
        made.op_sel_hi = bits(value);
    else if (name == "neg_lo")
        made.neg_lo = bits(value);
    else if (name == "neg_hi")
        made.neg_hi = bits(value);
    else if (name == "neg")  // of fp64 matrix instructions, one a source
        made.neg_lo = bits(value);
    else if (name == "cbsz")
        made.block_broadcast = static_cast<u8>(integer(value));
    else if (name == "abid")
        made.block_chosen = static_cast<u8>(integer(value));
    else if (name == "blgp")
        made.lane_pattern = static_cast<u8>(integer(value));
    else if (name == "clamp")
        made.clamps = true;
    else if (name == "mul" || name == "div")
        made.result_scale = name == "div" ? 3 : value == "2" ? 1 : 2;
    else if (name == "dst_sel")
        made.written = read_part(value);
    else if (name == "dst_unused")
        made.keeps_unused = value == "UNUSED_PRESERVE", made.sign_extends_unused = value == "UNUSED_SEXT";
    else if (name == "byte_sel")
        made.from[0].selected = static_cast<part>(integer(value) & 3);
    else if (name == "src0_sel")
        made.from[0].selected = read_part(value);
    else if (name == "src1_sel")
        made.from[1].selected = read_part(value);
    else if (!read_lane_move(name, value, made))
        give_up("the modifier", text);
}

/// Whether an atomic operation gives the old value: gfx12 says so, others by a bit of the cache policy.
bool says_return(std::string_view text)
{
    for (const std::string_view mark : {" glc", " sc0", "_RETURN"})
        if (text.find(mark) != std::string_view::npos) return true;
    return false;
}

bool goes_to_lds(std::string_view name, std::string_view text)
{
    return name.starts_with("buffer_load_") && text.find(" lds") != std::string_view::npos;
}

}  // namespace

std::string read_instruction(std::string_view text, operation& made)
{
    const std::size_t space = text.find(' ');
    const std::string_view mnemonic = text.substr(0, space);
    const std::string name = canonical_name(mnemonic);
    const handler_entry* entry = find_handler(name);
    if (entry == nullptr) return name;
    made.run = entry->run;
    const bool returns = entry->operands == operand_rule::may_return && says_return(text);
    const std::size_t destinations = returns ? 1 : goes_to_lds(name, text) ? 0 : entry->destinations;
    if (name.starts_with("v_pk_")) made.op_sel_hi = 7;
    if (space == std::string_view::npos || entry->operands == operand_rule::ignored) return name;

    const number_type type = constant_type(name);
    // Their second source is a power, or a mask of classes.
    const bool has_word_second = name == "v_ldexp_f64" || name == "v_cmp_class_f64" || name == "v_cmpx_class_f64";
    std::vector<std::string_view> modifiers;
    std::size_t count = 0;
    for (const std::string_view piece : split(text.substr(space + 1), ',')) {
        // The last operand is followed by the modifiers, with spaces between.
        const std::vector<std::string_view> words = split(piece, ' ');
        for (std::size_t i = 0; i < words.size(); ++i) {
            const bool is_modifier =
                i > 0 || (words[i].find(':') != std::string_view::npos && words[i].find('[') > words[i].find(':'));
            if (is_modifier) {
                modifiers.push_back(words[i]);
                continue;
            }
            const bool is_word = has_word_second && count == destinations + 1;
            const operand read = read_operand(words[i], is_word ? number_type::bits_32 : type);
            if (count < destinations)
                made.to[count] = read;
            else if (count - destinations < made.from.size())
                made.from[made.from_count++] = read;
            else
                give_up("the operand", words[i]);
            ++count;
        }
    }
    if (count < destinations) give_up("the instruction", text);
    for (const std::string_view modifier : modifiers) read_modifier(modifier, made);
    return name;
}

}  // namespace mhc::emulator
