// runtime/floor.cpp -- the floor kernel on the engine's main path: plan, key, caches, compile service, launch.
#include <fmt/format.h>

#include <array>
#include <cstring>

#include <mhc/jit/floor.hpp>

#include "runtime/engine_impl.hpp"

namespace mhc::jit {

using codegen::slot;

struct floor_kernel::impl {
    codegen::kernel_plan plan;
    std::shared_ptr<const runtime::kernel> kernel;
    std::int64_t rows_in = 0, rows_out = 0, hidden_dim = 0;
    dtype type = dtype::bf16;
    std::int32_t align = 1;  ///< bytes
};

result<floor_kernel> floor_kernel::make(engine& on, std::int64_t rows_in, std::int64_t rows_out, std::int64_t hidden_dim,
                                        dtype type)
{
    auto planned = codegen::plan_floor(rows_in, rows_out, hidden_dim, type, on.internals().on);
    if (!planned) return planned.error();
    auto kernels = on.internals().kernels_of({&*planned});
    if (!kernels.front()) return kernels.front().error();

    layer_spec spec;
    spec.hidden_dim = hidden_dim;
    spec.dtype = type;
    auto made = std::make_shared<impl>();
    made->plan = std::move(*planned);
    made->kernel = *kernels.front();
    made->rows_in = rows_in;
    made->rows_out = rows_out;
    made->hidden_dim = hidden_dim;
    made->type = type;
    made->align = row_alignment_bytes(spec);
    return floor_kernel(std::move(made));
}

result<void> floor_kernel::launch(const void* in, void* out, std::int64_t tokens, void* stream) const
{
    const auto refuse = [](const char* argument, const std::string& value, const std::string& allowed) {
        return failure{errc::launch_failed, fmt::format("floor: {} = {}: allowed is {}", argument, value, allowed)};
    };
    if (tokens < 0 || tokens > (std::int64_t{1} << 40)) return refuse("tokens", fmt::to_string(tokens), "0 to 2^40");
    if (tokens == 0) return {};

    codegen::slot_values values;
    const auto set = [&](slot what, std::uint64_t value) { values[static_cast<std::size_t>(what)] = value; };
    for (const auto& [name, pointer, what] :
         {std::tuple{"in", in, slot::x}, {"out", static_cast<const void*>(out), slot::out}}) {
        const auto address = reinterpret_cast<std::uintptr_t>(pointer);
        if (pointer == nullptr) return refuse(name, "null", "a pointer");
        if (address % static_cast<std::uintptr_t>(impl_->align) != 0)
            return refuse(name, fmt::format("{}", pointer), fmt::format("a multiple of {} bytes", impl_->align));
        set(what, address);
    }
    const std::int64_t groups = impl_->plan.grid.groups(tokens);
    set(slot::tokens, static_cast<std::uint64_t>(tokens));
    set(slot::groups, static_cast<std::uint64_t>(groups));

    alignas(16) std::array<unsigned char, 64> block;
    for (const codegen::argument& arg : impl_->plan.args)  // little-endian, as in layer.cpp
        std::memcpy(block.data() + arg.offset, &values[static_cast<std::size_t>(arg.what)], arg.size);
    return impl_->kernel->code->launch(groups, impl_->plan.block, block.data(), impl_->plan.argument_bytes, stream);
}

std::int64_t floor_kernel::traffic_bytes(std::int64_t tokens) const noexcept
{
    return tokens * (impl_->rows_in + impl_->rows_out) * impl_->hidden_dim * size_of(impl_->type);
}

std::int32_t floor_kernel::alignment_bytes() const noexcept { return impl_->align; }
std::int64_t floor_kernel::rows_in() const noexcept { return impl_->rows_in; }
std::int64_t floor_kernel::rows_out() const noexcept { return impl_->rows_out; }
std::int64_t floor_kernel::hidden_dim() const noexcept { return impl_->hidden_dim; }
dtype floor_kernel::type() const noexcept { return impl_->type; }
const std::string& floor_kernel::symbol() const noexcept { return impl_->kernel->info.symbol; }
origin floor_kernel::from() const noexcept { return impl_->kernel->info.from; }

}  // namespace mhc::jit
