// runtime/describe.cpp -- an operator's kernels, sources, arguments and geometry, for any target, running nothing.
#include <fmt/format.h>

#include <future>

#include <mhc/jit/describe.hpp>

#include "codegen/render.hpp"
#include "runtime/code_object.hpp"
#include "runtime/object_source.hpp"
#include "runtime/select_target.hpp"
#include "runtime/tensors.hpp"
#include "runtime/tuned_tables.hpp"

namespace mhc::jit {
namespace {

using codegen::access;
using codegen::element;
using codegen::slot;
using runtime::keyed_kernel;
using runtime::object_source;

std::string type_of(const codegen::argument& arg, const layer_spec& spec)
{
    switch (arg.element) {
        case element::data:
            return std::string(to_string(spec.dtype));
        case element::weight:
            return std::string(to_string(spec.weight_dtype));
        case element::fp8:
            return "fp8";
        case element::i32:
            return "i32";
        case element::i64:
            return "i64";
        case element::tensor_map:
            return "tensor map of " + std::string(to_string(spec.dtype));
        default:
            return "fp32";
    }
}

/// Operators whose projection is the caller's.
constexpr operations is_stage = {operation::pre_project_fwd, operation::split_mixes_fwd, operation::coeffs_fwd,
                                 operation::pre_big_fuse,    operation::pre_project_bwd, operation::split_mixes_bwd,
                                 operation::coeffs_bwd};

/// The value of a scalar for dense tensors, per-token coefficients, one split and all rows.
std::int64_t scalar_value(slot what, const layer_spec& spec, const codegen::operator_plan& plan, std::int64_t tokens,
                          std::int64_t groups)
{
    const std::int64_t n = spec.n_streams, C = spec.hidden_dim;
    const operation op = plan.op;
    switch (what) {
        case slot::tokens:
            return tokens;
        case slot::groups:
            return groups;
        case slot::rows:
            return operations{operation::head_fwd, operation::head_bwd, operation::post_head_fwd, operation::post_head_bwd}
                           .contains(op)
                       ? n
                       : runtime::rows_when_described(op, spec);
        case slot::splits:  // of a projection in the workspace: its slices; in the caller's memory: one
            return is_stage.contains(op) ? 1 : plan.slices;
        case slot::x_token_stride:
            return op == operation::broadcast_pre_fwd ? C : n * C;
        case slot::out_token_stride:
        case slot::d_out_token_stride:
        case slot::d_x_token_stride:
        case slot::dense_token_stride:
            return n * C;
        case slot::x_stream_stride:
            return op == operation::broadcast_pre_fwd ? 0 : C;
        case slot::out_stream_stride:
        case slot::d_out_stream_stride:
        case slot::d_x_stream_stride:
        case slot::dense_stream_stride:
            return C;
        case slot::fn_size:
            return scalar_value(slot::rows, spec, plan, tokens, groups) * n * C;
        case slot::pre_token_stride:
        case slot::post_token_stride:
            return n;
        case slot::mix_token_stride:
            return n * n;
        case slot::coefficients_token_stride:
            return op == operation::static_layer_fwd || op == operation::static_layer_bwd ? 0 : n * n + 2 * n;
        default:
            return 0;
    }
}

argument_description describe_argument(const codegen::argument& arg, const layer_spec& spec,
                                       const codegen::operator_plan& plan, std::int64_t tokens, std::int64_t groups,
                                       std::int64_t workspace_bytes)
{
    argument_description d;
    d.name = name_of(arg.what == slot::zero ? arg.parameter : arg.what);  // a constant is known by what it is for
    d.type = type_of(arg, spec);
    d.size = arg.size;
    d.offset = arg.offset;
    d.optional = arg.optional;
    if (arg.access == access::scalar) {
        d.kind = "scalar";
        d.value = scalar_value(arg.what, spec, plan, tokens, groups) + arg.bytes_fixed;
    } else if (arg.what == slot::workspace) {
        d.kind = "workspace";
        d.workspace_offset = tokens == 0 ? 0 : arg.bytes_per_token * tokens + arg.bytes_fixed;
        d.bytes = workspace_bytes - d.workspace_offset;
    } else {
        d.kind = arg.access == access::in ? "in" : "out";
        d.bytes = runtime::tensor_bytes(plan.op, d.name, spec, tokens);
    }
    return d;
}

/// Kernels that only a launch with static coefficients has.
bool is_for_statics(const codegen::kernel_plan& k)
{
    return k.only_if == slot::pre_is_static || k.only_if == slot::post_is_static || k.only_if == slot::mix_is_static ||
           k.only_if == slot::statics_are_wanted;
}

std::vector<std::string> tensors_that_want(const codegen::kernel_plan& k)
{
    if (k.only_if == slot::tokens) return {};
    if (k.only_if == slot::affine_is_wanted) return {"d_scale", "d_base"};
    if (k.only_if == slot::fn_is_wanted) return {"d_fn", "d_fn_norm_weight"};
    if (k.only_if == slot::pre_is_wanted) return {"d_fn", "d_scale", "d_base"};
    return {std::string(name_of(k.only_if))};
}

std::string plan_line(const codegen::kernel_plan& k)
{
    std::string line = k.family;
    for (const auto& [name, value] : k.bindings)
        if (name != "params") line += fmt::format(" {}={}", name, value);
    return line;
}

/// Adds the code object: stored, or compiled.
result<void> add_code(object_source& source, const keyed_kernel& wanted, const runtime::chosen_compiler& by,
                      launch_description& d)
{
    auto object = source.find(wanted);
    if (!object) {
        auto compiled = source.compile(wanted, by);
        if (!compiled) return compiled.error();
        object = std::move(*compiled);
    }
    d.symbol = object->row.symbol;
    d.key = cache::to_hex(object->row.key);
    d.code_object = object->row.bytes;
    d.compiler = object->compiler_name;
    d.compile_ms = static_cast<double>(object->row.compile_ms);
    d.from = object->from;
    d.resources = runtime::resources_of(d.code_object, d.symbol);
    return {};
}

std::unique_ptr<object_source> make_source(const engine_options& options)
{
    return std::make_unique<object_source>(options, std::make_shared<runtime::logger>(options.level, options.log),
                                           std::make_shared<runtime::counters>());
}

}  // namespace

result<operator_description> describe(operation op, const layer_spec& spec, std::string_view target, std::int64_t tokens,
                                      bool compile, const engine_options& options)
{
    auto on = runtime::target_named(target);
    if (!on) return on.error();
    layer_spec only = spec;
    only.wanted = operations{op};
    if (tokens < 0) return failure{errc::bad_spec, fmt::format("tokens = {}: allowed is 0 or more", tokens)};
    auto planned = codegen::plan(
        only, *on, op, runtime::choices_of(options, *on, runtime::logger(options.level, options.log)).find(op, only));
    if (!planned) return planned.error();

    operator_description d;
    d.target = on->kind == codegen::target_kind::host ? std::string(target) : on->name;
    d.workspace_bytes = tokens == 0 ? 0 : planned->workspace_bytes_fixed + tokens * planned->workspace_bytes_per_token;
    d.chunk_tokens = planned->chunk_tokens(tokens);
    const auto source = make_source(options);
    // Without `compile`, or in strict mode, no compiler is asked for: the key is then the one without a toolchain.
    const runtime::chosen_compiler by = compile && !options.strict ? source->compiler_for(*on) : runtime::chosen_compiler{};
    std::vector<keyed_kernel> wanted;
    for (const codegen::kernel_plan& k : planned->kernels) {
        if (is_for_statics(k) || !planned->launches(k, tokens)) continue;
        wanted.push_back(source->key_of(k, *on, by));
        launch_description launch;
        launch.symbol = wanted.back().symbol;
        launch.key = cache::to_hex(wanted.back().query.key);
        launch.grid = tokens == 0 && !k.runs_without_tokens ? 0 : k.grid.groups(tokens);
        launch.block = k.block;
        launch.lds_bytes_dynamic = k.lds_bytes;
        launch.only_for = tensors_that_want(k);
        launch.plan = plan_line(k);
        launch.source = codegen::render(k, *on, launch.symbol);
        for (const codegen::argument& arg : k.args)
            launch.args.push_back(describe_argument(arg, only, *planned, tokens, k.grid.groups(tokens), d.workspace_bytes));
        d.launches.push_back(std::move(launch));
    }
    if (!compile) return d;
    std::vector<std::future<result<void>>> running;
    for (std::size_t i = 0; i < wanted.size(); ++i)
        running.push_back(
            std::async(std::launch::async, [&, i] { return add_code(*source, wanted[i], by, d.launches[i]); }));
    result<void> outcome;
    for (auto& one : running)
        if (auto ok = one.get(); !ok && outcome) outcome = ok;
    if (!outcome) return outcome.error();
    return d;
}

result<std::string> disassemble(std::string_view target, std::string_view code_object, const engine_options& options)
{
    auto on = runtime::target_named(target);
    if (!on) return on.error();
    std::string why;
    const auto source = make_source(options);
    std::string text =
        source->service().disassemble(on->kind == codegen::target_kind::host ? "host" : on->name, code_object, &why);
    if (text.empty()) return failure{errc::unsupported_target, fmt::format("no disassembly for {}: {}", target, why)};
    return text;
}

}  // namespace mhc::jit
