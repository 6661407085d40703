// emulator/effects.cpp -- effects by canonical name and operands.
#include "emulator/effects.hpp"

#include <algorithm>

#include "emulator/instruction_names.hpp"

namespace mhc::emulator {
namespace {

bool has(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

/// What computes with its destination's old value, beside sources that are written out.
bool reads_destination(std::string_view name, const operation& op)
{
    if (op.keeps_unused || op.sign_extends_unused || op.written != part::dword) return true;
    if (op.move.how != lane_move::kind::none) return true;  // lanes without a source, or masked, stay
    constexpr std::array<std::string_view, 13> readers{"v_fmac", "v_mac_",      "v_pk_fmac", "v_fma_mixlo", "v_fma_mixhi",
                                                       "v_swap", "v_permlane1", "s_cmov",    "s_cmovk",     "s_bitset",
                                                       "s_addk", "s_mulk",      "s_fmac"};
    if (std::any_of(readers.begin(), readers.end(), [&](std::string_view each) { return name.starts_with(each); }))
        return true;
    // v_dot2c_f32_f16 and its kind; v_permlanex16 keeps lanes as v_permlane16 does.
    return name.starts_with("v_permlanex") || (name.starts_with("v_dot") && name.size() > 6 && name[6] == 'c');
}

bool crosses_lanes(std::string_view name, const operation& op)
{
    if (op.move.how != lane_move::kind::none) return true;
    constexpr std::array<std::string_view, 10> crossers{"v_readlane",  "v_readfirstlane", "v_writelane", "v_permlane",
                                                        "ds_bpermute", "ds_permute",      "ds_swizzle",  "v_mfma",
                                                        "v_smfmac",    "v_wmma"};
    return std::any_of(crossers.begin(), crossers.end(), [&](std::string_view each) { return name.starts_with(each); });
}

/// Bytes of the type that a name of a memory instruction ends with; 0: not known.
u8 bytes_of(std::string_view name)
{
    struct named_size {
        std::string_view name;
        u8 bytes;
    };
    static constexpr std::array<named_size, 24> sizes{
        {{"dwordx4", 16}, {"dwordx3", 12}, {"dwordx2", 8}, {"dwordx8", 32}, {"dwordx16", 64}, {"dword", 4},
         {"ubyte", 1},    {"sbyte", 1},    {"byte", 1},    {"ushort", 2},   {"sshort", 2},    {"short", 2},
         {"b128", 16},    {"b96", 12},     {"b64", 8},     {"b32", 4},      {"b16", 2},       {"b8", 1},
         {"u16", 2},      {"i16", 2},      {"u8", 1},      {"i8", 1},       {"64", 8},        {"32", 4}}};
    for (std::string_view suffix : {"_d16_hi", "_d16"})
        if (name.ends_with(suffix)) name.remove_suffix(suffix.size());
    for (const named_size& each : sizes)
        if (name.ends_with(each.name)) return each.bytes;
    return has(name, "_pk_") ? 4 : 0;
}

memory_space space_of(std::string_view name, bool goes_to_lds)
{
    if (name.starts_with("s_load_") || name.starts_with("s_buffer_load_")) return memory_space::scalar;
    const bool accesses = has(name, "_load_") || has(name, "_store_") || has(name, "_atomic_");
    if (accesses && name.starts_with("global_")) return memory_space::global;
    if (accesses && name.starts_with("flat_")) return memory_space::flat;
    if (accesses && name.starts_with("buffer_")) return goes_to_lds ? memory_space::buffer_to_lds : memory_space::buffer;
    if (accesses && name.starts_with("scratch_")) return memory_space::scratch;
    const bool is_lane_move =
        name.starts_with("ds_bpermute") || name.starts_with("ds_permute") || name.starts_with("ds_swizzle");
    return name.starts_with("ds_") && !is_lane_move ? memory_space::lds : memory_space::none;
}

void describe_access(std::string_view name, const operation& op, memory_access& made)
{
    const bool is_lds = made.space == memory_space::lds;
    made.bytes = bytes_of(name);
    made.is_store = has(name, "_store_") || name.starts_with("ds_write");
    made.is_atomic = has(name, "_atomic_") || (is_lds && !made.is_store && !name.starts_with("ds_read"));
    made.has_result = op.to[0].kind != operand_kind::none;
    if (name.ends_with("_d16_hi") && made.is_store) made.shift = 16;
    if (name.ends_with("_d16") && !made.is_store) made.kept = 0xFFFF0000U;
    if (name.ends_with("_d16_hi") && !made.is_store) made.kept = 0x0000FFFFU;
    if (name.starts_with("buffer_")) made.address = made.is_store ? 1 : 0, made.data = 0;
    if (made.space == memory_space::buffer_to_lds) made.is_store = true;  // of LDS
    const bool is_strided = has(name, "st64_");
    if (is_lds && (has(name, "read2") || has(name, "write2"))) {
        const u32 unit = made.bytes * (is_strided ? 64U : 1U);
        made.elements = 2;
        made.offsets = {static_cast<u32>(op.offset) * unit, static_cast<u32>(op.offset_1) * unit};
    } else if (is_lds) {
        made.offsets[0] = static_cast<u32>(op.offset);
    }
}

scalar_set every_scalar()
{
    scalar_set all;
    all.add(0, scalar::count);
    return all;
}

void add_reads(const operand& from, effects& to)
{
    to.reads.add(from);
    if (from.kind != operand_kind::scalar || from.index == scalar::null) return;
    if (from.index == scalar::scc) to.reads_scc = true;
    if (from.index == scalar::vccz) to.scalar_reads.add(scalar::vcc, 2);
    if (from.index < scalar::scc) to.scalar_reads.add(from.index, from.words);
}
void add_writes(const operand& into, effects& to)
{
    to.writes.add(into);
    if (into.kind == operand_kind::scalar && into.index < scalar::scc && into.index != scalar::null)
        to.scalar_writes.add(into.index, into.words);
}

/// Adds one instruction, which may be half of a dual issue.
void add(std::string_view text, const operation& op, effects& to)
{
    const std::string full = canonical_name(text.substr(0, text.find(' ')));
    const std::string_view name = full;
    // gfx9's v_cmpx has another mask beside exec that it writes.
    const u32 first = name.starts_with("v_cmpx") && op.from_count == 3 ? 1 : 0;
    if (first == 1) add_writes(op.from[0], to);
    for (u32 i = first; i < op.from_count; ++i) add_reads(op.from[i], to);
    for (const operand& each : op.to) {
        add_writes(each, to);
        if (reads_destination(name, op)) add_reads(each, to);
    }
    to.crosses_lanes = to.crosses_lanes || crosses_lanes(name, op);
    if (name == "v_readfirstlane_b32") to.lane = one_lane::first_active;
    if (name == "v_readlane_b32" || name == "v_writelane_b32") to.lane = one_lane::chosen;
    to.ignores_exec = name.starts_with("v_mfma") || name.starts_with("v_smfmac");
    const bool leaves_scc = name.starts_with("s_mov") || name.starts_with("s_cselect") || name.starts_with("s_mul") ||
                            name.starts_with("s_pack") || name.starts_with("s_getpc") || name.starts_with("s_set_gpr_idx") ||
                            name.starts_with("v_");
    const bool has_effects = to.scalar_writes.meets(every_scalar()) || to.scalar_reads.meets(every_scalar());
    to.is_scalar = !leaves_scc && has_effects;
    if (name == "s_set_gpr_idx_on") to.scalar_reads.add(scalar::m0), to.scalar_writes.add(scalar::m0);
    if (name.starts_with("v_div_fmas")) to.scalar_reads.add(scalar::vcc, 2);
    if (name == "v_cndmask_b32" && op.from_count < 3) to.scalar_reads.add(scalar::vcc, 2);
    for (std::string_view each : {"s_cselect", "s_addc", "s_subb", "s_cmov"})
        if (name.starts_with(each)) to.reads_scc = true;
    to.compares = name.starts_with("v_cmp") || name.starts_with("s_cmp") || name.starts_with("s_bitcmp");
    if (to.compares && name.ends_with("16")) to.compared_bits = 0xFFFFU;
    to.writes_exec = name.starts_with("v_cmpx");
    if (first == 1) to.mask_at = op.from[0].index;
    if (name.starts_with("v_cmp_")) to.mask_at = op.to[0].index;
    to.memory.space = space_of(name, op.goes_to_lds);
    if (to.memory.space != memory_space::none) {
        to.kind = effect_kind::memory;
        if (op.goes_to_lds) to.scalar_reads.add(scalar::m0);
        describe_access(name, op, to.memory);
    } else if (name.starts_with("s_cbranch_scc")) {
        to.kind = effect_kind::branch;
        to.reads_scc = true;
    } else if (name.starts_with("s_cbranch_vcc")) {
        to.kind = effect_kind::branch;
        to.scalar_reads.add(scalar::vcc, 2);
    } else if (name == "s_setpc_b64" || name == "s_swappc_b64") {
        to.kind = effect_kind::jump;
    } else if (name.starts_with("s_barrier") || name == "s_endpgm" || name == "s_branch" ||
               name.starts_with("s_cbranch_exec")) {
        to.kind = effect_kind::untested;
    }
}

}  // namespace

std::vector<effects> effects_of(const program& code)
{
    constexpr std::string_view both = " :: ";
    std::vector<effects> made(code.operations.size());
    for (std::size_t i = 0; i < made.size(); ++i) {
        const operation& op = code.operations[i];
        if (op.text == nullptr) continue;
        const std::string_view text = *op.text;
        const std::size_t separator = text.find(both);
        const bool is_dual = separator != std::string_view::npos && op.other + 1 < code.halves.size();
        if (!is_dual) {
            add(text, op, made[i]);
            continue;
        }
        add(text.substr(0, separator), code.halves[op.other], made[i]);
        add(text.substr(separator + both.size()), code.halves[op.other + 1], made[i]);
    }
    return made;
}

}  // namespace mhc::emulator
