// emulator/cache_model.cpp -- a list of lines by last use, and the turns of work-groups.
#include "emulator/cache_model.hpp"

#include <algorithm>

namespace mhc::emulator {

void cache_model::unlink(u32 at)
{
    const slot& of = slots_[at];
    (of.newer == none ? newest_ : slots_[of.newer].older) = of.older;
    (of.older == none ? oldest_ : slots_[of.older].newer) = of.newer;
}

void cache_model::link_newest(u32 at)
{
    slots_[at].newer = none;
    slots_[at].older = newest_;
    (newest_ == none ? oldest_ : slots_[newest_].newer) = at;
    newest_ = at;
}

void cache_model::request(u64 line)
{
    u32& at = slot_of_.try_emplace(line, none).first->second;
    if (at != none) {
        if (at == newest_) return;
        unlink(at);
        link_newest(at);
        return;
    }
    ++missed_;
    if (capacity_ == 0) return;
    if (slots_.size() < capacity_) {
        at = static_cast<u32>(slots_.size());
        slots_.emplace_back();
    } else {
        at = oldest_;
        slot_of_[slots_[at].line] = none;
        unlink(at);
    }
    slots_[at].line = line;
    link_newest(at);
}

void replay(const std::vector<std::vector<line_run>>& groups, u64 resident, cache_model& into)
{
    struct cursor {
        std::size_t group, at;
    };
    std::vector<cursor> running;
    std::size_t next = 0;
    const auto start_next = [&](cursor& here) {
        while (next < groups.size() && groups[next].empty()) ++next;
        if (next == groups.size()) return false;
        here = {next++, 0};
        return true;
    };
    cursor first{};
    while (running.size() < std::max<u64>(resident, 1) && start_next(first)) running.push_back(first);
    while (!running.empty()) {
        for (cursor& here : running) {
            const std::vector<line_run>& runs = groups[here.group];
            for (bool is_last = false; !is_last;) {
                const line_run run = runs[here.at++];
                is_last = (run & last_of_instruction) != 0;
                const u64 count = run & (last_of_instruction - 1);
                for (u64 i = 0; i < count; ++i) into.request((run >> 16) + i);
            }
        }
        std::erase_if(running, [&](cursor& here) { return here.at == groups[here.group].size() && !start_next(here); });
    }
}

}  // namespace mhc::emulator
