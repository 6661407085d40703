// cache/guarded_database.hpp -- the user database under its mutex: the one place where a fault becomes an answer.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <mutex>
#include <string>
#include <utility>

#include "cache/fork_hook.hpp"
#include "cache/user_database.hpp"

namespace mhc::cache {

class guarded_database {
public:
    guarded_database(const user_store_options& options, user_store_seams seams);
    ~guarded_database();

    bool open(std::string* why);

    /// What `body` returns, or `otherwise` after a fault, which is counted and logged. A database found corrupt is replaced
    /// and `body` tried once more. `body` runs with the mutex held and the database open.
    template <class Result, class Body>
    Result guarded(const char* doing, Result otherwise, const Body& body) noexcept;

    /// Runs `body` in a write transaction. To be called by a guarded body.
    template <class Body>
    void write(const Body& body);

    /// `body`, if `is_wanted()`, when nobody uses the database, else not at all. What goes wrong is not told: at the end of
    /// a process the sink may be gone.
    template <class Condition, class Body>
    void quietly_if_idle(const Condition& is_wanted, const Body& body) noexcept;

    /// What `body` returns, with the mutex held, whether the database is open or not.
    template <class Body>
    auto locked(const Body& body)
    {
        const std::lock_guard lock(mutex_);
        return body();
    }

    /// What follows is for guarded or locked bodies.
    sqlite::connection& connection() { return file_.connection(); }
    user_database& file() { return file_; }
    event_queue& events() { return events_; }
    std::uint64_t writes() const { return writes_; }

private:
    bool is_ready();
    void make_writable();

    std::mutex mutex_;
    event_queue events_;
    user_database file_;
    pid_t pid_;
    std::uint64_t writes_ = 0;
    fork_hook hook_;
};

template <class Result, class Body>
Result guarded_database::guarded(const char* doing, Result otherwise, const Body& body) noexcept
{
    event_queue::lines lines;
    Result result = std::move(otherwise);
    try {
        const std::lock_guard lock(mutex_);
        for (bool is_retry = false; is_ready(); is_retry = true) {
            try {
                result = body();
                break;
            } catch (const sqlite::error& e) {
                events_.add_fault(doing, e.kind(), e.what());
                std::string why;
                if (e.kind() != sqlite::fault::corrupt || is_retry || !file_.recover(&why)) break;
            } catch (const std::exception& e) {
                events_.add_fault(doing, sqlite::fault::other, e.what());
                break;
            }
        }
        lines = events_.take();
    } catch (...) {
        // No memory even for a log line.
        return result;
    }
    events_.deliver(lines);
    return result;
}

template <class Body>
void guarded_database::write(const Body& body)
{
    make_writable();
    sqlite::transaction writing(connection());
    body();
    writing.commit();
    ++writes_;
}

template <class Condition, class Body>
void guarded_database::quietly_if_idle(const Condition& is_wanted, const Body& body) noexcept
{
    try {
        const std::unique_lock lock(mutex_, std::try_to_lock);
        if (!lock || !is_wanted()) return;
        try {
            if (is_ready()) body();
        } catch (const sqlite::error&) {  // not told, as said
        }
        events_.take();
    } catch (...) {
        return;
    }
}

}  // namespace mhc::cache
