// emulator/instruction_names.cpp -- encoding suffixes, and what newer generations renamed.
//
// Sources: AMD's ISA documents of MI200, MI300, RDNA3 and RDNA4, appendix of renamed instructions; LLVM's AMDGPU assembler
// syntax for the suffixes.
#include "emulator/instruction_names.hpp"

#include <array>
#include <unordered_map>

namespace mhc::emulator {
namespace {

constexpr std::array<std::string_view, 9> encoding_suffixes{"_e64_dpp", "_e64_dpp8", "_e32", "_e64", "_sdwa",
                                                            "_dpp8",    "_dpp",      "_vi",  "_gfx9"};

const std::unordered_map<std::string_view, std::string_view>& newer_names()
{
    static const std::unordered_map<std::string_view, std::string_view> names{
        // gfx10 and gfx11
        {"v_add_nc_u32", "v_add_u32"},
        {"v_sub_nc_u32", "v_sub_u32"},
        {"v_subrev_nc_u32", "v_subrev_u32"},
        {"v_add_nc_u16", "v_add_u16"},
        {"v_sub_nc_u16", "v_sub_u16"},
        {"v_add_nc_i32", "v_add_i32"},
        {"v_sub_nc_i32", "v_sub_i32"},
        {"v_add_nc_i16", "v_add_i16"},
        {"v_sub_nc_i16", "v_sub_i16"},
        {"v_add_co_ci_u32", "v_addc_co_u32"},
        {"v_sub_co_ci_u32", "v_subb_co_u32"},
        {"v_subrev_co_ci_u32", "v_subbrev_co_u32"},
        {"s_and_not1_b32", "s_andn2_b32"},
        {"s_and_not1_b64", "s_andn2_b64"},
        {"s_or_not1_b32", "s_orn2_b32"},
        {"s_or_not1_b64", "s_orn2_b64"},
        {"s_and_not1_saveexec_b32", "s_andn2_saveexec_b32"},
        {"s_and_not1_saveexec_b64", "s_andn2_saveexec_b64"},
        {"s_or_not1_saveexec_b32", "s_orn2_saveexec_b32"},
        {"s_or_not1_saveexec_b64", "s_orn2_saveexec_b64"},
        {"s_and_not0_saveexec_b32", "s_andn1_saveexec_b32"},
        {"s_and_not0_saveexec_b64", "s_andn1_saveexec_b64"},
        {"s_and_not1_wrexec_b32", "s_andn2_wrexec_b32"},
        {"s_and_not1_wrexec_b64", "s_andn2_wrexec_b64"},
        {"s_and_not0_wrexec_b32", "s_andn1_wrexec_b32"},
        {"s_and_not0_wrexec_b64", "s_andn1_wrexec_b64"},
        {"s_ctz_i32_b32", "s_ff1_i32_b32"},
        {"s_ctz_i32_b64", "s_ff1_i32_b64"},
        {"s_clz_i32_u32", "s_flbit_i32_b32"},
        {"s_clz_i32_u64", "s_flbit_i32_b64"},
        {"s_cls_i32", "s_flbit_i32"},
        {"v_clz_i32_u32", "v_ffbh_u32"},
        {"v_ctz_i32_b32", "v_ffbl_b32"},
        {"v_cls_i32", "v_ffbh_i32"},
        {"v_cvt_floor_i32_f32", "v_cvt_flr_i32_f32"},
        {"v_cvt_nearest_i32_f32", "v_cvt_rpi_i32_f32"},
        {"v_cvt_pk_rtz_f16_f32", "v_cvt_pkrtz_f16_f32"},
        {"v_max3_num_f32", "v_max3_f32"},
        {"v_min3_num_f32", "v_min3_f32"},
        {"s_load_b32", "s_load_dword"},
        {"s_load_b64", "s_load_dwordx2"},
        {"s_load_b96", "s_load_dwordx3"},
        {"s_load_b128", "s_load_dwordx4"},
        {"s_load_b256", "s_load_dwordx8"},
        {"s_load_b512", "s_load_dwordx16"},
        {"s_buffer_load_b32", "s_buffer_load_dword"},
        {"s_buffer_load_b64", "s_buffer_load_dwordx2"},
        {"s_buffer_load_b96", "s_buffer_load_dwordx3"},
        {"s_buffer_load_b128", "s_buffer_load_dwordx4"},
        {"s_buffer_load_b256", "s_buffer_load_dwordx8"},
        {"s_buffer_load_b512", "s_buffer_load_dwordx16"},
        {"global_load_u8", "global_load_ubyte"},
        {"global_load_i8", "global_load_sbyte"},
        {"global_load_u16", "global_load_ushort"},
        {"global_load_i16", "global_load_sshort"},
        {"global_load_b32", "global_load_dword"},
        {"global_load_b64", "global_load_dwordx2"},
        {"global_load_b96", "global_load_dwordx3"},
        {"global_load_b128", "global_load_dwordx4"},
        {"global_load_d16_b16", "global_load_short_d16"},
        {"global_load_d16_hi_b16", "global_load_short_d16_hi"},
        {"global_load_d16_u8", "global_load_ubyte_d16"},
        {"global_load_d16_hi_u8", "global_load_ubyte_d16_hi"},
        {"global_store_b8", "global_store_byte"},
        {"global_store_b16", "global_store_short"},
        {"global_store_b32", "global_store_dword"},
        {"global_store_b64", "global_store_dwordx2"},
        {"global_store_b96", "global_store_dwordx3"},
        {"global_store_b128", "global_store_dwordx4"},
        {"global_store_d16_hi_b16", "global_store_short_d16_hi"},
        {"global_store_d16_hi_b8", "global_store_byte_d16_hi"},
        {"ds_load_u8", "ds_read_u8"},
        {"ds_load_i8", "ds_read_i8"},
        {"ds_load_u16", "ds_read_u16"},
        {"ds_load_i16", "ds_read_i16"},
        {"ds_load_b32", "ds_read_b32"},
        {"ds_load_b64", "ds_read_b64"},
        {"ds_load_b96", "ds_read_b96"},
        {"ds_load_b128", "ds_read_b128"},
        {"ds_load_2addr_b32", "ds_read2_b32"},
        {"ds_load_2addr_b64", "ds_read2_b64"},
        {"ds_load_2addr_stride64_b32", "ds_read2st64_b32"},
        {"ds_load_2addr_stride64_b64", "ds_read2st64_b64"},
        {"ds_load_u16_d16", "ds_read_u16_d16"},
        {"ds_load_u16_d16_hi", "ds_read_u16_d16_hi"},
        {"ds_store_b8", "ds_write_b8"},
        {"ds_store_b16", "ds_write_b16"},
        {"ds_store_b32", "ds_write_b32"},
        {"ds_store_b64", "ds_write_b64"},
        {"ds_store_b96", "ds_write_b96"},
        {"ds_store_b128", "ds_write_b128"},
        {"ds_store_2addr_b32", "ds_write2_b32"},
        {"ds_store_2addr_b64", "ds_write2_b64"},
        {"ds_store_2addr_stride64_b32", "ds_write2st64_b32"},
        {"ds_store_2addr_stride64_b64", "ds_write2st64_b64"},
        {"ds_store_b16_d16_hi", "ds_write_b16_d16_hi"},
        {"ds_load_u8_d16", "ds_read_u8_d16"},
        {"ds_load_u8_d16_hi", "ds_read_u8_d16_hi"},
        {"ds_load_i8_d16", "ds_read_i8_d16"},
        {"ds_load_i8_d16_hi", "ds_read_i8_d16_hi"},
        {"ds_store_b8_d16_hi", "ds_write_b8_d16_hi"},
        {"global_load_d16_i8", "global_load_sbyte_d16"},
        {"global_load_d16_hi_i8", "global_load_sbyte_d16_hi"},
        // gfx12
        {"s_add_co_u32", "s_add_u32"},
        {"s_sub_co_u32", "s_sub_u32"},
        {"s_add_co_i32", "s_add_i32"},
        {"s_sub_co_i32", "s_sub_i32"},
        {"s_add_co_ci_u32", "s_addc_u32"},
        {"s_sub_co_ci_u32", "s_subb_u32"},
        {"s_addk_co_i32", "s_addk_i32"},
        {"s_add_nc_u64", "s_add_u64"},
        {"s_sub_nc_u64", "s_sub_u64"},
        {"v_mad_co_u64_u32", "v_mad_u64_u32"},
        {"v_mad_co_i64_i32", "v_mad_i64_i32"},
        {"v_maxmin_num_f32", "v_maxmin_f32"},
        {"v_minmax_num_f32", "v_minmax_f32"},
        {"v_maxmin_num_f16", "v_maxmin_f16"},
        {"v_minmax_num_f16", "v_minmax_f16"},
        {"v_max3_num_f16", "v_max3_f16"},
        {"v_min3_num_f16", "v_min3_f16"},
        {"v_med3_num_f16", "v_med3_f16"},
        {"v_pk_max_num_f16", "v_pk_max_f16"},
        {"v_pk_min_num_f16", "v_pk_min_f16"},
        {"s_max_num_f16", "s_max_f16"},
        {"s_min_num_f16", "s_min_f16"},
        {"s_cls_i32_i64", "s_flbit_i32_i64"},
        {"v_max_num_f32", "v_max_f32"},
        {"v_min_num_f32", "v_min_f32"},
        {"v_max_num_f16", "v_max_f16"},
        {"v_min_num_f16", "v_min_f16"},
        {"v_max_num_f64", "v_max_f64"},
        {"v_min_num_f64", "v_min_f64"},
        {"v_med3_num_f32", "v_med3_f32"},
        {"s_max_num_f32", "s_max_f32"},
        {"s_min_num_f32", "s_min_f32"}};
    return names;
}

}  // namespace

std::string canonical_name(std::string_view mnemonic)
{
    std::string name(mnemonic);
    for (const std::string_view suffix : encoding_suffixes) {
        if (!mnemonic.ends_with(suffix)) continue;
        name.resize(name.size() - suffix.size());
        break;
    }
    if (name.starts_with("v_dual_")) name.erase(2, 5);
    // Scratch and flat accesses were renamed as global ones were.
    for (const std::string_view kind : {"scratch_", "flat_"}) {
        if (!name.starts_with(kind)) continue;
        const auto global = newer_names().find("global_" + name.substr(kind.size()));
        return global == newer_names().end() ? name : std::string(kind) + std::string(global->second.substr(7));
    }
    // Flat instructions are called as global ones are.
    const bool is_flat = name.starts_with("flat_");
    const auto renamed = newer_names().find(is_flat ? "global" + name.substr(4) : name);
    if (renamed == newer_names().end()) return name;
    return is_flat ? "flat" + std::string(renamed->second.substr(6)) : std::string(renamed->second);
}

number_type constant_type(std::string_view name)
{
    // These take what their names do not say: packed floats a 32-bit number a half, mixed ones a float.
    if (name.starts_with("v_pk_") && name.ends_with("_f32")) return number_type::single;
    if (name.starts_with("v_fma_mix")) return number_type::single;
    // The first type of a matrix instruction is its sum's, the one source that may be a constant.
    for (const std::string_view kind : {"v_mfma_", "v_wmma_"}) {
        if (!name.starts_with(kind)) continue;
        const std::string_view sum = name.substr(kind.size(), 3);
        if (sum == "f64") return number_type::double_;
        return sum == "f32" ? number_type::single : sum == "f16" ? number_type::half : number_type::bits_32;
    }
    const std::string_view type = name.substr(name.rfind('_') + 1);
    if (type == "f16") return number_type::half;
    if (type == "f32") return number_type::single;
    if (type == "f64") return number_type::double_;
    if (type == "i64") return number_type::signed_64;
    if (type == "u64" || type == "b64") return number_type::unsigned_64;
    return number_type::bits_32;
}

}  // namespace mhc::emulator
