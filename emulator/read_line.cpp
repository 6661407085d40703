// emulator/read_line.cpp -- dual issue, and where results of 16 bits go.
#include "emulator/read_line.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "emulator/assembly.hpp"
#include "emulator/handlers.hpp"

namespace mhc::emulator {
namespace {

bool has_half_type(std::string_view name)
{
    const std::string_view type = name.substr(name.rfind('_') + 1);
    return type == "f16" || type == "u16" || type == "i16" || type == "b16";
}

/// gfx9 clears the other half of a result, but for its own fused and mad forms (LLVM, GCNSubtarget::zeroesHigh16BitsOfDest).
bool keeps_on_gfx9(std::string_view name)
{
    constexpr std::array<std::string_view, 11> keepers{"v_mad_u16",   "v_mad_i16",  "v_mad_f16",      "v_madak_f16",
                                                       "v_madmk_f16", "v_mac_f16",  "v_fma_f16",      "v_fmaak_f16",
                                                       "v_fmamk_f16", "v_fmac_f16", "v_div_fixup_f16"};
    return std::find(keepers.begin(), keepers.end(), name) != keepers.end();
}

/// Operations on 16 bits: op_sel becomes parts of the operands, and from gfx10 on the other half of a result stays.
void choose_halves(std::string_view name, int generation, operation& op)
{
    const bool is_own_form = name.starts_with("v_pk_") || name.starts_with("v_fma_mix") || name.starts_with("v_permlane") ||
                             name.starts_with("v_wmma") || name.starts_with("v_dot") ||
                             name.find("fp8") != std::string_view::npos || name.find("bf8") != std::string_view::npos ||
                             !name.starts_with("v_");
    if (is_own_form) return;
    constexpr std::array<std::string_view, 5> whole_results{"v_cvt_f32_f16", "v_pack_b32_f16", "v_mad_u32_u16",
                                                            "v_mad_i32_i16", "v_sad_u16"};
    const bool is_whole = std::find(whole_results.begin(), whole_results.end(), name) != whole_results.end();
    const bool converts_to = name == "v_cvt_f16_f32";
    const bool is_half = has_half_type(name) || converts_to;
    if (op.op_sel != 0 && !is_half) throw unreadable(fmt::format("op_sel on {} is not understood", name));
    for (u32 i = 0; i < op.from_count && op.op_sel != 0; ++i)
        if ((op.op_sel >> i & 1) != 0) op.from[i].selected = part::word_1;
    const bool writes_half = is_half && !is_whole && !name.starts_with("v_cmp");
    if (!writes_half || op.to[0].kind != operand_kind::vector || op.written != part::dword) return;
    const bool is_high = (op.op_sel >> op.from_count & 1) != 0 || op.to[0].selected == part::word_1;
    if (!is_high && generation < 10 && !keeps_on_gfx9(name)) return;
    op.written = is_high ? part::word_1 : part::word_0;
    op.keeps_unused = true;
}

bool read_one(std::string_view text, int generation, operation& op)
{
    operation read = op;
    read.run = nullptr;
    read.generation = static_cast<u8>(generation);
    const std::string name = read_instruction(text, read);
    if (read.run == nullptr) return false;
    choose_halves(name, generation, read);
    op = read;
    return true;
}

}  // namespace

void read_line(std::string_view line, int generation, program& into, operation& op)
{
    constexpr std::string_view both = " :: ";
    op.run = run_unknown;
    try {
        const std::size_t separator = line.find(both);
        if (separator == std::string_view::npos) {
            read_one(line, generation, op);
            return;
        }
        operation first = op, second = op;
        if (!read_one(line.substr(0, separator), generation, first) ||
            !read_one(line.substr(separator + both.size()), generation, second))
            return;
        op.run = run_dual;
        op.other = static_cast<u32>(into.halves.size());
        op.to = first.to;
        into.halves.push_back(first);
        into.halves.push_back(second);
    } catch (const unreadable&) {
        op.run = run_unknown;
    }
}

}  // namespace mhc::emulator
