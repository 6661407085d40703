// tools/common/invoke_recompute.cpp -- multilayer_recompute, whose layers are rows of the tensors given by name.
#include "tools/common/invoke_gradients.hpp"

namespace mhc::tools {

jit::result<void> invoke_recompute(const call& c)
{
    const std::int64_t n = c.what.n_streams, row = c.what.hidden_dim, tokens = c.what.tokens;
    const std::int64_t data = jit::size_of(c.layer.spec().dtype), weight = jit::size_of(c.layer.spec().weight_dtype);
    std::vector<jit::recompute_layer> layers(static_cast<std::size_t>(c.what.layers));
    for (std::size_t l = 0; l < layers.size(); ++l) {
        const auto set = [&](auto*& field, std::string_view name, std::int64_t bytes_per_layer) {
            std::byte* first = nullptr;
            c.set(first, name);
            if (first != nullptr) first += static_cast<std::int64_t>(l) * bytes_per_layer;
            field = reinterpret_cast<std::remove_reference_t<decltype(field)>>(first);
        };
        jit::recompute_layer& one = layers[l];
        set(one.pre, "pre", tokens * n * 4);
        set(one.layer_input, "layer_input", tokens * row * data);
        set(one.y, "y", tokens * row * data);
        set(one.post, "post", tokens * n * 4);
        set(one.mix, "mix", tokens * n * n * 4);
        set(one.bias, "bias", row * weight);
        set(one.out, "out", tokens * n * row * data);
    }
    jit::multilayer_recompute_args args;
    c.set(args.x, "x");
    args.layers = layers.data();
    args.layer_count = c.what.layers;
    args.tokens = tokens;
    args.x_strides = c.given;
    c.set(args.num_valid_tokens, "num_valid_tokens");
    return c.layer.multilayer_recompute(args, c.stream);
}

}  // namespace mhc::tools
