// tests/emulated/chunks_test.cpp -- operators whose kernels take their tokens in chunks give the bits of one piece, for
// fewer lines fetched from memory.
#include <doctest/doctest.h>

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include <mhc/jit.hpp>

using namespace mhc;

namespace {

constexpr const char* target = "emu:gfx1200";  // with the smallest last-level cache
constexpr std::int64_t C = 1280, n = 4, m = n * n + 2 * n, tokens = 3400;

/// Memory of the device, filled with small bf16 numbers or floats.
class operands {
public:
    explicit operands(jit::device& on) : on_(on) {}
    ~operands()
    {
        for (void* p : all_) on_.release(p);
    }
    operands(const operands&) = delete;
    operands& operator=(const operands&) = delete;

    void* bytes(std::int64_t size) { return all_.emplace_back(on_.allocate(static_cast<std::size_t>(size)).value()); }
    void* data(std::int64_t count)
    {
        std::vector<std::uint16_t> words(static_cast<std::size_t>(count));
        for (auto& word : words) word = static_cast<std::uint16_t>((random_() & 0x807fU) + 0x3f00U);
        return filled(words);
    }
    float* floats(std::int64_t count)
    {
        std::vector<float> values(static_cast<std::size_t>(count));
        for (auto& value : values) value = (static_cast<float>(random_() % 2048U) - 1024.0F) / 1024.0F;
        return static_cast<float*>(filled(values));
    }
    std::vector<std::uint8_t> copy(const void* p, std::int64_t size)
    {
        std::vector<std::uint8_t> to(static_cast<std::size_t>(size));
        on_.download(to.data(), p, to.size()).value();
        return to;
    }

private:
    template <class T>
    void* filled(const std::vector<T>& values)
    {
        const auto size = static_cast<std::int64_t>(values.size() * sizeof(T));
        void* const p = bytes(size);
        on_.upload(p, values.data(), static_cast<std::size_t>(size)).value();
        return p;
    }

    jit::device& on_;
    std::vector<void*> all_;
    std::mt19937 random_{1};
};

struct machine {
    std::shared_ptr<jit::device> device = jit::device::open(target).value();
    std::shared_ptr<jit::engine> engine;
    operands memory{*device};
    jit::layer_spec spec;

    machine(jit::operation op, jit::preset preset)
    {
        jit::engine_options options;
        options.target = target;
        options.backend = jit::compiler_backend::clang;
        options.cache_dir = MHC_TEST_CACHE_DIR;
        if (const char* dir = std::getenv("MHC_JIT_DIR"); dir != nullptr && *dir != '\0') options.cache_dir = dir;
        engine = jit::engine::create(options).value();
        spec.hidden_dim = C;
        spec.n_streams = n;
        spec.options = jit::options_of(preset);
        spec.wanted = jit::operations{op};
        REQUIRE(jit::describe(op, spec, target, tokens, false, options).value().chunk_tokens < tokens);
    }
    void* workspace(const jit::compiled_layer& layer, jit::operation op)
    {
        return memory.bytes(layer.workspace_bytes(op, tokens));
    }
};

/// Calls the operator twice, in chunks and, because it is told how many tokens are valid, in one piece, and compares what it
/// writes. `call` is given the argument that tells.
template <class Call>
void check_chunks(machine& on, const std::vector<std::pair<void*, std::int64_t>>& outputs, Call call)
{
    const auto all = static_cast<std::int32_t>(tokens);
    auto* const valid = static_cast<std::int32_t*>(on.memory.bytes(4));
    on.device->upload(valid, &all, 4).value();
    std::vector<std::vector<std::uint8_t>> in_chunks;
    std::uint64_t missed[2] = {};
    for (const bool is_whole : {false, true}) {
        for (const auto& [p, bytes] : outputs)
            on.device->fill(p, 0xffffffffU, static_cast<std::size_t>(bytes / 4), nullptr).value();
        on.device->counter()->start().value();
        const jit::result<void> made = call(is_whole ? valid : nullptr);
        missed[is_whole ? 1 : 0] = on.device->counter()->stop().lines_missed;
        const std::string why = made ? "" : made.error().message;
        CAPTURE(why);
        REQUIRE(made);
        for (std::size_t i = 0; i < outputs.size(); ++i) {
            CAPTURE(i);
            const auto got = on.memory.copy(outputs[i].first, outputs[i].second);
            if (is_whole)
                CHECK(got == in_chunks[i]);
            else
                in_chunks.push_back(got);
        }
    }
    CHECK(missed[0] * 10 < missed[1] * 9);
}

}  // namespace

TEST_CASE("chunks: pre_fwd has the bits of one piece, and fetches the streams once")
{
    machine on(jit::operation::pre_fwd, jit::preset::deepseek);
    const jit::compiled_layer layer = on.engine->layer(on.spec).value();
    jit::pre_fwd_args args;
    args.x_strides = {.token = n * C + 64, .stream = C};
    args.x = on.memory.data(tokens * args.x_strides.token);
    args.fn = on.memory.floats(m * n * C);
    args.scale = on.memory.floats(3);
    args.base = on.memory.floats(m);
    args.layer_input = on.memory.bytes(tokens * C * 2);
    args.pre = static_cast<float*>(on.memory.bytes(tokens * n * 4));
    args.post = static_cast<float*>(on.memory.bytes(tokens * n * 4));
    args.mix = static_cast<float*>(on.memory.bytes(tokens * n * n * 4));
    args.workspace = on.workspace(layer, jit::operation::pre_fwd);
    args.tokens = tokens;
    check_chunks(on,
                 {{args.layer_input, tokens * C * 2},
                  {args.pre, tokens * n * 4},
                  {args.post, tokens * n * 4},
                  {args.mix, tokens * n * n * 4}},
                 [&](const std::int32_t* valid) {
                     args.num_valid_tokens = valid;
                     return layer.pre_fwd(args);
                 });
}

TEST_CASE("chunks: post_pre_fwd with a static post has the bits of one piece")
{
    machine on(jit::operation::post_pre_fwd, jit::preset::deepseek);
    const jit::compiled_layer layer = on.engine->layer(on.spec).value();
    jit::post_pre_fwd_args args;
    args.y = on.memory.data(tokens * C);
    args.x = on.memory.data(tokens * n * C);
    args.post = on.memory.floats(n);
    args.post_is_static = true;
    args.mix = on.memory.floats(tokens * n * n);
    args.fn = on.memory.floats(m * n * C);
    args.scale = on.memory.floats(3);
    args.base = on.memory.floats(m);
    args.out = on.memory.bytes(tokens * n * C * 2);
    args.layer_input = on.memory.bytes(tokens * C * 2);
    args.next_pre = static_cast<float*>(on.memory.bytes(tokens * n * 4));
    args.next_post = static_cast<float*>(on.memory.bytes(tokens * n * 4));
    args.next_mix = static_cast<float*>(on.memory.bytes(tokens * n * n * 4));
    args.workspace = on.workspace(layer, jit::operation::post_pre_fwd);
    args.tokens = tokens;
    check_chunks(on,
                 {{args.out, tokens * n * C * 2},
                  {args.layer_input, tokens * C * 2},
                  {args.next_pre, tokens * n * 4},
                  {args.next_post, tokens * n * 4},
                  {args.next_mix, tokens * n * n * 4}},
                 [&](const std::int32_t* valid) {
                     args.num_valid_tokens = valid;
                     return layer.post_pre_fwd(args);
                 });
}
