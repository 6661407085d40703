// emulator/counting_rule.cpp -- classes by the beginnings of names, and the shape of LDS accesses.
#include "emulator/counting_rule.hpp"

#include <algorithm>
#include <array>

namespace mhc::emulator {
namespace {

bool begins_with_one_of(std::string_view name, auto... beginnings) { return (name.starts_with(beginnings) || ...); }

bool is_matrix(std::string_view name) { return begins_with_one_of(name, "v_mfma_", "v_smfmac_", "v_wmma_", "v_swmmac_"); }

/// What the quarter-rate unit computes. gfx12 has some of them on scalars, in the same unit.
bool is_transcendental(std::string_view name)
{
    if (name.starts_with("v_s_")) name.remove_prefix(4);
    if (name.starts_with("v_")) name.remove_prefix(2);
    return begins_with_one_of(name, "exp_", "log_", "rcp_", "rsq_", "sqrt_", "sin_", "cos_");
}

/// SOPP and jumps: what the sequencer does itself.
bool is_control(std::string_view name)
{
    return begins_with_one_of(name, "s_branch", "s_cbranch", "s_setpc", "s_swappc", "s_call", "s_barrier", "s_endpgm",
                              "s_wait", "s_nop", "s_sleep", "s_delay", "s_clause", "s_set", "s_sendmsg", "s_code_end",
                              "s_inst_prefetch", "s_prefetch", "s_icache", "s_dcache", "s_denorm", "s_round", "s_trap",
                              "s_ttrace");
}

/// Writes back or forgets what caches hold; moves no data of the kernel.
bool is_cache_control(std::string_view name)
{
    return begins_with_one_of(name, "buffer_inv", "buffer_wb", "buffer_gl", "global_inv", "global_wb");
}

instruction_class class_of(std::string_view name)
{
    if (is_matrix(name)) return instruction_class::matrix;
    if (name.starts_with("v_"))
        return is_transcendental(name) ? instruction_class::transcendental : instruction_class::vector;
    if (is_control(name) || is_cache_control(name)) return instruction_class::other;
    if (begins_with_one_of(name, "s_load_", "s_buffer_load_", "s_scratch_load_", "s_store_"))
        return instruction_class::scalar_memory;
    if (name.starts_with("s_")) return instruction_class::scalar;
    if (name.starts_with("ds_")) return instruction_class::lds;
    if (begins_with_one_of(name, "global_", "flat_", "buffer_", "tbuffer_", "scratch_")) return instruction_class::global;
    return instruction_class::other;
}

/// Bytes of the type that a part of the name says: 8 of "b64"; 0: it says none.
u8 bytes_of_type(std::string_view part)
{
    struct width {
        std::string_view bits;
        u8 bytes;
    };
    constexpr std::array widths = {width{"8", 1},  width{"16", 2},  width{"32", 4},
                                   width{"64", 8}, width{"96", 12}, width{"128", 16}};
    if (part.size() < 2 || std::string_view("buif").find(part.front()) == std::string_view::npos) return 0;
    for (const auto& [bits, bytes] : widths)
        if (part.substr(1) == bits) return bytes;
    return 0;
}

void describe_lds(std::string_view name, counting_rule& rule)
{
    if (name.starts_with("ds_nop")) return;
    rule.lds_passes = 1;
    if (begins_with_one_of(name, "ds_swizzle", "ds_permute", "ds_bpermute")) return;
    for (std::size_t at = 0; at < name.size() && rule.lds_bytes == 0;) {
        const std::size_t end = std::min(name.find('_', at), name.size());
        rule.lds_bytes = bytes_of_type(name.substr(at, end - at));
        at = end + 1;
    }
    const bool is_pair = begins_with_one_of(name, "ds_read2", "ds_write2");
    rule.lds_places = is_pair ? 2 : 1;
    rule.lds_stride = name.find("st64") != std::string_view::npos ? 64 : 1;
    rule.is_lds_read = name.starts_with("ds_read");
    // The lanes of a pass are as in lds_banks.hpp.
    rule.lds_passes = static_cast<u8>(rule.lds_places * (rule.lds_bytes <= 4 ? 1 : rule.lds_bytes <= 8 ? 2 : 4));
}

}  // namespace

counting_rule counting_rule_of(std::string_view name)
{
    counting_rule rule;
    rule.of = class_of(name);
    rule.is_barrier = name == "s_barrier" || name.starts_with("s_barrier_signal");
    if (rule.of == instruction_class::lds) describe_lds(name, rule);
    return rule;
}

}  // namespace mhc::emulator
