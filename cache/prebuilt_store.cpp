// cache/prebuilt_store.cpp -- a database that ships with a program: read without locks, believed after its manifest.
#include <fmt/format.h>

#include <mutex>
#include <set>

#include "cache/code_store.hpp"
#include "cache/event_queue.hpp"
#include "cache/fork_hook.hpp"
#include "cache/manifest.hpp"
#include "cache/rows.hpp"
#include "cache/schema.hpp"
#include "cache/trust.hpp"

namespace mhc::cache {
namespace {

class prebuilt_store final : public code_store {
public:
    /// A file, or with `bytes` what lies in this program.
    prebuilt_store(const std::string& name, std::string_view bytes, const std::string& signer, const event_sink& log)
        : name_(name),
          bytes_(bytes),
          signer_(signer),
          path_(name),
          events_(log),
          hook_(
              [this] {
                  mutex_.lock();
                  db_.reset();
              },
              [this](bool) { mutex_.unlock(); })
    {
    }

    bool open(std::string* why)
    {
        const std::lock_guard lock(mutex_);
        return reopen(why);
    }

    std::string path() const override { return path_; }
    bool is_writable() const override { return false; }

    std::optional<code_row> find(const code_query& query) override
    {
        return guarded("looking up", std::optional<code_row>{}, [&] {
            lookup result = look_up(*db_, query, skipped_);
            for (const bad_row& bad : result.bad) {
                if (bad.fix != bad_row::remedy::none) ++bad_rows_;
                skip(bad);
            }
            return std::move(result.found);
        });
    }

    void set_aside(const digest& key, std::string_view why) override
    {
        guarded("setting aside", true, [&] {
            skip({key, "quarantine", std::string(why), bad_row::remedy::remove_bytes});
            return true;
        });
    }

    std::vector<code_row> list() override
    {
        return guarded("listing", std::vector<code_row>{}, [&] { return list_rows(*db_); });
    }

    std::vector<code_row> nearest(const code_row& like) override
    {
        return guarded("looking for the nearest", std::vector<code_row>{}, [&] { return nearest_rows(*db_, like); });
    }

    counts count() override
    {
        return guarded("counting", counts{}, [&] {
            counts result = count_rows(*db_, 0);
            std::string ignored;
            result.file_bytes =
                bytes_.empty() ? look_at_file(path_, &ignored).size : static_cast<std::int64_t>(bytes_.size());
            return result;
        });
    }

    std::vector<std::string> damaged() override
    {
        return guarded("checking", std::vector<std::string>{}, [&] { return damaged_rows(*db_); });
    }

    tally counted() override
    {
        const std::lock_guard lock(mutex_);
        return {.writes = 0, .bad_rows = bad_rows_, .corrupt = 0, .evicted = 0, .faults = events_.faults()};
    }

    std::vector<event> events() override
    {
        return guarded("reading events", std::vector<event>{}, [&] { return read_events(*db_); });
    }

    void flush() noexcept override {}
    bool insert(const code_row&, bool) override { return false; }
    std::optional<failure_row> find_failure(const digest&) override { return std::nullopt; }
    void insert_failure(const failure_row&) override {}
    void forget_failure(const digest&) override {}
    std::vector<toolchain> known_toolchains() override { return {}; }
    void remember_toolchain(const toolchain&, const std::vector<toolchain_file>&) override {}
    std::int64_t remove(const std::vector<digest>&) override { return -1; }
    std::int64_t clear() override { return -1; }
    void set_bytes_max(std::int64_t) override {}

private:
    template <class Result, class Body>
    Result guarded(const char* doing, Result otherwise, const Body& body) noexcept
    {
        event_queue::lines lines;
        Result result = std::move(otherwise);
        try {
            const std::lock_guard lock(mutex_);
            try {
                std::string why;
                if (!db_ && !reopen(&why)) throw sqlite::error(sqlite::fault::cannot_open, why);
                result = body();
            } catch (const sqlite::error& e) {
                events_.add_fault(doing, e.kind(), e.what());
            } catch (const std::exception& e) {
                events_.add_fault(doing, sqlite::fault::other, e.what());
            }
            lines = events_.take();
        } catch (...) {
            return result;
        }
        events_.deliver(lines);
        return result;
    }

    void skip(const bad_row& bad)
    {
        events_.add(severity::warning,
                    fmt::format("cache: row {} of {} is not served ({}): {}", to_hex(bad.key), path_, bad.kind, bad.why));
        if (bad.fix != bad_row::remedy::none) skipped_.insert(bad.key);
    }

    bool reopen(std::string* why);

    const std::string name_;
    const std::string_view bytes_;
    const std::string signer_;
    std::string path_;
    std::mutex mutex_;
    event_queue events_;
    std::optional<sqlite::connection> db_;
    std::set<digest> skipped_;
    std::uint64_t bad_rows_ = 0;
    fork_hook hook_;
};

bool prebuilt_store::reopen(std::string* why)
{
    const bool is_file = bytes_.empty();
    const auto path = is_file ? believed_file(name_, signer_, why) : std::optional(name_);
    if (!path) return false;
    try {
        sqlite::connection db =
            is_file ? sqlite::connection(*path, sqlite::access::immutable) : sqlite::connection::over(bytes_);
        const file_identity identity = identify(is_file ? db.raw_header() : std::string(bytes_.substr(0, 100)));
        if (identity.is != file_identity::kind::ours) {
            const char* what = identity.is == file_identity::kind::empty     ? "is empty"
                               : identity.is == file_identity::kind::foreign ? "is a database of another program"
                                                                             : "is not a database";
            return *why = fmt::format("{} {}", *path, what), false;
        }
        if (identity.version < schema_version || !columns_fit(db))
            return *why = fmt::format("{} has version {}, which this library does not read", *path, identity.version), false;
        path_ = *path;
        db_ = std::move(db);
        return true;
    } catch (const sqlite::error& e) {
        return *why = e.what(), false;
    }
}

std::unique_ptr<code_store> opened(std::unique_ptr<prebuilt_store> store, std::string* why)
{
    if (store->open(why)) return store;
    return nullptr;
}

}  // namespace

std::unique_ptr<code_store> open_prebuilt_store(const std::string& file, const event_sink& log, std::string* why,
                                                const std::string& signer)
{
    std::string ignored;
    if (why == nullptr) why = &ignored;
    try {
        return opened(std::make_unique<prebuilt_store>(file, std::string_view{}, signer, log), why);
    } catch (const std::exception& e) {
        return *why = e.what(), nullptr;
    }
}

std::unique_ptr<code_store> open_embedded_store(const std::string& name, std::string_view bytes, const event_sink& log,
                                                std::string* why)
{
    std::string ignored;
    if (why == nullptr) why = &ignored;
    if (bytes.empty()) return *why = name + " is empty", nullptr;
    try {
        return opened(std::make_unique<prebuilt_store>(name, bytes, std::string{}, log), why);
    } catch (const std::exception& e) {
        return *why = e.what(), nullptr;
    }
}

}  // namespace mhc::cache
