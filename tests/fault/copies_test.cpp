// tests/fault/copies_test.cpp -- copies of the user database's folder that are taken while processes write it, as a backup,
// a container's layer or a crash of the machine would leave them.
#include <signal.h>

#include <functional>

#include "tests/fault/planted_engine.hpp"

using namespace mhc;
using namespace mhc::test;
using namespace mhc::testing;

namespace {

constexpr int writers = 4, rows_of_each = 16;

int copies() { return std::getenv("MHC_TEST_FULL") != nullptr ? 100 : 10; }

/// Pages of many sizes come and go; what a row holds follows from its number.
cache::code_row row_of(int number) { return row(number, 1, 2000 + 2500U * (static_cast<unsigned>(number) % 9)); }

/// Processes that store and replace rows until this ends.
class writing {
public:
    explicit writing(const std::string& dir)
    {
        const pid_t parent = getpid();
        for (int w = 0; w < writers; ++w)
            pids_.push_back(start_child([&, w] {
                const auto store = open_store(dir);
                if (!store) return 1;
                for (int turn = 0; getppid() == parent; ++turn)  // a test that fails leaves nobody behind
                    // One that waited too long for the others stores nothing, and that is no fault.
                    if (store->insert(row_of(w * rows_of_each + turn % rows_of_each), true))
                        ++stored_->of[static_cast<std::size_t>(w)];
                    else
                        --turn;
                return 0;
            }));
        // Each row once, so that what a copy lacks is known.
        for (const auto& one : stored_->of)
            while (one < rows_of_each) wait_a_moment();
    }
    ~writing()
    {
        for (const pid_t pid : pids_) kill(pid, SIGKILL);
        for (const pid_t pid : pids_) CHECK(result_of(pid) == 256 + SIGKILL);
    }
    writing(const writing&) = delete;
    writing& operator=(const writing&) = delete;

    /// With every writer stopped, wherever it is.
    void while_stopped(const std::function<void()>& body) const
    {
        for (const pid_t pid : pids_) REQUIRE(kill(pid, SIGSTOP) == 0);
        for (const pid_t pid : pids_) {
            int status = 0;
            REQUIRE(waitpid(pid, &status, WUNTRACED) == pid);
            REQUIRE(WIFSTOPPED(status));
        }
        body();
        for (const pid_t pid : pids_) REQUIRE(kill(pid, SIGCONT) == 0);
    }
    /// Until `count` more rows are stored.
    void let_store(int count) const
    {
        const int until = all_stored() + count;
        while (all_stored() < until) wait_a_moment();
    }

private:
    int all_stored() const
    {
        int all = 0;
        for (const auto& one : stored_->of) all += one;
        return all;
    }
    void wait_a_moment() const
    {
        usleep(500);
        for (const pid_t pid : pids_)
            if (waitpid(pid, nullptr, WNOHANG) != 0) FAIL("a writer has ended");
    }

    struct counts {
        std::array<std::atomic<int>, writers> of{};
    };
    const shared<counts> stored_;
    std::vector<pid_t> pids_;
};

/// The folder's files in an order of chance. `between` is called in the middle of each and after it.
void copy_files(const std::string& from, const std::string& to, std::mt19937& random, const std::function<void()>& between)
{
    REQUIRE(mkdir(to.c_str(), 0700) == 0);
    std::vector<std::string> names = names_in(from, "mhc_user.db");
    REQUIRE_FALSE(names.empty());
    std::shuffle(names.begin(), names.end(), random);
    for (const std::string& name : names) {
        std::ifstream in(from + "/" + name, std::ios::binary);
        std::ofstream out(to + "/" + name, std::ios::binary);
        std::string half(std::filesystem::file_size(from + "/" + name) / 2, '\0');
        in.read(half.data(), static_cast<std::streamsize>(half.size()));
        out.write(half.data(), in.gcount());
        between();
        if (in.peek() != std::ifstream::traits_type::eof()) out << in.rdbuf();
        between();
    }
}

/// What a copy holds once it was opened, and one row was stored in it: whole rows alone.
struct opened_copy {
    int rows = 0;
    bool was_set_aside = false, lost_rows = false;

    explicit opened_copy(const std::string& dir)
    {
        log_recorder log;
        const auto store = open_store(dir, &log);
        REQUIRE(store);
        std::vector<cache::code_row> listed = store->list();
        for (const cache::code_row& one : listed) {
            const auto number = static_cast<int>(one.hidden_dim);
            const std::string found = found_bytes(*store, query(row_of(number)));
            if (found == "absent")
                lost_rows = true;
            else
                CHECK_MESSAGE(found == row_of(number).bytes, "row " << number << " is served with other bytes");
        }
        const int one_more = writers * rows_of_each;
        CHECK(store->insert(row_of(one_more), false));
        was_set_aside = !names_in(dir, "mhc_user.db.corrupt").empty();
        if (was_set_aside || lost_rows) CHECK(log.warnings() > 0);

        // Whatever it was, it is whole now.
        CHECK(raw(store->path(), "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check = 'ok'") == 1);
        CHECK(store->damaged().empty());
        for (const cache::code_row& one : store->list()) {
            const cache::code_row is = row_of(static_cast<int>(one.hidden_dim));
            CHECK(found_bytes(*store, query(is)) == is.bytes);
            rows += is.hidden_dim == one_more ? 0 : 1;
        }
        CHECK(found_bytes(*store, query(row_of(one_more))) == row_of(one_more).bytes);
    }
};

}  // namespace

TEST_CASE("copies: one taken while every writer is stopped holds all that was stored, and whole rows only")
{
    const temporary_directory dir;
    std::mt19937 random(20260521);
    const writing now(dir / "cache");
    for (int i = 0; i < copies(); ++i) {
        const std::string copy = dir / ("copy" + std::to_string(i));
        now.let_store(1 + static_cast<int>(random() % 40));
        now.while_stopped([&] { copy_files(dir / "cache", copy, random, [] {}); });
        const opened_copy opened(copy);
        CHECK(opened.rows == writers * rows_of_each);
        CHECK_FALSE(opened.was_set_aside);
        CHECK_FALSE(opened.lost_rows);
    }
}

TEST_CASE("copies: one of a large database is looked at as a whole before anything is stored in it, once")
{
    const temporary_directory dir;
    std::mt19937 random(20260523);
    const std::string whole_check = "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check = 'ok'";
    // A page that no table has any more: no row is wrong, so only a look at the whole finds it.
    const std::string damage =
        "PRAGMA writable_schema = ON; DELETE FROM sqlite_schema WHERE name = 'co_lru'; "
        "PRAGMA writable_schema = RESET;";
    {
        const auto store = open_store(dir / "cache");
        for (int i = 0; i < 20; ++i) REQUIRE(store->insert(row(i, 1, 1 << 20), false));
    }
    copy_files(dir / "cache", dir / "damaged", random, [] {});
    raw(dir / "damaged/mhc_user.db", damage);
    {
        log_recorder log;
        const auto store = open_store(dir / "damaged", &log);
        CHECK(store->insert(row(20, 1, 100), false));
        CHECK(names_in(dir / "damaged", "mhc_user.db.corrupt").size() == 1);
        CHECK(log.warnings() > 0);
        CHECK(raw(store->path(), whole_check) == 1);
        CHECK(found_bytes(*store, query(row(20, 1, 100))) == row(20, 1, 100).bytes);
    }
    copy_files(dir / "cache", dir / "whole", random, [] {});
    CHECK(open_store(dir / "whole")->insert(row(20, 1, 100), false));
    // Looked at once; damage of a later day is not of the copying, and its check would cost each process a second of
    // reading.
    raw(dir / "whole/mhc_user.db", damage);
    const auto store = open_store(dir / "whole");
    CHECK(store->insert(row(21, 1, 100), false));
    CHECK(names_in(dir / "whole", "mhc_user.db.corrupt").empty());
    CHECK(store->list().size() == 22);
}

TEST_CASE("copies: one taken while they write opens whole, or what is wrong with it is noticed and set aside")
{
    const temporary_directory dir;
    std::mt19937 random(20260522);
    const writing now(dir / "cache");
    int set_aside = 0, lost = 0, taken = 0;
    // Most are whole: until one is torn, nothing is shown.
    for (int i = 0; i < copies() || (set_aside + lost == 0 && i < 100); ++i, ++taken) {
        const std::string copy = dir / ("copy" + std::to_string(i));
        copy_files(dir / "cache", copy, random, [&] { now.let_store(static_cast<int>(random() % 300)); });
        const opened_copy opened(copy);
        set_aside += opened.was_set_aside ? 1 : 0;
        lost += !opened.was_set_aside && opened.lost_rows ? 1 : 0;
    }
    MESSAGE("of " << taken << " copies " << set_aside << " were set aside, " << lost << " lost rows");
    CHECK(set_aside + lost > 0);
}
