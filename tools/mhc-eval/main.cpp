// tools/mhc-eval/main.cpp -- runs one operator on arrays from .npy files and writes its results as .npy files.
#include <chrono>
#include <filesystem>

#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include <mhc/jit/engine.hpp>

#include "tools/common/device.hpp"
#include "tools/common/engine_flags.hpp"
#include "tools/common/files.hpp"
#include "tools/common/invoke.hpp"
#include "tools/common/settings.hpp"
#include "tools/common/tool.hpp"
#include "tools/mhc-eval/list.hpp"
#include "tools/mhc-eval/operands.hpp"
#include "tools/mhc-eval/staging.hpp"

namespace mhc::tools {
namespace {

using json = nlohmann::ordered_json;

struct arguments {
    std::string op;
    std::vector<std::string> inputs, settings;
    std::string out_dir;
    bool is_list = false, is_json = false;
    engine_flags engine;
};

struct output_array {
    std::string name;
    npy_array array;
};

struct evaluation {
    std::string target;
    double milliseconds = 0;
    std::vector<jit::kernel_info> kernels;
    std::vector<output_array> outputs;
};

constexpr const char* examples =
    R"(Arrays are .npy files of little-endian float32 in C order. `--set dtype=bf16` (default fp32) rounds the data
tensors to nearest even, runs, and widens the results exactly. Sizes come from the arrays; pre, post and mix are
static when their array lacks the token index. A gradient (NAME_bwd) adds its d_x, or all its parameters' gradients, to
arrays of these names where --in gives them. Results: DIR/NAME.npy. `--list` names everything there is.

Example:
  mhc-eval post_fwd --target host --in y=y.npy x=x.npy post=post.npy mix=mix.npy \
    --set preset=deepseek dtype=bf16 --out-dir results --json

Exit codes: 0 done; 1 the operation failed; 2 bad arguments, a bad file, or a target that cannot be here.)";

void declare(CLI::App& app, arguments& args)
{
    app.add_option("OP", args.op, "The operator, such as post_fwd (see --list)")->type_name("");
    app.add_option("--in", args.inputs, "Input arrays, NAME=FILE.npy each")->type_name("NAME=FILE.npy");
    app.add_option("--set", args.settings, "Options, such as preset=deepseek or dtype=bf16 (see --list)")
        ->type_name("OPTION=VALUE");
    app.add_option("--out-dir", args.out_dir, "Folder of the results, made if need be")->type_name("DIR");
    app.add_flag("--list", args.is_list, "Print every operator, its inputs, outputs, shapes and options");
    app.add_flag("--json", args.is_json, "Print one JSON object on standard output");
    add_target_flag(app, args.engine);
    add_cache_flag(app, args.engine);
    add_compiler_flags(app, args.engine);
    app.footer(examples);
}

std::string output_path(const arguments& args, const std::string& name)
{
    return (std::filesystem::path(args.out_dir) / (name + ".npy")).string();
}

evaluation run_on(jit::engine& engine, const problem& what, const jit::layer_spec& spec, const jit::strides& given)
{
    device_memory memory(engine.target(), -1);
    const jit::compiled_layer layer = jit::layer(spec, engine).value();

    std::vector<staged_tensor> tensors;
    pointers by_name;
    for (const operand& one : what.operands) {
        tensors.emplace_back(memory, one, spec, given);
        by_name[one.name] = tensors.back().pointer();
    }
    const auto workspace_bytes = static_cast<std::size_t>(layer.workspace_bytes(what.op, what.tokens));
    void* const workspace = workspace_bytes == 0 ? nullptr : memory.allocate(workspace_bytes, 16);
    // NaN in every type: a kernel that reads what it did not write shows.
    const std::vector<std::byte> undefined(workspace_bytes, std::byte{0xFF});
    memory.upload(workspace, undefined.data(), undefined.size());

    const auto start = std::chrono::steady_clock::now();
    invoke(layer, what, by_name, workspace, given).value();
    memory.synchronize();
    const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - start;

    evaluation done{engine.target(), took.count(), {}, {}};
    for (const jit::kernel_info& kernel : layer.kernels())
        if (kernel.op == what.op) done.kernels.push_back(kernel);
    for (std::size_t i = 0; i < tensors.size(); ++i)
        if (what.operands[i].is_output)
            done.outputs.push_back({what.operands[i].name, {what.operands[i].shape, tensors[i].read_back(memory)}});
    return done;
}

void write_outputs(const arguments& args, const evaluation& done)
{
    pending_files files;
    files.make_folders(args.out_dir);
    for (const output_array& output : done.outputs) files.add(output_path(args, output.name), npy_bytes(output.array));
    files.commit();
}

std::string report_json(const arguments& args, const evaluation& done)
{
    json kernels = json::array();
    for (const jit::kernel_info& kernel : done.kernels)
        kernels.push_back({{"symbol", kernel.symbol},
                           {"origin", jit::to_string(kernel.from)},
                           {"key", kernel.key},
                           {"compiler", kernel.compiler},
                           {"compile_ms", kernel.compile_ms}});
    json outputs = json::object();
    for (const output_array& output : done.outputs)
        outputs[output.name] = {{"file", output_path(args, output.name)}, {"shape", output.array.shape}};
    const json report = {{"operator", args.op},
                         {"target", done.target},
                         {"milliseconds", done.milliseconds},
                         {"kernels", std::move(kernels)},
                         {"outputs", std::move(outputs)}};
    return report.dump(2, ' ', false, json::error_handler_t::replace) + '\n';
}

std::string report_text(const arguments& args, const problem& what, const jit::layer_spec& spec, const evaluation& done)
{
    std::string text =
        fmt::format("{} on {}: {} token(s), {} stream(s), hidden_dim {}, {}, {:.3f} ms\n", args.op, done.target, what.tokens,
                    what.n_streams, what.hidden_dim, jit::to_string(spec.dtype), done.milliseconds);
    for (const jit::kernel_info& kernel : done.kernels)
        text += fmt::format("  kernel {}: {}, by {} in {:.0f} ms\n", kernel.symbol, jit::to_string(kernel.from),
                            kernel.compiler, kernel.compile_ms);
    for (const output_array& output : done.outputs)
        text += fmt::format("  {} {} -> {}\n", output.name, shape_text(output.array.shape), output_path(args, output.name));
    return text;
}

int evaluate(const arguments& args)
{
    if (args.is_list) {
        print(args.is_json ? operators_json() : operators_text());
        return exit_ok;
    }
    if (args.op.empty()) fail_usage("no operator is named; give one, such as post_fwd, or --list to see them");
    if (args.out_dir.empty()) fail_usage("--out-dir is missing; name the folder that receives the results");
    const jit::operation op = jit::parse_operation(args.op).value();
    const std::vector<setting> inputs = parse_settings(args.inputs, "--in");
    std::vector<setting> settings = parse_settings(args.settings, "--set");
    const jit::strides given = [&] {
        const auto token = take(settings, "token_stride"), stream = take(settings, "stream_stride");
        return parse_strides(token, stream);
    }();

    jit::layer_spec spec;
    spec.dtype = jit::dtype::fp32;
    spec.wanted = {op};
    // Only pre_project_fwd has no input that shows how many splits there are.
    const bool names_splits = op == jit::operation::pre_project_fwd;
    std::vector<setting> of_spec = settings;
    if (names_splits) take(of_spec, "splits");
    apply_settings(spec, op, of_spec, names_splits ? own_settings : stride_settings);
    const jit::engine_options options = options_of(args.engine);
    for (const auto& tensor : jit::tensors_of(op))
        if (tensor.is_output) pending_files::check(output_path(args, tensor.name));

    const problem what = read_problem(op, inputs, settings, spec);
    check_strides(what, given);
    const bool names_alignment = take(settings, "alignment_bytes").has_value();
    if (!names_alignment) spec.alignment_bytes = best_alignment(spec, given);
    jit::validate(spec).value();
    check_alignment(spec, given);

    const std::unique_ptr<jit::engine> engine = jit::engine::create(options).value();
    const evaluation done = run_on(*engine, what, spec, given);
    write_outputs(args, done);
    print(args.is_json ? report_json(args, done) : report_text(args, what, spec, done));
    return exit_ok;
}

}  // namespace
}  // namespace mhc::tools

int main(int argc, char** argv)
{
    CLI::App app("Runs one operator on arrays from .npy files and writes its results as .npy files.", "mhc-eval");
    mhc::tools::arguments args;
    mhc::tools::declare(app, args);
    return mhc::tools::run_tool(app, argc, argv, [&] { return mhc::tools::evaluate(args); });
}
