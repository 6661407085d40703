// cache/guarded_database.cpp -- opening again after a fork, after a failure, and after the file was replaced.
#include "cache/guarded_database.hpp"

#include <unistd.h>

namespace mhc::cache {

guarded_database::guarded_database(const user_store_options& options, user_store_seams seams)
    : events_(options.log),
      file_(options, std::move(seams), events_),
      pid_(getpid()),
      hook_(
          [this] {
              mutex_.lock();
              file_.close();
          },
          [this](bool is_child) {
              if (is_child) pid_ = getpid();
              mutex_.unlock();
          })
{
}

guarded_database::~guarded_database()
{
    if (pid_ != getpid()) file_.leak();
}

bool guarded_database::open(std::string* why)
{
    event_queue::lines lines;
    bool is_open = false;
    {
        const std::lock_guard lock(mutex_);
        is_open = file_.open(why);
        lines = events_.take();
    }
    events_.deliver(lines);
    return is_open;
}

bool guarded_database::is_ready()
{
    if (pid_ != getpid()) {
        // A clone that ran no fork handler: the handle belongs to the other process.
        file_.leak();
        pid_ = getpid();
    }
    if (file_.is_open()) return true;
    std::string why;
    if (file_.open(&why)) return true;
    events_.add_fault("opening again", sqlite::fault::cannot_open, why.c_str());
    return false;
}

void guarded_database::make_writable()
{
    // Commits to a file that was unlinked succeed, and are lost.
    if (file_.has_moved()) {
        std::string why;
        if (!file_.open(&why)) throw sqlite::error(sqlite::fault::cannot_open, why);
    }
    if (!file_.is_writable()) throw sqlite::error(sqlite::fault::read_only, file_.path() + " is open for reading only");
}

}  // namespace mhc::cache
