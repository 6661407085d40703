// cache/prebuilt_store.cpp -- a database that ships with a program: read without locks, believed after its manifest.
#include <fmt/format.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <mutex>
#include <set>

#include <nlohmann/json.hpp>

#include "cache/code_store.hpp"
#include "cache/event_queue.hpp"
#include "cache/fork_hook.hpp"
#include "cache/rows.hpp"
#include "cache/schema.hpp"
#include "cache/trust.hpp"

namespace mhc::cache {
namespace {

bool read_file(const std::string& path, std::string* text)
{
    std::ifstream in(path, std::ios::binary);
    if (!in) return false;
    text->assign(std::istreambuf_iterator<char>(in), {});
    return !in.bad();
}

bool agrees_with_manifest(const std::string& file, std::string* why)
{
    const std::string manifest = std::filesystem::path(file).replace_extension(".json").string();
    switch (look_at_file(manifest, why).trust) {
        case file_trust::absent:
            return true;
        case file_trust::refused:
            return false;
        case file_trust::trusted:
            break;
    }
    std::string text, bytes;
    if (!read_file(manifest, &text) || !read_file(file, &bytes))
        return *why = fmt::format("{} or {} cannot be read", manifest, file), false;
    const auto fields = nlohmann::json::parse(text, nullptr, false);
    if (!fields.is_object() || !fields.contains("database_sha256") || !fields["database_sha256"].is_string())
        return *why = fmt::format("{} has no database_sha256", manifest), false;
    const std::string is = to_hex(sha256(bytes)), wanted = fields["database_sha256"].get<std::string>();
    if (is != wanted) return *why = fmt::format("{} has SHA-256 {}, its manifest says {}", file, is, wanted), false;
    return true;
}

class prebuilt_store final : public code_store {
public:
    prebuilt_store(const std::string& file, const event_sink& log)
        : file_(file),
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

    std::string path() const override { return file_; }
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

    counts count() override
    {
        return guarded("counting", counts{}, [&] {
            counts result = count_rows(*db_, 0);
            std::string ignored;
            result.file_bytes = look_at_file(file_, &ignored).size;
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
                    fmt::format("cache: row {} of {} is not served ({}): {}", to_hex(bad.key), file_, bad.kind, bad.why));
        if (bad.fix != bad_row::remedy::none) skipped_.insert(bad.key);
    }

    bool reopen(std::string* why);

    std::string file_;
    std::mutex mutex_;
    event_queue events_;
    std::optional<sqlite::connection> db_;
    std::set<digest> skipped_;
    std::uint64_t bad_rows_ = 0;
    fork_hook hook_;
};

bool prebuilt_store::reopen(std::string* why)
{
    const std::filesystem::path named = std::filesystem::absolute(file_);
    const auto dir = trust_directory(named.parent_path().string(), false, why);
    if (!dir) return false;
    const std::string path = dir->path + "/" + named.filename().string();
    if (look_at_file(path, why).trust != file_trust::trusted || !agrees_with_manifest(path, why)) return false;
    try {
        sqlite::connection db(path, sqlite::access::immutable);
        const file_identity identity = identify(db.raw_header());
        if (identity.is != file_identity::kind::ours) {
            const char* what = identity.is == file_identity::kind::empty     ? "is empty"
                               : identity.is == file_identity::kind::foreign ? "is a database of another program"
                                                                             : "is not a database";
            return *why = fmt::format("{} {}", path, what), false;
        }
        if (identity.version < schema_version || !columns_fit(db))
            return *why = fmt::format("{} has version {}, which this library does not read", path, identity.version), false;
        file_ = path;
        db_ = std::move(db);
        return true;
    } catch (const sqlite::error& e) {
        return *why = e.what(), false;
    }
}

}  // namespace

std::unique_ptr<code_store> open_prebuilt_store(const std::string& file, const event_sink& log, std::string* why)
{
    std::string ignored;
    if (why == nullptr) why = &ignored;
    try {
        auto store = std::make_unique<prebuilt_store>(file, log);
        if (store->open(why)) return store;
    } catch (const std::exception& e) {
        *why = e.what();
    }
    return nullptr;
}

}  // namespace mhc::cache
