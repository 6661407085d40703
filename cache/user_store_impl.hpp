// cache/user_store_impl.hpp -- what the user store is made of: rows are looked up and stored in user_store.cpp, counted,
// listed and removed in user_store_upkeep.cpp.
#pragma once

#include <atomic>
#include <set>

#include "cache/code_store.hpp"
#include "cache/guarded_database.hpp"
#include "cache/own_rows.hpp"
#include "cache/row_uses.hpp"
#include "cache/rows.hpp"

namespace mhc::cache {

class user_store final : public code_store {
public:
    user_store(const user_store_options& options, user_store_seams seams);
    ~user_store() override;
    bool open(std::string* why);

    std::string path() const override { return path_; }
    bool is_writable() const override { return is_writable_; }
    std::optional<code_row> find(const code_query& query) override;
    bool insert(const code_row& row, bool replace) override;
    void set_aside(const digest& key, std::string_view why) override;
    std::optional<failure_row> find_failure(const digest& key) override;
    void insert_failure(const failure_row& row) override;
    void forget_failure(const digest& key) override;
    std::vector<toolchain> known_toolchains() override;
    void remember_toolchain(const toolchain& compiler, const std::vector<toolchain_file>& files) override;
    void flush() noexcept override;

    std::vector<code_row> list() override;
    std::vector<code_row> nearest(const code_row& like) override;
    counts count() override;
    tally counted() override;
    std::vector<event> events() override;
    std::int64_t remove(const std::vector<digest>& keys) override;
    std::int64_t clear() override;
    std::vector<std::string> damaged() override;
    void set_bytes_max(std::int64_t bytes) override { bytes_max_ = bytes; }

private:
    template <class Result, class Body>
    Result guarded(const char* doing, Result otherwise, const Body& body) noexcept;
    template <class Body>
    void write(const Body& body);
    void store(const code_row& row, bool replace);
    void store_own_again();
    void check_once();
    void make_room();
    void shrink();
    std::int64_t bytes_allowed();
    void take_out(const bad_row& bad);

    sqlite::connection& db() { return database_.connection(); }
    std::int64_t now() { return database_.file().now(); }

    guarded_database database_;
    const bool read_only_;  ///< as asked for: what is not stored then is no fault
    std::string path_;
    std::atomic<std::int64_t> bytes_max_;
    std::atomic<bool> is_writable_ = false;
    // Under the mutex of database_.
    bool is_full_ = false;
    std::set<digest> skipped_;  ///< rows that are no good and could not be removed
    row_uses uses_;
    own_rows own_;
    int recoveries_seen_ = 0;
    bool is_checked_ = false;  ///< as a whole, once a process
    std::uint64_t bad_rows_ = 0, evicted_ = 0;
};

template <class Result, class Body>
Result user_store::guarded(const char* doing, Result otherwise, const Body& body) noexcept
{
    return database_.guarded(doing, std::move(otherwise), [&] {
        store_own_again();
        Result result = body();
        is_writable_ = database_.file().is_writable() && !is_full_;
        return result;
    });
}

template <class Body>
void user_store::write(const Body& body)
{
    database_.write([&] {
        uses_.write(db(), now());
        body();
    });
    uses_.written();
}

}  // namespace mhc::cache
