// tools/common/progress.hpp -- progress of long work on standard error: a line rewritten, or a line now and then.
#pragma once

#include <chrono>
#include <mutex>
#include <string>
#include <string_view>

namespace mhc::tools {

/// Safe to call from any thread.
class progress_line {
public:
    progress_line();
    ~progress_line() { clear(); }
    progress_line(const progress_line&) = delete;
    progress_line& operator=(const progress_line&) = delete;

    void show(std::string_view target, int done, int total, std::string_view what);
    void clear();  ///< takes the line away, so that something else can be printed

private:
    std::mutex mutex_;
    bool is_terminal_ = false;
    bool is_shown_ = false;
    std::chrono::steady_clock::time_point last_;
};

}  // namespace mhc::tools
