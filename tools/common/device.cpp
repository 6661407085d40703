// tools/common/device.cpp -- memory of the target that a tool's operands live in.
#include "tools/common/device.hpp"

#include <fmt/format.h>

#include "tools/common/tool.hpp"

namespace mhc::tools {
namespace {

template <class Result>
auto or_fail(Result&& done, std::string_view advice = {})
{
    if (!done) fail(done.error().message + std::string(advice));
    return std::forward<Result>(done).value();
}

}  // namespace

device_memory::device_memory(std::string_view target, int ordinal) : on_(or_fail(jit::device::open(target, ordinal))) {}

device_memory::~device_memory()
{
    for (void* const block : blocks_) on_->release(block);
}

void* device_memory::allocate(std::size_t bytes, std::size_t alignment)
{
    void* const block = or_fail(on_->allocate(bytes + alignment), "; use fewer tokens or smaller strides");
    blocks_.push_back(block);
    return static_cast<std::byte*>(block) + alignment;  // blocks begin at multiples of 256
}

void device_memory::upload(void* to, const void* from, std::size_t bytes) { or_fail(on_->upload(to, from, bytes)); }
void device_memory::download(void* to, const void* from, std::size_t bytes) { or_fail(on_->download(to, from, bytes)); }
void device_memory::synchronize() { or_fail(on_->synchronize(nullptr)); }

}  // namespace mhc::tools
