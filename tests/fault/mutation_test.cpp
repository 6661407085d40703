// tests/fault/mutation_test.cpp -- thousands of spoiled databases: every layer is made, from its own whole code object.
//
// MHC_TEST_FULL=1: 10,000 user databases, 1,000 prebuilt ones and 1,000 exports. MHC_TEST_SEED=N: the one of that seed, told
// in full.
#include <map>

#include <mhc/jit/cache.hpp>

#include "tests/fake_hip/fixture.hpp"
#include "tests/fault/mutation.hpp"
#include "tests/fault/planted_engine.hpp"
#include "tests/support/made_elf.hpp"

using namespace mhc;
using namespace mhc::test;
using namespace mhc::testing;

namespace {

constexpr int mutated_kernels = 6;
constexpr const char* manifest_name = "/mhc_gfx942.json";

/// The look-alike, as `load_look_alike` left it.
const fake_runtime& look_alike()
{
    static const fake_runtime& the_one = fresh_fake();
    return the_one;
}

bool is_full() { return std::getenv("MHC_TEST_FULL") != nullptr; }

/// What a spoiled database is made from, and what a loader may be given.
struct whole {
    std::string user, prebuilt, manifest;
    std::vector<std::string> symbols;            ///< by the layer's number
    std::map<std::string, std::string> objects;  ///< by symbol
};

std::string manifest_of(const std::string& database)
{
    return fmt::format("{{\"database_sha256\": \"{}\"}}\n", cache::to_hex(cache::sha256(database)));
}

whole make_whole(const std::string& dir)
{
    whole made;
    std::vector<cache::code_row> rows;
    {
        const auto engine = planted_engine(planted_options(dir + "/whole"));
        for (int number = 0; number < mutated_kernels; ++number) {
            const std::string symbol = engine->layer(one_kernel(number)).value().kernels().front().symbol;
            made.symbols.push_back(symbol);
            made.objects[symbol] = make_code_object(symbol);
        }
    }
    {
        const auto store = open_store(dir + "/whole");
        for (const cache::code_row& row : store->list())
            rows.push_back(store->find({row.key, row.key_nofp, row.key_json, {}, false}).value());
    }
    made.user = contents(dir + "/whole/mhc_user.db");
    const std::string file = dir + "/whole/mhc_gfx942.db";
    std::string why;
    REQUIRE(cache::write_prebuilt_database(file, rows, &why));
    made.prebuilt = contents(file);
    made.manifest = manifest_of(made.prebuilt);
    REQUIRE(made.objects.size() == mutated_kernels);
    return made;
}

/// Counts of one batch, which a child of the test works through.
struct tally {
    std::atomic<int> done{0}, recompiled{0}, unstored{0}, healed{0};
};

class batch {
public:
    batch(const whole& from, std::string dir, tally& counts) : from_(from), dir_(std::move(dir)), counts_(counts) {}

    /// Empty, or what went wrong.
    std::string user(unsigned seed);
    std::string prebuilt(unsigned seed);
    std::string exported(unsigned seed);

    std::string how;

private:
    std::string ask(const std::function<void(jit::engine_options&)>& change);
    std::string check_loads();

    const whole& from_;
    const std::string dir_;
    tally& counts_;
};

/// The loader is given whole objects, each under its own name, and nothing else.
std::string batch::check_loads()
{
    std::string loaded;
    for (const fake_hip::call& call : look_alike().control.take_record()) {
        if (call.name == "hipModuleLoadData") {
            if (call.result != 0) return "an object was loaded that the runtime refused: " + call.refusal;
            loaded.assign(static_cast<const char*>(call.pointer), call.bytes);
        }
        if (call.name != "hipModuleGetFunction") continue;
        const auto expected = from_.objects.find(call.symbol);
        if (expected == from_.objects.end()) return "kernel " + call.symbol + " was asked for";
        if (loaded != expected->second) return "not the object of " + call.symbol + " was loaded";
    }
    return {};
}

/// Three engines, one after the other: each makes every layer, and together they compile each key at most once, if what they
/// compile can be kept.
std::string batch::ask(const std::function<void(jit::engine_options&)>& change)
{
    // By key, not by layer: where the compiler's identity was spoiled too, an engine asks under a key that no other has.
    std::map<std::string, int> compilations;
    bool is_kept = true;
    for (int turn = 0; turn < 3; ++turn) {
        jit::engine_options options = planted_options(dir_ + "/cache");
        change(options);
        if (std::getenv("MHC_TEST_SEED") != nullptr) options.level = jit::log_level::debug;
        look_alike().control.take_record();
        const auto engine = planted_engine(options);
        for (int number = 0; number < mutated_kernels; ++number) {
            const auto layer = engine->layer(one_kernel(number));
            if (!layer) return fmt::format("turn {}, layer {}: {}", turn, number, layer.error().message);
            const jit::kernel_info& kernel = layer->kernels().front();
            if (kernel.symbol != from_.symbols[static_cast<std::size_t>(number)])
                return fmt::format("layer {} has the kernel {}", number, kernel.symbol);
            if (kernel.from == jit::origin::compiled && ++compilations[kernel.key] > 1 && is_kept)
                return fmt::format("turn {} compiles layer {} again", turn, number);
        }
        if (std::string wrong = check_loads(); !wrong.empty()) return wrong;
        is_kept = is_kept && !engine->cache_path().empty() && engine->stats().store_failed == 0;
        if (turn == 2 && is_kept && engine->stats().compiled != 0) return "the third engine compiles";
    }
    for (const auto& [key, count] : compilations) counts_.recompiled += count;
    if (!is_kept) ++counts_.unstored;
    if (is_kept && !compilations.empty()) ++counts_.healed;
    return {};
}

std::string batch::user(unsigned seed)
{
    std::mt19937 random(seed);
    const std::string cache = dir_ + "/cache", file = cache + "/mhc_user.db";
    std::filesystem::remove_all(cache);
    std::filesystem::create_directory(cache);
    chmod(cache.c_str(), 0700);
    std::string bytes = from_.user;
    const auto kind = static_cast<unsigned>(random() % 8);
    if (kind < 4) how = spoil_bytes(bytes, random);
    overwrite(file, bytes);
    chmod(file.c_str(), 0600);
    if (kind >= 4 && kind < 7) how = spoil_rows(file, random);
    if (kind == 7) {
        std::string log(random() % 20000, '\0');
        for (char& byte : log) byte = static_cast<char>(random());
        overwrite(file + "-wal", log);
        how = fmt::format("a log of {} random bytes", log.size());
    }
    return ask([](jit::engine_options&) {});
}

std::string batch::prebuilt(unsigned seed)
{
    std::mt19937 random(seed);
    const std::string dir = dir_ + "/prebuilt", file = dir + "/mhc_gfx942.db";
    for (const std::string& each : {dir, dir_ + "/cache"}) std::filesystem::remove_all(each);
    std::filesystem::create_directory(dir);
    chmod(dir.c_str(), 0755);
    std::string bytes = from_.prebuilt, manifest = from_.manifest;
    const auto kind = static_cast<unsigned>(random() % 6);
    if (kind < 3) how = spoil_bytes(bytes, random);
    overwrite(file, bytes);
    chmod(file.c_str(), 0644);
    if (kind == 3 || kind == 4) how = spoil_rows(file, random);
    if (kind == 5) how = "manifest: " + spoil_bytes(manifest, random);
    // Half of the spoiled files have a manifest that agrees, or none: then their rows are all that can be judged by.
    const auto agreement = kind == 5 ? 0U : static_cast<unsigned>(random() % 4);
    if (agreement == 2) manifest = manifest_of(contents(file));
    if (agreement != 3) overwrite(dir + manifest_name, manifest);
    how += fmt::format(" (manifest {})", agreement);
    return ask([&](jit::engine_options& options) { options.prebuilt_dirs = {dir}; });
}

/// What `engine::import_cache` is given, spoiled; mostly by someone who knows its SHA-256 to be looked at.
std::string batch::exported(unsigned seed)
{
    std::mt19937 random(seed);
    const std::string file = dir_ + "/exported.db";
    std::filesystem::remove_all(dir_ + "/cache");
    std::string database = from_.prebuilt;
    const bool is_bytes = random() % 2 == 0;
    if (is_bytes) how = spoil_bytes(database, random);
    overwrite(file, database);
    if (!is_bytes) how = spoil_rows(file, random);
    database = contents(file);
    const cache::digest sha = cache::sha256(random() % 4 == 0 ? from_.prebuilt : database);
    std::string bytes = "mhc-jit objects 1\n" + std::string(sha.begin(), sha.end()) + database;
    if (random() % 8 == 0) how += ", and " + spoil_bytes(bytes, random);
    static_cast<void>(planted_engine(planted_options(dir_ + "/cache"))->import_cache(bytes));
    return ask([](jit::engine_options&) {});
}

using work = std::string (batch::*)(unsigned);

/// Works through the seeds in children, because modules are never unloaded and a crash is to be seen.
void run(const char* what, work one, unsigned count)
{
    load_look_alike();
    const bool has_memory = access("/dev/shm", W_OK) == 0;
    const environment_variable in_memory("TMPDIR", has_memory ? "/dev/shm" : "/tmp");
    const temporary_directory dir;
    const whole from = make_whole(dir.path());
    const shared<tally> counts;
    unsigned first = 0, end = count;
    const char* const chosen = std::getenv("MHC_TEST_SEED");
    if (chosen != nullptr) first = static_cast<unsigned>(std::atoi(chosen)), end = first + 1;
    constexpr unsigned batch_size = 250;
    for (unsigned from_seed = first; from_seed < end; from_seed += batch_size) {
        const int result = in_child([&] {
            batch mine(from, dir.path(), *counts.operator->());
            int failed = 0;
            for (unsigned seed = from_seed; seed < std::min(end, from_seed + batch_size); ++seed) {
                const std::string wrong = (mine.*one)(seed);
                ++counts->done;
                if (chosen != nullptr) fmt::print(stderr, "seed {}: {}\n", seed, mine.how);
                if (wrong.empty()) continue;
                fmt::print(stderr, "MHC_TEST_SEED={}: {}: {}\n", seed, mine.how, wrong);
                ++failed;
            }
            return std::min(failed, 50);
        });
        CHECK_MESSAGE(result == 0, std::string(what) << ": seeds " << from_seed << " to " << from_seed + batch_size
                                                     << ", after " << counts->done.load() << " in all");
    }
    MESSAGE(std::string(what) << ": seeds " << first << " to " << end - 1 << "; " << counts->recompiled.load()
                              << " recompilations, " << counts->healed.load() << " databases mended, "
                              << counts->unstored.load() << " could not be written");
    CHECK(counts->done.load() == static_cast<int>(end - first));
    if (chosen != nullptr) return;
    // Else the test would show little.
    CHECK(counts->healed.load() > static_cast<int>(count / 3));
    CHECK(counts->unstored.load() < static_cast<int>(count / 10));
}

}  // namespace

TEST_CASE("mutation: spoiled user databases never crash, never load an unverified object, cost one recompilation a key")
{
    run("user databases", &batch::user, is_full() ? 10'000 : 1'000);
}

TEST_CASE("mutation: spoiled exports never crash an import, never load an unverified object")
{
    run("exports", &batch::exported, is_full() ? 1'000 : 200);
}

TEST_CASE("mutation: spoiled prebuilt databases and manifests never crash, never load an unverified object")
{
    run("prebuilt databases", &batch::prebuilt, is_full() ? 1'000 : 200);
}
