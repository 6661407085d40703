// tools/mhc-show/report.cpp -- an operator's launches as a table for people and as JSON for other loaders.
#include "tools/mhc-show/report.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "tools/common/tool.hpp"

namespace mhc::tools {
namespace {

using json = nlohmann::ordered_json;

bool is_scalar(const jit::argument_description& arg) { return arg.kind == "scalar"; }

json argument_json(const jit::argument_description& arg)
{
    json one = {{"name", arg.name}, {"kind", arg.kind}, {"type", arg.type}, {"size", arg.size}, {"offset", arg.offset}};
    one["optional"] = arg.optional;
    if (arg.value) one["value"] = *arg.value;
    if (!is_scalar(arg)) one["bytes"] = arg.bytes;
    if (arg.kind == "workspace") one["workspace_offset"] = arg.workspace_offset;
    return one;
}

// The argument block as the kernel takes it, which on a CPU no metadata says.
std::uint32_t argument_bytes(const jit::launch_description& launch)
{
    return launch.args.empty() ? 0 : launch.args.back().offset + launch.args.back().size;
}

json launch_json(const shown_operator& shown, std::size_t index)
{
    const jit::launch_description& launch = shown.description.launches[index];
    json args = json::array();
    for (const jit::argument_description& arg : launch.args) args.push_back(argument_json(arg));
    const jit::resource_description& used = launch.resources;
    json one = {{"symbol", launch.symbol},
                {"grid", launch.grid},
                {"block", launch.block},
                {"lds_bytes_dynamic", launch.lds_bytes_dynamic},
                {"args", std::move(args)},
                {"kernarg_bytes", argument_bytes(launch)},
                {"vgprs", used.vgprs},
                {"agprs", used.agprs},
                {"sgprs", used.sgprs},
                {"lds_bytes", used.lds_bytes},
                {"scratch_bytes", used.scratch_bytes},
                {"vgpr_spills", used.vgpr_spills},
                {"sgpr_spills", used.sgpr_spills},
                {"waves_per_simd", used.waves_per_simd},
                {"wave_size", used.wave_size},
                {"max_workgroup", used.max_workgroup},
                {"key", launch.key},
                {"compiler", launch.compiler},
                {"compile_ms", launch.compile_ms},
                {"origin", jit::to_string(launch.from)},
                {"plan", launch.plan},
                {"code_object_bytes", launch.code_object.size()}};
    if (!shown.files.empty()) one["code_object"] = shown.files[index];
    if (shown.has_source) one["source"] = launch.source;
    if (!shown.assembly.empty()) one["assembly"] = shown.assembly[index];
    return one;
}

std::string name_text(const jit::argument_description& arg)
{
    if (arg.workspace_offset > 0) return fmt::format("{} + {}", arg.name, arg.workspace_offset);
    return arg.name + (arg.optional ? " (optional)" : "");
}

std::string arguments_text(const std::vector<jit::argument_description>& args)
{
    std::vector<std::vector<std::string>> rows = {{"    offset", "size", "kind", "type", "name", "value or bytes"}};
    for (const jit::argument_description& arg : args) {
        const std::string value = arg.value        ? fmt::to_string(*arg.value)
                                  : is_scalar(arg) ? ""
                                                   : fmt::format("{} B", arg.bytes);
        rows.push_back(
            {fmt::format("    {}", arg.offset), fmt::to_string(arg.size), arg.kind, arg.type, name_text(arg), value});
    }
    return table_text(rows);
}

std::string resources_text(const jit::resource_description& used, bool is_nvidia)
{
    if (used.wave_size <= 1) return "";  // a CPU has no such things
    if (is_nvidia)
        return fmt::format("  resources  {} registers; shared memory {} B; local memory {} B\n", used.vgprs, used.lds_bytes,
                           used.scratch_bytes);
    return fmt::format(
        "  resources  {} VGPRs, {} AGPRs, {} SGPRs; LDS {} B; scratch {} B; spills {} VGPR, {} SGPR; "
        "{} waves/SIMD of {} lanes\n",
        used.vgprs, used.agprs, used.sgprs, used.lds_bytes, used.scratch_bytes, used.vgpr_spills, used.sgpr_spills,
        used.waves_per_simd, used.wave_size);
}

std::string launch_text(const shown_operator& shown, std::size_t index)
{
    const jit::launch_description& launch = shown.description.launches[index];
    std::string text = fmt::format("\nlaunch {}: {}\n", index, launch.symbol);
    text += fmt::format("  geometry   {} work-group(s) of {} work-item(s), dynamic LDS {} B\n", launch.grid, launch.block,
                        launch.lds_bytes_dynamic);
    text += fmt::format("  plan       {}\n", launch.plan);
    text += fmt::format("  key        {}\n", launch.key);
    text += resources_text(launch.resources, shown.description.target.starts_with("sm_"));
    text += fmt::format("  object     {} B, {}, by {} in {:.0f} ms\n", launch.code_object.size(),
                        jit::to_string(launch.from), launch.compiler, launch.compile_ms);
    if (!shown.files.empty()) text += fmt::format("  written    {}\n", shown.files[index]);
    return text + fmt::format("  arguments  {} B\n", argument_bytes(launch)) + arguments_text(launch.args);
}

}  // namespace

std::string report_text(const shown_operator& shown)
{
    std::string text = fmt::format(
        "{} for {}: hidden_dim {}, n_streams {}, {}, {} token(s); workspace {} B; {} launch(es)\n", jit::to_string(shown.op),
        shown.description.target, shown.spec.hidden_dim, shown.spec.n_streams, jit::to_string(shown.spec.dtype),
        shown.tokens, shown.description.workspace_bytes, shown.description.launches.size());
    if (shown.description.chunk_tokens < shown.tokens)
        text += fmt::format("launched over chunks of {} tokens, all kernels in turn\n", shown.description.chunk_tokens);
    for (std::size_t i = 0; i < shown.description.launches.size(); ++i) text += launch_text(shown, i);
    return text;
}

std::string report_json(const shown_operator& shown)
{
    json launches = json::array();
    for (std::size_t i = 0; i < shown.description.launches.size(); ++i) launches.push_back(launch_json(shown, i));
    const json report = {{"operator", jit::to_string(shown.op)},
                         {"target", shown.description.target},
                         {"hidden_dim", shown.spec.hidden_dim},
                         {"n_streams", shown.spec.n_streams},
                         {"dtype", jit::to_string(shown.spec.dtype)},
                         {"weight_dtype", jit::to_string(shown.spec.weight_dtype)},
                         {"alignment_bytes", shown.spec.alignment_bytes},
                         {"tokens", shown.tokens},
                         {"workspace_bytes", shown.description.workspace_bytes},
                         {"chunk_tokens", shown.description.chunk_tokens},
                         {"launches", std::move(launches)}};
    return report.dump(2, ' ', false, json::error_handler_t::replace) + '\n';
}

}  // namespace mhc::tools
