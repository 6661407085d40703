// tests/host/make_operands.cpp -- which tensors each operator has, their shapes and their random numbers.
#include "tests/host/operands.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <stdexcept>

#include "tests/reference/dtypes.hpp"
#include "tests/reference/parallel.hpp"
#include "tests/support/random.hpp"

namespace mhc::testing {
namespace {

using jit::dtype;
using jit::operation;

placement placement_of(std::int64_t tokens, std::int64_t streams, std::int64_t width, const jit::strides& strides)
{
    return {tokens, streams, width, strides.token, strides.stream};
}

placement dense_rows(std::int64_t rows, std::int64_t width) { return {rows, 1, width, width, width}; }

/// Makes operands one after another, each from a seed of its own name.
class maker {
public:
    explicit maker(const test_case& of) : case_(of), n_(of.spec.n_streams), c_(of.spec.hidden_dim), tokens_(of.tokens)
    {
        made_.op = of.op;
        made_.tokens = of.tokens;
        made_.x_strides = strides_of(of.x_strides, of.spec, of.tokens);
        made_.out_strides = strides_of(of.out_strides, of.spec, of.tokens);
        made_.rows = of.rows;
        made_.splits = of.splits;
        made_.layers = of.layers;
    }

    void output(const char* name, dtype type, const placement& place)
    {
        made_.list.push_back(
            {.name = name, .type = type, .is_output = true, .is_per_token = true, .place = place, .values = {}});
    }

    void input(const char* name, dtype type, bool is_per_token, const placement& place, float mean, float deviation)
    {
        std::vector<float> dense = normals(seed_of(name) ^ case_.seed, place.size(), mean, deviation);
        input(name, type, is_per_token, place, std::move(dense));
    }

    void input(const char* name, dtype type, bool is_per_token, const placement& place, std::vector<float> dense)
    {
        reference::parallel_for(place.size(), 4, [&](std::int64_t begin, std::int64_t end) {
            std::transform(dense.begin() + begin, dense.begin() + end, dense.begin() + begin,
                           [type](float v) { return reference::rounded(type, v); });
        });
        made_.list.push_back(
            {.name = name, .type = type, .is_per_token = is_per_token, .place = place, .values = placed(dense, place)});
    }

    /// A data tensor whose tokens have scales from 1/4 to 4.
    void data_input(const char* name, const placement& place)
    {
        std::vector<float> dense = normals(seed_of(name) ^ case_.seed, place.size(), 0.05F, 1);
        const std::int64_t token_size = place.streams * place.width;
        for (std::int64_t t = 0; t < place.tokens; ++t) {
            const float scale =
                std::ldexp(1.0F, static_cast<int>(random_bits(case_.seed, static_cast<std::uint64_t>(t)) % 5) - 2);
            for (std::int64_t i = t * token_size; i < (t + 1) * token_size; ++i) dense[static_cast<std::size_t>(i)] *= scale;
        }
        input(name, spec().dtype, true, place, std::move(dense));
    }

    /// Coefficients of each token, or one row of them.
    void coefficients(const char* name, bool is_static, std::int64_t width, float mean, float deviation)
    {
        input(name, dtype::fp32, !is_static, dense_rows(is_static ? 1 : tokens_, width), mean, deviation);
    }
    void constants(const char* name, std::int64_t count, float mean, float deviation)
    {
        input(name, dtype::fp32, false, dense_rows(1, count), mean, deviation);
    }
    void weights(const char* name, std::int64_t rows, std::int64_t width, float mean, float deviation)
    {
        input(name, spec().weight_dtype, false, dense_rows(rows, width), mean, deviation);
    }

    void streams_input()
    {
        data_input("x", placement_of(tokens_, n_, c_, made_.x_strides));
        made_.list.back().is_streams = true;
    }
    void rows_output(const char* name) { output(name, spec().dtype, dense_rows(tokens_, c_)); }
    /// In fp8 with its scales, where the spec says so and the operator does.
    void layer_input_output()
    {
        rows_output("layer_input");
        const bool by_row = spec().layer_input_quant == jit::layer_input_quant::fp8_row;
        if (spec().layer_input_quant == jit::layer_input_quant::none) return;
        made_.list.back().is_fp8 = true;
        coefficients_output("layer_input_scale", by_row ? 1 : (c_ + 127) / 128);
    }
    void streams_output(const std::string& name, jit::strides strides)
    {
        output(name.c_str(), spec().dtype, placement_of(tokens_, n_, c_, strides));
        made_.list.back().is_streams = true;
    }
    void coefficients_output(const char* name, std::int64_t width) { output(name, dtype::fp32, dense_rows(tokens_, width)); }

    /// [S, T, width]: splits take the place of streams.
    placement splits_of(std::int64_t width) const { return {tokens_, made_.splits, width, width, tokens_ * width}; }

    /// A gradient's operands are the operator's inputs, then gradients of its outputs, then those of its inputs to be made.
    operands make()
    {
        make_forward();
        if (is_gradient(case_.op)) make_gradients();
        if (case_.is_padded) pad();
        return std::move(made_);
    }

private:
    void make_forward()
    {
        const float projection_spread = 1 / std::sqrt(static_cast<float>(n_ * c_));  // so that logits are of size 1
        const std::int64_t m = n_ * n_ + 2 * n_;
        switch (forward_of(case_.op)) {
            case operation::sinkhorn_fwd:
                logits();
                break;
            case operation::rmsnorm_fwd:
                data_input("x", dense_rows(tokens_, c_));
                if (case_.has_weight) weights("weight", 1, c_, 1, 0.3F);
                rows_output("y");
                coefficients_output("rms", 1);
                break;
            case operation::rmsnorm_matmul_fwd:
                if (made_.rows == 0) made_.rows = 5;
                data_input("x", dense_rows(tokens_, c_));
                if (case_.has_weight) weights("norm_weight", 1, c_, 1, 0.3F);
                weights("weight", made_.rows, c_, 0, 1 / std::sqrt(static_cast<float>(c_)));
                output("y", spec().dtype, dense_rows(tokens_, made_.rows));
                coefficients_output("rms", 1);
                break;
            case operation::apply_mix_fwd:
                made_.pre_is_static = case_.coefficients != coefficient_kind::per_token;
                streams_input();
                coefficients("pre", made_.pre_is_static, n_, 0.5F, 0.3F);
                rows_output("layer_input");
                break;
            case operation::expand_fwd:
                made_.x_strides = made_.out_strides;  // x is the output here
                data_input("h", dense_rows(tokens_, c_));
                streams_output("x", made_.x_strides);
                break;
            case operation::post_fwd:
                post();
                streams_output("out", made_.out_strides);
                break;
            case operation::pre_fwd:
                streams_input();
                projection_inputs(m, 3);
                layer_input_output();
                coefficients_outputs("pre", "post", "mix");
                break;
            case operation::broadcast_pre_fwd:
                made_.x_strides = {c_, 0};
                data_input("x", dense_rows(tokens_, c_));
                projection_inputs(m, 3);
                layer_input_output();
                coefficients_outputs("pre", "post", "mix");
                break;
            case operation::delayed_pre_fwd:
                made_.pre_is_static = case_.coefficients != coefficient_kind::per_token;
                streams_input();
                coefficients("previous_pre", made_.pre_is_static, n_, 0.5F, 0.3F);
                projection_inputs(m, 3);
                layer_input_output();
                coefficients_outputs("pre", "post", "mix");
                break;
            case operation::static_layer_fwd:
                streams_input();
                constants("h_pre", n_, 0, 1);
                constants("h_post", n_, 0, 1);
                constants("h_res", n_ * n_, 0, 1);
                weights("weight", 1, c_, 1, 0.3F);
                streams_output("out", made_.out_strides);
                break;
            case operation::dynamic_layer_fwd:
                streams_input();
                weights("phi_pre", n_, n_ * c_, 0, projection_spread);
                weights("phi_post", n_, n_ * c_, 0, projection_spread);
                weights("phi_res", n_ * n_, n_ * c_, 0, projection_spread);
                constants("alpha_pre", 1, 1, 0.2F);
                constants("alpha_post", 1, 0.8F, 0.2F);
                constants("alpha_res", 1, 1.2F, 0.2F);
                constants("b_pre", n_, 0, 0.7F);
                constants("b_post", n_, 0, 0.7F);
                constants("b_res", n_ * n_, 0, 0.7F);
                weights("weight", 1, c_, 1, 0.3F);
                streams_output("out", made_.out_strides);
                break;
            case operation::post_pre_fwd:
                post();
                streams_output("out", made_.out_strides);
                projection_inputs(m, 3);
                layer_input_output();
                coefficients_outputs("next_pre", "next_post", "next_mix");
                break;
            case operation::head_fwd:
                streams_input();
                projection_inputs(n_, 1);
                layer_input_output();
                break;
            case operation::multilayer_recompute:
                recompute();
                break;
            case operation::post_head_fwd:
                post();
                projection_inputs(n_, 1);
                rows_output("layer_input");
                break;
            case operation::pre_project_fwd: {
                const std::int64_t rows = made_.rows == 0 ? m : made_.rows;
                streams_input();
                fn(rows, projection_spread);
                output("proj", dtype::fp32, splits_of(rows));
                output("sqsum", dtype::fp32, splits_of(1));
                break;
            }
            case operation::split_mixes_fwd:
                splits_inputs();
                coefficients_outputs("pre", "post", "logits");
                break;
            case operation::coeffs_fwd:
                splits_inputs();
                coefficients_outputs("pre", "post", "mix");
                break;
            case operation::pre_big_fuse:
                splits_inputs();
                streams_input();
                if (spec().norm_weight) weights("norm_weight", 1, c_, 1, 0.3F);
                layer_input_output();
                coefficients_outputs("pre", "post", "mix");
                break;
            default:
                throw std::logic_error("no operands are known for " + std::string(name_of(case_.op)));
        }
    }

    void make_gradients()
    {
        const std::vector<operand> forward = std::move(made_.list);
        made_.list.clear();
        for (const operand& of : forward)
            if (!of.is_output && forward_of(case_.op) != operation::expand_fwd) made_.list.push_back(of);
        for (const operand& of : forward)
            if (of.is_output) given_gradient(of);
        for (const operand& of : forward) {
            if (of.is_output) continue;
            operand gradient = of;
            gradient.name = "d_" + of.name;
            gradient.is_output = true;
            gradient.values.clear();
            if (of.is_streams) gradient.place = placement_of(tokens_, n_, c_, made_.out_strides);
            made_.list.push_back(std::move(gradient));
        }
    }

    void given_gradient(const operand& of)
    {
        const std::string name = "d_" + of.name;
        std::vector<float> dense = normals(seed_of(name) ^ case_.seed, of.place.size(), 0.1F, 1);
        input(name.c_str(), of.type, true, of.place, std::move(dense));
        made_.list.back().is_streams = of.is_streams;
        if (case_.op != operation::pre_project_bwd) return;
        // The reference knows the sum over the splits alone, whose gradient each of them has.
        operand& repeated = made_.list.back();
        for (std::int64_t t = 0; t < of.place.tokens; ++t)
            for (std::int64_t s = 1; s < of.place.streams; ++s)
                std::copy_n(repeated.values.begin() + of.place.row(t, 0), of.place.width,
                            repeated.values.begin() + of.place.row(t, s));
    }

    const jit::layer_spec& spec() const { return case_.spec; }

    /// Tokens behind the valid ones hold NaN, which no result may show. Rows that all tokens share have none behind them.
    void pad()
    {
        const auto valid = static_cast<std::int32_t>(tokens_ / 2);
        for (operand& of : made_.list) {
            if (!of.is_per_token || of.is_output || (of.place.token_stride == 0 && tokens_ > 1)) continue;
            for (std::int64_t t = valid; t < tokens_; ++t)
                for (std::int64_t i = 0; i < of.place.streams; ++i)
                    std::fill_n(of.values.begin() + of.place.row(t, i), of.place.width,
                                std::numeric_limits<float>::quiet_NaN());
        }
        made_.valid_tokens = valid;
        made_.list.push_back({.name = "num_valid_tokens",  // as the bits of a float, which is how operands are kept
                              .place = dense_rows(1, 1),
                              .values = {std::bit_cast<float>(valid)}});
    }

    void coefficients_outputs(const char* pre, const char* post, const char* mix)
    {
        coefficients_output(pre, n_);
        coefficients_output(post, n_);
        coefficients_output(mix, n_ * n_);
    }

    /// fn of `rows` rows, in the spec's order, and the weight of the norm before it.
    void fn(std::int64_t rows, float spread)
    {
        const bool is_phi = spec().fn_order == jit::fn_order::phi;
        weights("fn", is_phi ? n_ * c_ : rows, is_phi ? rows : n_ * c_, 0, spread);
        if (spec().fn_norm_weight) weights("fn_norm_weight", 1, n_ * c_, 1, 0.3F);
    }

    /// fn of `rows` rows, and what z is made with.
    void projection_inputs(std::int64_t rows, std::int64_t scales)
    {
        fn(rows, 1 / std::sqrt(static_cast<float>(n_ * c_)));
        constants("scale", scales, 1, 0.2F);
        constants("base", rows, 0, 0.7F);
        if (spec().norm_weight) weights("norm_weight", 1, c_, 1, 0.3F);
    }

    /// What pre_project_fwd could have made of tokens with scales from 1/4 to 4; no two splits are alike.
    void splits_inputs()
    {
        const std::int64_t m = n_ * n_ + 2 * n_, splits = made_.splits;
        std::vector<float> products = normals(seed_of("proj") ^ case_.seed, tokens_ * splits * m, 0, 1);
        std::vector<float> squares = normals(seed_of("sqsum") ^ case_.seed, tokens_ * splits, 1, 0.2F);
        const auto splits_root = std::sqrt(static_cast<float>(splits));
        for (std::size_t i = 0; i < squares.size(); ++i) {
            const auto token = static_cast<std::uint64_t>(i) / static_cast<std::uint64_t>(splits);
            const float scale = std::ldexp(1.0F, static_cast<int>(random_bits(case_.seed, token) % 5) - 2);
            squares[i] = std::abs(squares[i]) * scale * scale * static_cast<float>(n_ * c_) / static_cast<float>(splits);
            for (std::size_t r = 0; r < static_cast<std::size_t>(m); ++r)
                products[i * static_cast<std::size_t>(m) + r] *= scale / splits_root;
        }
        input("proj", dtype::fp32, true, splits_of(m), std::move(products));
        input("sqsum", dtype::fp32, true, splits_of(1), std::move(squares));
        constants("scale", 3, 1, 0.2F);
        constants("base", m, 0, 0.7F);
    }

    void logits()
    {
        const placement place = dense_rows(tokens_, n_ * n_);
        std::vector<float> dense = normals(seed_of("logits") ^ case_.seed, place.size(), 0, case_.logit_spread);
        // `identity` takes a matrix, not its logarithms; Sinkhorn is defined for positive ones.
        if (spec().options.start == jit::sinkhorn_start::identity) {
            for (float& v : dense) v = std::abs(v);
        }
        input("logits", dtype::fp32, true, place, std::move(dense));
        coefficients_output("mix", n_ * n_);
    }

    void choose_statics()
    {
        made_.post_is_static =
            case_.coefficients == coefficient_kind::all_static || case_.coefficients == coefficient_kind::post_static;
        made_.mix_is_static =
            case_.coefficients == coefficient_kind::all_static || case_.coefficients == coefficient_kind::mix_static;
    }

    void recompute()
    {
        choose_statics();
        made_.pre_is_static = made_.post_is_static;
        streams_input();
        for (std::int64_t l = 0; l < case_.layers; ++l) {
            const auto name = [l](const char* of) { return of_layer(of, l); };
            coefficients(name("pre").c_str(), made_.pre_is_static, n_, 0.5F, 0.3F);
            rows_output(name("layer_input").c_str());
            data_input(name("y").c_str(), dense_rows(tokens_, c_));
            coefficients(name("post").c_str(), made_.post_is_static, n_, 1, 0.5F);
            coefficients(name("mix").c_str(), made_.mix_is_static, n_ * n_, 0, 1 / std::sqrt(static_cast<float>(n_)));
            if (case_.has_bias) weights(name("bias").c_str(), 1, c_, 0.2F, 1);
            streams_output(name("out"), made_.out_strides);
        }
    }

    void post()
    {
        choose_statics();
        data_input("y", dense_rows(tokens_, c_));
        streams_input();
        coefficients("post", made_.post_is_static, n_, 1, 0.5F);
        coefficients("mix", made_.mix_is_static, n_ * n_, 0, 1 / std::sqrt(static_cast<float>(n_)));
        if (case_.has_bias) weights("bias", 1, c_, 0.2F, 1);
    }

    const test_case& case_;
    std::int64_t n_, c_, tokens_;
    operands made_;
};

}  // namespace

operands make_operands(const test_case& of) { return maker(of).make(); }

}  // namespace mhc::testing
