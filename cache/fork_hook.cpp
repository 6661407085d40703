// cache/fork_hook.cpp -- one pthread_atfork for all hooks.
#include "cache/fork_hook.hpp"

#include <pthread.h>

#include <algorithm>
#include <mutex>
#include <utility>
#include <vector>

namespace mhc::cache {

struct fork_hooks {
    std::mutex mutex;
    std::vector<fork_hook*> all;

    // Never destroyed: a process may fork while its static objects are being torn down.
    static fork_hooks& instance()
    {
        static fork_hooks* const hooks = [] {
            auto* made = new fork_hooks;
            pthread_atfork([] { instance().before(); }, [] { instance().after(false); }, [] { instance().after(true); });
            return made;
        }();
        return *hooks;
    }

    void before()
    {
        mutex.lock();
        for (fork_hook* hook : all) hook->before_();
    }

    void after(bool is_child)
    {
        for (fork_hook* hook : all) hook->after_(is_child);
        mutex.unlock();
    }
};

fork_hook::fork_hook(std::function<void()> before, std::function<void(bool)> after)
    : before_(std::move(before)), after_(std::move(after))
{
    fork_hooks& hooks = fork_hooks::instance();
    const std::lock_guard lock(hooks.mutex);
    hooks.all.push_back(this);
}

fork_hook::~fork_hook()
{
    fork_hooks& hooks = fork_hooks::instance();
    const std::lock_guard lock(hooks.mutex);
    hooks.all.erase(std::find(hooks.all.begin(), hooks.all.end(), this));
}

}  // namespace mhc::cache
