// tests/gpu/capture_test.cpp -- operators under graph capture and on several streams compute the bits of a plain launch.
#include <doctest/doctest.h>

#include "tests/host/driver.hpp"
#include "tests/reference/options.hpp"
#include "tests/support/random.hpp"

using namespace mhc;
using namespace mhc::testing;
using jit::operation;

namespace {

test_case captured_case(operation op)
{
    test_case made;
    made.op = op;
    made.name = "capture " + std::string(jit::to_string(op));
    made.seed = seed_of(made.name);
    made.tokens = 65;
    made.spec.n_streams = 4;
    made.spec.hidden_dim = 1280;
    made.spec.options = reference::options_of(jit::preset::deepseek);
    made.spec.norm_weight = op == operation::pre_fwd;
    made.spec.wanted = jit::operations{op};
    return made;
}

using outputs = std::map<std::string, std::vector<float>>;

outputs outputs_of(const launch_memory& memory, const operands& of)
{
    std::vector<std::string> problems;
    outputs all;
    for (const operand& each : of.list)
        if (each.is_output) all[each.name] = memory.output(each, problems);
    REQUIRE(problems.empty());
    return all;
}

/// A recorded launch, ready to be run again and again.
class graph {
public:
    graph(session& on, const launch_memory& memory) : device_(on.device->itself()), stream_(on.device->stream())
    {
        device_.begin_capture(stream_).value();
        const jit::result<void> launched = memory.launch();
        made_ = device_.end_capture(stream_).value();
        launched.value();
    }
    ~graph() { device_.destroy_graph(made_); }
    graph(const graph&) = delete;
    graph& operator=(const graph&) = delete;

    void replay()
    {
        device_.replay(made_, stream_).value();
        device_.synchronize(stream_).value();
    }

private:
    jit::device& device_;
    void* stream_;
    void* made_ = nullptr;
};

}  // namespace

TEST_CASE("capture: a launch records only, and its replays give the bits of a plain launch, each time")
{
    session& on = session::instance();
    for (int i = 0; i < jit::operation_count; ++i) {
        const test_case of = captured_case(static_cast<operation>(i));
        CAPTURE(of.name);
        const operands made = make_operands(of);
        const jit::compiled_layer layer = on.layer(of.spec);
        const outcome plain = run(on, layer, made);
        REQUIRE(plain.problems.empty());

        const launch_memory memory(on, layer, made);
        graph recorded(on, memory);
        CHECK(memory.outputs_are_untouched());
        for (int replay = 0; replay < 3; ++replay) {
            recorded.replay();
            CHECK(outputs_of(memory, made) == plain.outputs);
        }
    }
}

TEST_CASE("capture: a layer made from a warm cache is captured at its first launch")
{
    session& on = session::instance();
    const test_case of = captured_case(operation::pre_fwd);
    const operands made = make_operands(of);
    const outcome plain = run(on, on.layer(of.spec), made);

    jit::engine_options options;
    options.target = on.target;
    options.cache_dir = environment("MHC_JIT_DIR", "");
    if (options.cache_dir->empty()) options.cache_dir.reset();
    const auto other = jit::engine::create(options).value();
    const jit::compiled_layer fresh = other->layer(of.spec).value();
    const launch_memory memory(on, fresh, made);
    graph recorded(on, memory);
    recorded.replay();
    CHECK(outputs_of(memory, made) == plain.outputs);
}
