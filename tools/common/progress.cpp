// tools/common/progress.cpp -- progress of long work on standard error: a line rewritten, or a line now and then.
#include "tools/common/progress.hpp"

#include <sys/ioctl.h>
#include <unistd.h>

#include <fmt/format.h>

namespace mhc::tools {
namespace {

constexpr std::chrono::seconds plain_interval{5};

// A line longer than the terminal would wrap, and could not be rewritten.
std::size_t terminal_columns()
{
    winsize size{};
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col < 20) return 80;
    return size.ws_col;
}

}  // namespace

progress_line::progress_line() : is_terminal_(isatty(STDERR_FILENO) != 0), last_(std::chrono::steady_clock::now()) {}

void progress_line::show(std::string_view target, int done, int total, std::string_view what)
{
    const std::lock_guard lock(mutex_);
    std::string line = fmt::format("[{}/{}] {} {}", done, total, target, what);
    if (is_terminal_) {
        line.resize(std::min(line.size(), terminal_columns() - 1));
        fmt::print(stderr, "\r{}\x1b[K", line);
        is_shown_ = true;
        return;
    }
    const auto now = std::chrono::steady_clock::now();
    if (now - last_ < plain_interval) return;
    last_ = now;
    fmt::print(stderr, "{}\n", line);
}

void progress_line::clear()
{
    const std::lock_guard lock(mutex_);
    if (is_shown_) fmt::print(stderr, "\r\x1b[K");
    is_shown_ = false;
}

}  // namespace mhc::tools
