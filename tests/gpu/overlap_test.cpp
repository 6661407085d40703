// tests/gpu/overlap_test.cpp -- operators that may start before the kernel ahead of them has ended compute what they do
// after it: in a chain each reads what the one ahead writes, and writes what that one reads.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <string>
#include <tuple>

#include "tests/host/driver.hpp"
#include "tests/reference/options.hpp"
#include "tests/support/random.hpp"

using namespace mhc;
using namespace mhc::testing;
using jit::operation;

namespace {

struct chain_size {
    jit::dtype type;  ///< bf16 or fp32
    std::int64_t hidden_dim, tokens;
};

/// Normal numbers as elements of `type`.
std::vector<std::byte> numbers(std::string_view name, std::int64_t count, jit::dtype type, float deviation)
{
    const auto size = static_cast<std::size_t>(size_of(type));
    std::vector<std::byte> made(static_cast<std::size_t>(count) * size);
    const std::vector<float> values = normals(seed_of(name), count, 0.0f, deviation);
    for (std::size_t i = 0; i < values.size(); ++i) {
        std::uint32_t bits = 0;
        std::memcpy(&bits, &values[i], sizeof bits);
        if (type == jit::dtype::bf16) bits >>= 16;
        std::memcpy(made.data() + i * size, &bits, size);
    }
    return made;
}

jit::layer_spec spec_of(const chain_size& of, jit::preset options, jit::operations wanted)
{
    jit::layer_spec spec;
    spec.n_streams = 4;
    spec.hidden_dim = of.hidden_dim;
    spec.dtype = of.type;
    spec.weight_dtype = jit::dtype::fp32;
    spec.options = reference::options_of(options);
    spec.wanted = wanted;
    return spec;
}

/// Parameters, and what a chain writes again and again.
class chain {
public:
    chain(session& on, const chain_size& of, std::int64_t workspace_bytes)
        : device_(*on.device),
          tokens_(of.tokens),
          streams_(numbers("streams", of.tokens * 4 * of.hidden_dim, of.type, 1.0f)),
          fn_(device_, numbers("fn", 24 * 4 * of.hidden_dim, jit::dtype::fp32, 0.02f), 0, 0),
          affine_(device_, numbers("affine", 64, jit::dtype::fp32, 0.5f), 0, 0),
          weight_(device_, numbers("weight", of.hidden_dim, jit::dtype::fp32, 1.0f), 0, 0),
          x_(device_, bytes(), 0, 0),
          between_(device_, bytes(), 0, 0),
          row_(device_, bytes() / 4, 0, 0),
          last_row_(device_, bytes() / 4, 0, 0),
          small_(device_, of.tokens * 96 * 4, 0, 0),
          workspace_(device_, std::max<std::int64_t>(workspace_bytes, 16), 0, 0)
    {
    }

    /// From streams to streams through every operator of decoding; pre_big_fuse has the sums of other streams, so that what
    /// it reads has just been written.
    void decode(const jit::compiled_layer& layer) const
    {
        void* const stream = device_.stream();
        const float *scale = f32(affine_, 0), *base = f32(affine_, 4);
        float *pre = of_token(0), *post = of_token(4), *mix = of_token(8);
        layer
            .pre_fwd({.x = x_.pointer(),
                      .fn = fn_.pointer(),
                      .scale = scale,
                      .base = base,
                      .layer_input = row_.pointer(),
                      .pre = pre,
                      .post = post,
                      .mix = mix,
                      .workspace = workspace_.pointer(),
                      .tokens = tokens_,
                      .x_strides = {}},
                     stream)
            .value();
        layer
            .pre_project_fwd({.x = x_.pointer(),
                              .fn = fn_.pointer(),
                              .proj = of_token(24),
                              .sqsum = of_token(48),
                              .tokens = tokens_,
                              .x_strides = {},
                              .workspace = workspace_.pointer()},
                             stream)
            .value();
        layer
            .post_fwd({.y = row_.pointer(),
                       .x = x_.pointer(),
                       .post = post,
                       .mix = mix,
                       .out = between_.pointer(),
                       .tokens = tokens_,
                       .x_strides = {},
                       .out_strides = {}},
                      stream)
            .value();
        layer
            .pre_big_fuse({.proj = of_token(24),
                           .sqsum = of_token(48),
                           .x = between_.pointer(),
                           .scale = scale,
                           .base = base,
                           .layer_input = row_.pointer(),
                           .pre = pre,
                           .post = post,
                           .mix = mix,
                           .tokens = tokens_,
                           .x_strides = {}},
                          stream)
            .value();
        layer
            .post_pre_fwd({.y = row_.pointer(),
                           .x = between_.pointer(),
                           .post = post,
                           .mix = mix,
                           .fn = fn_.pointer(),
                           .scale = scale,
                           .base = base,
                           .out = x_.pointer(),
                           .layer_input = last_row_.pointer(),
                           .next_pre = of_token(52),
                           .next_post = of_token(56),
                           .next_mix = of_token(60),
                           .workspace = workspace_.pointer(),
                           .tokens = tokens_,
                           .x_strides = {},
                           .out_strides = {}},
                          stream)
            .value();
    }
    /// Twice through mHC.cu's layer.
    void two_layers(const jit::compiled_layer& layer) const
    {
        const auto* const phi = static_cast<const float*>(fn_.pointer());
        const std::int64_t row = bytes() / tokens_ / size_of(layer.spec().dtype);
        jit::dynamic_layer_fwd_args args{.x = x_.pointer(),
                                         .phi_pre = phi,
                                         .phi_post = phi + 4 * row,
                                         .phi_res = phi + 8 * row,
                                         .alpha_pre = f32(affine_, 0),
                                         .alpha_post = f32(affine_, 1),
                                         .alpha_res = f32(affine_, 2),
                                         .b_pre = f32(affine_, 4),
                                         .b_post = f32(affine_, 8),
                                         .b_res = f32(affine_, 12),
                                         .weight = weight_.pointer(),
                                         .out = between_.pointer(),
                                         .workspace = workspace_.pointer(),
                                         .tokens = tokens_,
                                         .x_strides = {},
                                         .out_strides = {}};
        layer.dynamic_layer_fwd(args, device_.stream()).value();
        args.x = between_.pointer();
        args.out = x_.pointer();
        layer.dynamic_layer_fwd(args, device_.stream()).value();
    }
    /// All that links(layer) writes, as often as it is called one after the other.
    template <class Links>
    std::map<std::string, std::vector<std::byte>> after(int turns, Links links) const
    {
        device_.upload(x_.pointer(), streams_);
        for (int i = 0; i < turns; ++i) links(*this);
        std::map<std::string, std::vector<std::byte>> all{{"x", bytes_of(x_)},
                                                          {"between", bytes_of(between_)},
                                                          {"layer_input", bytes_of(row_)},
                                                          {"last layer_input", bytes_of(last_row_)}};
        const std::vector<std::byte> small = bytes_of(small_);
        for (const auto& [name, first, count] : {std::tuple{"pre", 0, 4},
                                                 {"post", 4, 4},
                                                 {"mix", 8, 16},
                                                 {"proj", 24, 24},
                                                 {"sqsum", 48, 1},
                                                 {"next_pre", 52, 4},
                                                 {"next_post", 56, 4},
                                                 {"next_mix", 60, 16}}) {
            const auto begin = small.begin() + first * tokens_ * 4;
            all[name].assign(begin, begin + count * tokens_ * 4);
        }
        return all;
    }

private:
    std::vector<std::byte> bytes_of(const guarded_array& of) const
    {
        std::vector<std::byte> all(static_cast<std::size_t>(of.bytes()));
        device_.download(all, of.pointer());
        return all;
    }
    std::int64_t bytes() const { return static_cast<std::int64_t>(streams_.size()); }
    static float* f32(const guarded_array& of, std::int64_t at) { return static_cast<float*>(of.pointer()) + at; }
    /// Of 96 floats for each token, an array of all tokens that begins where the at-th of each would end.
    float* of_token(std::int64_t at) const { return f32(small_, at * tokens_); }

    testing::device& device_;
    std::int64_t tokens_;
    std::vector<std::byte> streams_;
    guarded_array fn_, affine_, weight_, x_, between_, row_, last_row_, small_, workspace_;
};

std::vector<chain_size> chain_sizes()
{
    // One pass and several; kernels that end long after their first group, and that are over at once.
    if (environment("MHC_TEST_SMALL", "0") != "0") return {{jit::dtype::bf16, 256, 5}};
    return {{jit::dtype::bf16, 1280, 2048}, {jit::dtype::bf16, 4096, 700}, {jit::dtype::bf16, 7168, 9},
            {jit::dtype::bf16, 1284, 300},  {jit::dtype::fp32, 1280, 600}, {jit::dtype::fp32, 4096, 1}};
}

/// An overlapping chain has the bits of a plain one, time after time.
template <class Links>
void check_chain(const chain_size& of, const jit::layer_spec& spec, Links links)
{
    CAPTURE(of.hidden_dim);
    CAPTURE(of.tokens);
    session& on = session::instance();
    const jit::compiled_layer plain = on.layer(spec), early = plain.overlapping();
    std::int64_t workspace_bytes = 0;
    for (int op = 0; op < jit::operation_count; ++op)
        workspace_bytes = std::max(workspace_bytes, plain.workspace_bytes(static_cast<operation>(op), of.tokens));
    const chain memory(on, of, workspace_bytes);
    constexpr int turns = 6;
    const auto run = [&](const jit::compiled_layer& layer) {
        return memory.after(turns, [&](const chain& m) { links(m, layer); });
    };
    const auto expected = run(plain);
    for (int time = 0; time < 6; ++time)
        for (const auto& [name, bytes] : run(time == 0 ? plain : early)) {
            const auto first = std::mismatch(bytes.begin(), bytes.end(), expected.at(name).begin()).first - bytes.begin();
            CHECK_MESSAGE(first == static_cast<std::ptrdiff_t>(bytes.size()),
                          name << " differs at byte " << first << " of " << bytes.size() << ", time " << time);
        }
}

}  // namespace

TEST_CASE("overlap: a chain of operators that start early has the bits of one that does not")
{
    const jit::operations wanted{operation::pre_fwd, operation::post_fwd, operation::pre_project_fwd,
                                 operation::pre_big_fuse, operation::post_pre_fwd};
    for (const chain_size& of : chain_sizes())
        check_chain(of, spec_of(of, jit::preset::deepseek, wanted),
                    [](const chain& m, const jit::compiled_layer& layer) { m.decode(layer); });
}

TEST_CASE("overlap: so has a chain of mHC.cu's layers")
{
    for (const chain_size& of : chain_sizes())
        check_chain(of, spec_of(of, jit::preset::mhc_cu, {operation::dynamic_layer_fwd}),
                    [](const chain& m, const jit::compiled_layer& layer) { m.two_layers(layer); });
}
