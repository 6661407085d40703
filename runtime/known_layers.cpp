// runtime/known_layers.cpp -- a copy-on-write table.
#include "runtime/known_layers.hpp"

#include <bit>

namespace mhc::runtime {
namespace {

std::uint64_t two(float low, float high)
{
    // -0 and 0 are one value of every option.
    return std::bit_cast<std::uint32_t>(low + 0.0F) | std::uint64_t{std::bit_cast<std::uint32_t>(high + 0.0F)} << 32;
}

std::size_t slot_of(const packed_spec& spec, std::size_t slots)
{
    std::uint64_t mixed = 0;
    for (const std::uint64_t word : spec) mixed = (std::rotl(mixed, 23) ^ word) * 0x9e3779b97f4a7c15ULL;
    return static_cast<std::size_t>(mixed >> 32) & (slots - 1);
}

}  // namespace

packed_spec pack(const jit::layer_spec& s) noexcept
{
    const jit::layer_options& o = s.options;
    const auto byte = [](auto value, int at) { return static_cast<std::uint64_t>(value) << (8 * at); };
    return {
        static_cast<std::uint64_t>(s.hidden_dim),
        static_cast<std::uint32_t>(s.n_streams) | std::uint64_t{static_cast<std::uint32_t>(s.alignment_bytes)} << 32,
        s.wanted.bits(),
        byte(s.dtype, 0) | byte(s.weight_dtype, 1) | byte(o.layout, 2) | byte(o.start, 3) | byte(o.order, 4) |
            byte(o.eps_mode, 5) | byte(o.arithmetic, 6) |
            byte((o.reference_rounding ? 1 : 0) | (s.norm_weight ? 2 : 0) | (o.norm_eps ? 4 : 0) |
                     (s.fn_norm_weight ? 8 : 0) | static_cast<int>(s.fn_order) * 16 | static_cast<int>(o.gradient) * 32,
                 7),
        two(o.sinkhorn_eps, o.rms_eps),
        two(o.norm_eps.value_or(0.0F), o.pre_eps),
        two(o.post_mult, 0.0F),
        static_cast<std::uint32_t>(o.sinkhorn_iters) | std::uint64_t{static_cast<std::uint8_t>(s.layer_input_quant)} << 32};
}

known_layers::known_layers()
{
    tables_.push_back(std::make_unique<table>(16));
    current_.store(tables_.back().get(), std::memory_order_release);
}

const jit::compiled_layer* known_layers::find(const packed_spec& spec) const noexcept
{
    const table* in = current_.load(std::memory_order_acquire);
    const std::size_t slots = in->entries.size();
    for (std::size_t at = slot_of(spec, slots);; at = (at + 1) & (slots - 1)) {
        const entry& e = in->entries[at];
        if (e.layer == nullptr) return nullptr;
        if (e.spec == spec) return e.layer;
    }
}

void known_layers::place(table& in, const entry& e)
{
    const std::size_t slots = in.entries.size();
    std::size_t at = slot_of(e.spec, slots);
    while (in.entries[at].layer != nullptr) at = (at + 1) & (slots - 1);
    in.entries[at] = e;
}

void known_layers::insert(const packed_spec& spec, const jit::compiled_layer& layer)
{
    const std::lock_guard lock(writer_);
    if (find(spec) != nullptr) return;
    layers_.push_back(std::make_unique<const jit::compiled_layer>(layer));
    // Readers never see a table change, so every insertion publishes a copy; layers are made far less often than asked for.
    const table& old = *tables_.back();
    auto bigger =
        std::make_unique<table>((count_ + 1) * 2 > old.entries.size() ? old.entries.size() * 2 : old.entries.size());
    for (const entry& e : old.entries)
        if (e.layer != nullptr) place(*bigger, e);
    place(*bigger, {spec, layers_.back().get()});
    ++count_;
    current_.store(bigger.get(), std::memory_order_release);
    tables_.push_back(std::move(bigger));
}

}  // namespace mhc::runtime
