// tools/common/settings.cpp -- NAME=VALUE settings on a command line or in a shapes file, and the spec they make.
#include "tools/common/settings.hpp"

#include <algorithm>

#include <fmt/format.h>

#include <mhc/jit/describe.hpp>

#include "tools/common/tool.hpp"

namespace mhc::tools {
namespace {

using jit::operation;

// Of an operator that is no gradient; a gradient has its operator's options.
bool is_layer(operation op) { return op == operation::static_layer_fwd || op == operation::dynamic_layer_fwd; }
bool takes_norm_weight(operation op) { return jit::operations_with_norm_weight.contains(op); }
bool takes_quant(operation op) { return jit::operations_with_layer_input_quant.contains(op); }
bool has_fn(operation op) { return jit::operations_with_fn.contains(op); }
bool has_projection(operation op) { return has_fn(op) || op == operation::dynamic_layer_fwd; }
bool has_pre(operation op)
{
    return takes_norm_weight(op) || op == operation::split_mixes_fwd || op == operation::coeffs_fwd || is_layer(op);
}
bool is_head(operation op) { return op == operation::head_fwd || op == operation::post_head_fwd; }
bool has_post(operation op) { return has_pre(op) && !is_head(op); }
bool has_sinkhorn(operation op)
{
    return op == operation::sinkhorn_fwd || (has_post(op) && op != operation::split_mixes_fwd);
}
bool has_layout(operation op)
{
    return op == operation::post_fwd || op == operation::post_pre_fwd || op == operation::post_head_fwd ||
           op == operation::multilayer_recompute || is_layer(op);
}
bool has_token_rms(operation op) { return has_pre(op) && op != operation::static_layer_fwd; }
bool is_row_norm(operation op) { return op == operation::rmsnorm_fwd || op == operation::rmsnorm_matmul_fwd; }
bool has_norm(operation op) { return is_row_norm(op) || takes_norm_weight(op) || is_layer(op); }
bool has_weights(operation op)
{
    return op == operation::post_fwd || op == operation::multilayer_recompute || has_norm(op) || has_projection(op);
}
bool has_rms_eps(operation op) { return has_norm(op) || has_token_rms(op); }  // norm_eps follows rms_eps
bool has_data(operation op)
{
    return op != operation::sinkhorn_fwd && op != operation::split_mixes_fwd && op != operation::coeffs_fwd;
}
bool has_hidden_dim(operation op) { return op != operation::sinkhorn_fwd; }
bool has_streams(operation op) { return !is_row_norm(op); }
bool any(operation) { return true; }

constexpr std::string_view eps_allowed = "a finite number >= 0";

}  // namespace

const std::vector<setting_description>& setting_descriptions()
{
    static const std::vector<setting_description> list = {
        {"preset", "paper, mhc_cu, deepseek, liger, aiter_triton", any},
        {"dtype", "fp32, fp16, bf16", has_data},
        {"weight_dtype", "fp32, fp16, bf16", has_weights},
        {"hidden_dim", "1 to 16777216", has_hidden_dim},
        {"n_streams", "1 to 32", has_streams},
        {"alignment_bytes", "16, 4, 2", has_data},
        {"layout", "out_in, src_dst", has_layout},
        {"sinkhorn_start", "exp, log, softmax, identity", has_sinkhorn},
        {"sinkhorn_order", "row_col, col_row", has_sinkhorn},
        {"sinkhorn_eps_mode", "none, add, add_both, thresh", has_sinkhorn},
        {"sinkhorn_eps", eps_allowed, has_sinkhorn},
        {"sinkhorn_iters", "0 to 1000", has_sinkhorn},
        {"sinkhorn_gradient", "exact, implicit", has_sinkhorn},
        {"rms_eps", eps_allowed, has_rms_eps},
        {"norm_eps", eps_allowed, has_norm},
        {"pre_eps", eps_allowed, has_pre},
        {"post_mult", "a finite number", has_post},
        {"projection", "split, strict, tf32", has_projection},
        {"reference_rounding", "on, off", is_layer},
        {"norm_weight", "on, off", takes_norm_weight},
        {"fn_norm_weight", "on, off", has_fn},
        {"fn_order", "fn, phi", has_fn},
        {"layer_input_quant", "none, fp8_row, fp8_block128", takes_quant},
    };
    return list;
}

bool setting_description::concerns(operation op) const { return of_operator(jit::operator_of_gradient(op).value_or(op)); }

setting parse_setting(std::string_view text, std::string_view flag)
{
    const std::size_t equals = text.find('=');
    if (equals == std::string_view::npos || equals == 0 || equals + 1 == text.size())
        fail_usage(fmt::format("{} '{}': is not NAME=VALUE", flag, text));
    return {std::string(text.substr(0, equals)), std::string(text.substr(equals + 1))};
}

std::vector<setting> parse_settings(const std::vector<std::string>& texts, std::string_view flag)
{
    std::vector<setting> settings;
    for (const std::string& text : texts) {
        setting next = parse_setting(text, flag);
        const auto same = [&](const setting& other) { return other.name == next.name; };
        if (std::any_of(settings.begin(), settings.end(), same))
            fail_usage(fmt::format("{} {}: {} is given twice; give it once", flag, text, next.name));
        settings.push_back(std::move(next));
    }
    return settings;
}

std::optional<std::string> take(std::vector<setting>& settings, std::string_view name)
{
    const auto found =
        std::find_if(settings.begin(), settings.end(), [&](const setting& other) { return other.name == name; });
    if (found == settings.end()) return std::nullopt;
    std::string value = std::move(found->value);
    settings.erase(found);
    return value;
}

jit::preset default_preset(operation op) noexcept
{
    return is_layer(jit::operator_of_gradient(op).value_or(op)) ? jit::preset::mhc_cu : jit::preset::paper;
}

void apply_settings(jit::layer_spec& spec, operation op, const std::vector<setting>& settings,
                    const std::vector<std::string_view>& own)
{
    std::vector<std::string_view> names;
    for (const setting_description& known : setting_descriptions()) names.push_back(known.name);
    for (const setting& next : settings) {
        if (std::find(names.begin(), names.end(), next.name) != names.end()) continue;
        names.insert(names.end(), own.begin(), own.end());
        fail_usage(fmt::format("option '{}' is unknown; options are {}", next.name, fmt::join(names, ", ")));
    }
    spec.options = jit::options_of(default_preset(op));
    for (const bool preset_turn : {true, false})
        for (const setting& next : settings)
            if ((next.name == "preset") == preset_turn) jit::set_field(spec, next.name, next.value).value();
}

}  // namespace mhc::tools
