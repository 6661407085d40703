// tests/fault/killer_test.cpp -- processes killed at any moment of looking up, compiling and storing.
#include <signal.h>

#include <map>
#include <random>
#include <set>

#include "runtime/code_object.hpp"
#include "tests/fault/planted_engine.hpp"

using namespace mhc;
using namespace mhc::test;
using namespace mhc::testing;

namespace {

constexpr int processes = 16, keys = 32, kills = 200;

void append_line(const std::string& path, const std::string& line)
{
    std::ofstream(path, std::ios::app) << line << std::flush;
}

/// Asks for every key, in an order of its own, and notes each that it has.
int ask_for_all(const std::string& dir, unsigned seed)
{
    std::vector<int> order(keys);
    for (int i = 0; i < keys; ++i) order[static_cast<std::size_t>(i)] = i;
    std::shuffle(order.begin(), order.end(), std::mt19937(seed));
    const auto engine = planted_engine(planted_options(dir + "/cache"));
    for (const int number : order) {
        const auto layer = engine->layer(one_kernel(number));
        if (!layer) return 1;
        append_line(dir + "/jobs", fmt::format("done {} {}\n", layer->kernels().front().symbol, getpid()));
    }
    const jit::engine_stats stats = engine->stats();
    return stats.set_aside == 0 && stats.store_failed == 0 && stats.lock_timeout == 0 ? 0 : 2;
}

/// The processes that ask, and those of them that were killed.
class crowd {
public:
    explicit crowd(std::string dir) : dir_(std::move(dir))
    {
        for (int p = 0; p < processes; ++p) start();
    }
    void start()
    {
        const unsigned seed = ++started_;
        alive_.insert(start_child([&] { return ask_for_all(dir_, seed); }));
    }
    /// False: the process has ended by itself.
    bool kill_one(pid_t pid)
    {
        if (alive_.count(pid) == 0) return false;
        kill(pid, SIGKILL);
        const int result = result_of(pid);
        alive_.erase(pid);
        if (result == 256 + SIGKILL) killed.insert(pid);
        CHECK((result == 256 + SIGKILL || result == 0));
        start();
        return result != 0;
    }
    /// Those that have done all their work make room for others.
    void replace_finished()
    {
        // Only so many: those that come may find everything done and have finished by the end of this loop.
        for (int p = 0; p < processes; ++p) {
            int status = 0;
            const pid_t pid = waitpid(-1, &status, WNOHANG);
            if (pid <= 0) return;
            CHECK(status == 0);
            alive_.erase(pid);
            start();
        }
    }
    void finish()
    {
        for (const pid_t pid : alive_) CHECK(result_of(pid) == 0);
        alive_.clear();
    }
    pid_t any(std::mt19937& random) const
    {
        return *std::next(alive_.begin(), static_cast<std::ptrdiff_t>(random() % alive_.size()));
    }

    std::set<pid_t> killed;

private:
    std::string dir_;
    unsigned started_ = 0;
    std::set<pid_t> alive_;
};

/// Kills most of those that have just begun to compile, and others at random.
void send_kills(crowd& crowd, const std::string& log)
{
    std::mt19937 random(20240521);
    std::ifstream in;
    int sent = 0;
    for (int round = 0; sent < kills; ++round) {
        REQUIRE(round < 100'000);
        if (!in.is_open()) in.open(log);
        in.clear();
        for (std::string line; sent < kills && std::getline(in, line);) {
            const std::size_t blank = line.rfind(' ');
            if (line.rfind("begin ", 0) == 0 && blank > 6 && random() % 5 != 0)
                sent += crowd.kill_one(std::atoi(line.c_str() + blank)) ? 1 : 0;
        }
        if (round % 2 == 1 && sent < kills) sent += crowd.kill_one(crowd.any(random)) ? 1 : 0;
        crowd.replace_finished();
        usleep(1000);
    }
}

/// How many of the killed were at a compilation, each of which takes `planted_ms`.
std::size_t killed_at_work(const char* planted_ms)
{
    const temporary_directory dir;
    const std::string log = dir / "jobs";
    const environment_variable jobs("MHC_PLANTED_JOBS", log), slow("MHC_PLANTED_MS", planted_ms);
    crowd crowd(dir.path());
    send_kills(crowd, log);
    crowd.finish();
    CHECK(crowd.killed.size() == kills);

    std::map<std::string, std::vector<pid_t>> begun;
    std::set<std::string> done;
    std::size_t in_flight = 0, begins = 0;
    for (const auto& line : words_of_lines(log)) {
        REQUIRE(line.size() == 3);
        if (line[0] == "done") done.insert(line[1]);
        if (line[0] != "begin") continue;
        ++begins;
        CHECK_MESSAGE(done.count(line[1]) == 0, line[1] << " is compiled again after somebody had it");
        begun[line[1]].push_back(static_cast<pid_t>(std::stol(line[2])));
    }
    CHECK(done.size() == keys);
    for (const auto& [symbol, by] : begun) {
        for (std::size_t i = 0; i + 1 < by.size(); ++i)
            CHECK_MESSAGE(crowd.killed.count(by[i]) == 1, symbol << " is compiled again though its process was not killed");
        in_flight += by.size() - 1;
    }
    MESSAGE(begins << " compilations of " << keys << " keys; " << in_flight << " of the " << kills
                   << " killed while at one");
    CHECK(begins == keys + in_flight);

    const auto store = open_store(dir / "cache");
    REQUIRE(store);
    CHECK(store->count().objects == keys);
    CHECK(store->damaged().empty());
    CHECK(raw(store->path(), "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check = 'ok'") == 1);
    for (const cache::code_row& row : store->list()) {
        const auto whole = store->find({row.key, row.key_nofp, row.key_json, {}, false});
        REQUIRE(whole);
        CHECK(runtime::verify_code_object(whole->bytes, whole->target, whole->symbol));
    }
    return in_flight;
}

}  // namespace

TEST_CASE("killer: 16 processes ask for 32 keys while 200 are killed: all is done, and compiled again only for the killed")
{
    load_look_alike();
    // A machine that is busy with much else may be late with every kill: that shows nothing of compilations, and they take
    // longer then.
    std::size_t at_work = 0;
    for (const char* planted_ms : {"20", "100", "500"})
        if (at_work == 0) at_work = killed_at_work(planted_ms);
    CHECK(at_work > 0);
}
