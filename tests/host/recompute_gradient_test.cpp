// tests/host/recompute_gradient_test.cpp -- a training step that kept neither layer inputs nor streams:
// multilayer_recompute, then post_bwd and apply_mix_bwd of each layer, against finite differences of the chain.
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <span>
#include <utility>
#include <vector>

#include "tests/host/driver.hpp"
#include "tests/reference/options.hpp"
#include "tests/support/random.hpp"

using namespace mhc;
using namespace mhc::testing;
using jit::operation;

namespace {

constexpr std::int64_t T = 3, n = 3, C = 40, L = 3;
constexpr std::size_t layers = L;

/// Numbers on the device under test.
class array {
public:
    explicit array(const std::vector<float>& values) : size_(values.size())
    {
        memory_ = on().allocate(size_ * sizeof(float));
        on().upload(memory_, std::as_bytes(std::span(values)));
    }
    explicit array(std::int64_t size) : array(std::vector<float>(static_cast<std::size_t>(size))) {}
    ~array()
    {
        if (memory_ != nullptr) on().release(memory_);
    }
    array(const array&) = delete;
    array& operator=(const array&) = delete;
    array(array&& from) noexcept : memory_(std::exchange(from.memory_, nullptr)), size_(from.size_) {}
    array& operator=(array&& from) noexcept
    {
        std::swap(memory_, from.memory_);
        std::swap(size_, from.size_);
        return *this;
    }

    float* get() const { return static_cast<float*>(memory_); }
    std::vector<float> read() const
    {
        std::vector<float> values(size_);
        on().download(std::as_writable_bytes(std::span(values)), memory_);
        return values;
    }

private:
    static device& on() { return *session::instance().device; }
    void* memory_ = nullptr;
    std::size_t size_ = 0;
};

/// What the chain is made of: the first streams, and each layer's coefficients, in one list of numbers.
struct chain {
    std::vector<float> x;
    std::array<std::vector<float>, layers> pre, post, mix;

    chain() : x(normals(1, T * n * C, 0, 1))
    {
        for (std::uint64_t l = 0; l < layers; ++l) {
            pre[l] = normals(10 + l, T * n, 0.5F, 0.2F);
            post[l] = normals(20 + l, T * n, 1, 0.3F);
            mix[l] = normals(30 + l, T * n * n, 0.3F, 0.2F);
        }
    }
    std::vector<std::vector<float>*> parts()
    {
        std::vector<std::vector<float>*> all{&x};
        for (std::size_t l = 0; l < layers; ++l) all.insert(all.end(), {&pre[l], &post[l], &mix[l]});
        return all;
    }
};

/// The block between pre and post, a function of each number of its layer input, and its derivative.
double block(double h) { return h + 0.5 * std::sin(h); }
double block_slope(double h) { return 1 + 0.5 * std::cos(h); }

/// sum of weights * last streams, in float64, with part `moved` of the chain changed by step * direction.
double loss(chain& of, std::size_t moved, double step, const std::vector<float>& direction,
            const std::vector<float>& weights)
{
    std::vector<std::vector<double>> parts;
    for (const std::vector<float>* part : of.parts()) parts.emplace_back(part->begin(), part->end());
    for (std::size_t i = 0; i < direction.size(); ++i) parts[moved][i] += step * static_cast<double>(direction[i]);
    double sum = 0;
    for (std::size_t t = 0; t < T; ++t)
        for (std::size_t c = 0; c < C; ++c) {
            std::array<double, n> x{};
            for (std::size_t i = 0; i < n; ++i) x[i] = parts[0][(t * n + i) * C + c];
            for (std::size_t l = 0; l < layers; ++l) {
                const auto &pre = parts[1 + 3 * l], &post = parts[2 + 3 * l], &mix = parts[3 + 3 * l];
                double h = 0;
                for (std::size_t i = 0; i < n; ++i) h += pre[t * n + i] * x[i];
                std::array<double, n> next{};
                for (std::size_t i = 0; i < n; ++i) {
                    next[i] = post[t * n + i] * block(h);
                    for (std::size_t j = 0; j < n; ++j) next[i] += mix[(t * n + i) * n + j] * x[j];
                }
                x = next;
            }
            for (std::size_t i = 0; i < n; ++i) sum += static_cast<double>(weights[(t * n + i) * C + c]) * x[i];
        }
    return sum;
}

jit::compiled_layer make_layer()
{
    jit::layer_spec spec;
    spec.n_streams = n;
    spec.hidden_dim = C;
    spec.dtype = jit::dtype::fp32;
    spec.options = reference::options_of(jit::preset::paper);
    spec.wanted = {operation::multilayer_recompute, operation::apply_mix_fwd, operation::post_fwd, operation::post_bwd,
                   operation::apply_mix_bwd};
    return session::instance().layer(spec);
}

/// A training step whose forward keeps coefficients and the blocks' outputs alone.
class training_step {
public:
    explicit training_step(const chain& of) : x_(of.x)
    {
        for (std::size_t l = 0; l < layers; ++l) {
            pre_.emplace_back(of.pre[l]);
            post_.emplace_back(of.post[l]);
            mix_.emplace_back(of.mix[l]);
        }
    }

    void forward()
    {
        make_room();
        for (std::size_t l = 0; l < layers; ++l) {
            layer_
                .apply_mix_fwd(
                    {.x = streams_of(l), .pre = pre_[l].get(), .layer_input = h_[l].get(), .tokens = T, .x_strides = {}},
                    stream_)
                .value();
            std::vector<float> values = h_[l].read();
            for (float& v : values) v = static_cast<float>(block(static_cast<double>(v)));
            y_.emplace_back(values);
            layer_
                .post_fwd({.y = y_[l].get(),
                           .x = streams_of(l),
                           .post = post_[l].get(),
                           .mix = mix_[l].get(),
                           .out = out_[l].get(),
                           .tokens = T,
                           .x_strides = {},
                           .out_strides = {}},
                          stream_)
                .value();
        }
        h_.clear();
        out_.clear();
    }

    /// Layer inputs and streams again, in one call.
    void recompute()
    {
        make_room();
        std::vector<jit::recompute_layer> kept;
        for (std::size_t l = 0; l < layers; ++l)
            kept.push_back({.pre = pre_[l].get(),
                            .layer_input = h_[l].get(),
                            .y = y_[l].get(),
                            .post = post_[l].get(),
                            .mix = mix_[l].get(),
                            .out = out_[l].get()});
        layer_
            .multilayer_recompute(
                {.x = x_.get(), .layers = kept.data(), .layer_count = L, .tokens = T, .x_strides = {}, .out_strides = {}},
                stream_)
            .value();
    }

    /// Gradients of one layer from that of its streams after it, which becomes that of those before it: d_pre, d_post,
    /// d_mix.
    std::vector<std::vector<float>> backward(std::size_t l, array& d_streams)
    {
        array d_x(T * n * C);
        const array d_y(T * C), d_pre(T * n), d_post(T * n), d_mix(T * n * n);
        layer_
            .post_bwd({.y = y_[l].get(),
                       .x = streams_of(l),
                       .post = post_[l].get(),
                       .mix = mix_[l].get(),
                       .d_out = d_streams.get(),
                       .d_y = d_y.get(),
                       .d_x = d_x.get(),
                       .d_post = d_post.get(),
                       .d_mix = d_mix.get(),
                       .workspace = scratch_.get(),
                       .tokens = T,
                       .x_strides = {},
                       .d_out_strides = {},
                       .d_x_strides = {},
                       .accumulate = {}},
                      stream_)
            .value();
        std::vector<float> d_block = d_y.read();
        const std::vector<float> inputs = h_[l].read();
        for (std::size_t i = 0; i < d_block.size(); ++i)
            d_block[i] *= static_cast<float>(block_slope(static_cast<double>(inputs[i])));
        const array d_layer_input(d_block);
        layer_
            .apply_mix_bwd({.x = streams_of(l),
                            .pre = pre_[l].get(),
                            .d_layer_input = d_layer_input.get(),
                            .d_x = d_x.get(),
                            .d_pre = d_pre.get(),
                            .workspace = scratch_.get(),
                            .tokens = T,
                            .x_strides = {},
                            .d_x_strides = {},
                            .accumulate = {.d_x = true}},
                           stream_)
            .value();
        d_streams = std::move(d_x);
        return {d_pre.read(), d_post.read(), d_mix.read()};
    }

private:
    void make_room()
    {
        for (std::size_t l = 0; l < layers; ++l) {
            h_.emplace_back(T * C);
            out_.emplace_back(T * n * C);
        }
    }
    float* streams_of(std::size_t l) const { return l == 0 ? x_.get() : out_[l - 1].get(); }

    jit::compiled_layer layer_ = make_layer();
    void* stream_ = session::instance().device->stream();
    array x_,
        scratch_{(layer_.workspace_bytes(operation::post_bwd, T) + layer_.workspace_bytes(operation::apply_mix_bwd, T)) / 4};
    std::vector<array> pre_, post_, mix_, y_, h_, out_;
};

/// In the order of chain::parts.
std::vector<std::vector<float>> gradients(const chain& of, const std::vector<float>& weights)
{
    training_step step(of);
    step.forward();
    step.recompute();
    std::vector<std::vector<float>> found(1 + 3 * layers);
    array d_streams(weights);
    for (std::size_t l = layers; l-- > 0;) {
        std::vector<std::vector<float>> of_layer = step.backward(l, d_streams);
        std::move(of_layer.begin(), of_layer.end(), found.begin() + 1 + 3 * static_cast<std::ptrdiff_t>(l));
    }
    found[0] = d_streams.read();
    return found;
}

}  // namespace

TEST_CASE("recompute: post_bwd and apply_mix_bwd of recomputed layers are the gradient of three layers' chain")
{
    chain of;
    const std::vector<float> weights = normals(2, T * n * C, 0, 1);
    const std::vector<std::vector<float>> found = gradients(of, weights);
    for (std::size_t part = 0; part < found.size(); ++part) {
        CAPTURE(part);
        REQUIRE(found[part].size() == of.parts()[part]->size());
        for (std::uint64_t direction_seed = 0; direction_seed < 4; ++direction_seed) {
            const std::vector<float> direction =
                normals(100 + 10 * part + direction_seed, static_cast<std::int64_t>(found[part].size()), 0, 1);
            constexpr double h = 1e-5;
            const double slope = (loss(of, part, h, direction, weights) - loss(of, part, -h, direction, weights)) / (2 * h);
            double along = 0, size = 0, length = 0;
            for (std::size_t i = 0; i < direction.size(); ++i) {
                const auto g = static_cast<double>(found[part][i]), d = static_cast<double>(direction[i]);
                along += g * d;
                size += g * g;
                length += d * d;
            }
            CHECK(std::abs(along - slope) <= 1e-6 * std::sqrt(size * length));
        }
    }
}
