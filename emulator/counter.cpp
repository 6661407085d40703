// emulator/counter.cpp -- sums over launches.
#include "emulator/counter.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace mhc::emulator {

u64 resident_groups(const processor_facts& on, u32 waves, u32 lds_bytes)
{
    u64 of_unit = std::max(on.waves_of_unit / std::max(waves, 1U), 1U);
    if (lds_bytes != 0) of_unit = std::min<u64>(of_unit, std::max(on.lds_of_unit / lds_bytes, 1U));
    return of_unit * on.compute_units;
}

jit::modelled_cache counter::cache() const
{
    return {static_cast<std::int64_t>(facts_.cache_bytes), static_cast<std::int64_t>(facts_.line_bytes)};
}

jit::result<void> counter::start(std::int64_t cache_bytes, std::span<const jit::memory_range> shared)
{
    constexpr std::int64_t bytes_max = std::int64_t{1} << 36;
    const std::int64_t bytes = cache_bytes < 0 ? cache().bytes : cache_bytes;
    if (bytes % facts_.line_bytes != 0 || bytes > bytes_max)
        return jit::failure{jit::errc::bad_spec,
                            fmt::format("a last-level cache of {} bytes: allowed is a multiple of {} up to {}", bytes,
                                        facts_.line_bytes, bytes_max)};
    std::vector<address_range> ranges;
    for (const jit::memory_range& each : shared)
        ranges.push_back({reinterpret_cast<std::uintptr_t>(each.begin), each.bytes});
    const std::lock_guard lock(mutex_);
    session_.emplace(session{{}, cache_model(static_cast<u64>(bytes) / facts_.line_bytes), std::move(ranges)});
    return {};
}

jit::execution_counts counter::stop()
{
    const std::lock_guard lock(mutex_);
    if (!session_) return {};
    jit::execution_counts made = session_->counts;
    made.lines_touched = session_->cache.touched();
    made.lines_missed = session_->cache.missed();
    session_.reset();
    return made;
}

std::unique_ptr<launch_record> counter::record() const
{
    const std::lock_guard lock(mutex_);
    return session_ ? std::make_unique<launch_record>(facts_.line_bytes, session_->shared) : nullptr;
}

void counter::add(const launch_record& of)
{
    const std::lock_guard lock(mutex_);
    if (!session_) return;
    session_->counts += of.counts;
    replay(of.groups, of.resident, session_->cache);
}

}  // namespace mhc::emulator
