// tests/emulated/compiled_kernel.cpp -- the compile service and an emulated device, without an engine between.
#include "tests/emulated/compiled_kernel.hpp"

#include <algorithm>
#include <stdexcept>

#include "codegen/compile_options.hpp"
#include "runtime/compile_service.hpp"

namespace mhc::emulator::testing {
namespace {

runtime::compile_service& service()
{
    static const auto one = runtime::make_compile_service({});
    return *one;
}

}  // namespace

bool can_compile(const std::string& backend, const std::string& processor)
{
    for (const runtime::backend_info& each : service().backends()) {
        if (each.name != backend || !each.available) continue;
        return std::find(each.targets.begin(), each.targets.end(), processor) != each.targets.end();
    }
    return false;
}

std::string compile(const compilation& what)
{
    codegen::target target = codegen::parse_target(what.processor).value();
    target.code_object_version = what.code_object_version;
    runtime::compile_job job{.backend = what.backend,
                             .target = what.processor,
                             .name = "k.hip",
                             .source = what.source,
                             .options = codegen::compile_options(what.backend, target)};
    const auto behind = what.backend == "clang" ? job.options.end() - 2 : job.options.end();  // before "-x hip"
    job.options.insert(behind, what.more_options.begin(), what.more_options.end());
    runtime::compile_result made = service().compile(job);
    if (made.status != runtime::compile_status::ok) throw std::runtime_error(made.log);
    return std::move(made.code);
}

jit::result<std::vector<int>> run(const std::string& processor, const std::string& object, const run_of_k& what)
{
    const auto device = make_device(facts_of(processor), what.which);
    auto module = device->load_module(object);
    if (!module) return module.error();
    struct arguments {
        void *in, *out;
        int number, unused;
    } block{nullptr, nullptr, what.number, 0};
    const std::size_t in_bytes = what.in.size() * sizeof(int), out_bytes = what.out.size() * sizeof(int);
    block.in = device->allocate(std::max<std::size_t>(in_bytes, 4)).value();
    block.out = device->allocate(out_bytes).value();
    device->upload(block.in, what.in.data(), in_bytes).value();
    device->upload(block.out, what.out.data(), out_bytes).value();
    auto done =
        device->launch(device->function_of(*module, "k").value(), what.groups, what.block, &block, sizeof(block), nullptr);
    std::vector<int> got(what.out.size());
    device->download(got.data(), block.out, out_bytes).value();
    device->unload_module(*module);
    device->release(block.in);
    device->release(block.out);
    if (!done) return done.error();
    return got;
}

}  // namespace mhc::emulator::testing
