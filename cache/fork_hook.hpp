// cache/fork_hook.hpp -- lets an object put its affairs in order before the process forks.
//
// A connection of SQLite must not only not be used in a child: while a child has a file open whose lock bookkeeping it
// inherited, the locks it thinks it holds do not exist, and a parent that closes may remove a write-ahead log in use. So the
// connection is closed before the fork, and each side opens its own when it next needs one.
#pragma once

#include <functional>

namespace mhc::cache {

class fork_hook {
public:
    /// `before` runs in the forking thread before fork(), `after` in it and in the child after. Neither may throw, and
    /// neither may make or destroy a fork_hook.
    fork_hook(std::function<void()> before, std::function<void(bool is_child)> after);
    ~fork_hook();
    fork_hook(const fork_hook&) = delete;
    fork_hook& operator=(const fork_hook&) = delete;

private:
    friend struct fork_hooks;
    std::function<void()> before_;
    std::function<void(bool)> after_;
};

}  // namespace mhc::cache
