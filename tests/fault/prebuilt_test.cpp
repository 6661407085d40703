// tests/fault/prebuilt_test.cpp -- engines on prebuilt databases: what they leave alone, whom they believe, what a miss
// says.
#include <mutex>

#include "cache/signature.hpp"
#include "tests/fake_hip/fixture.hpp"
#include "tests/fault/planted_engine.hpp"
#include "tests/support/signing_key.hpp"

using namespace mhc;
using namespace mhc::test;
using namespace mhc::testing;

namespace {

constexpr int kernels = 3;

/// A folder with a database of the first kernels, as a program would ship it.
struct shipped {
    const temporary_directory dir;
    const std::string file = dir / "mhc_gfx942.db", manifest = dir / "mhc_gfx942.json", signature = manifest + ".sig";

    shipped()
    {
        load_look_alike();
        const temporary_directory cache;
        const auto engine = planted_engine(planted_options(cache.path()));
        for (int number = 0; number < kernels; ++number) REQUIRE(engine->layer(one_kernel(number)));
        std::vector<cache::code_row> rows;
        const auto store = open_store(cache.path());
        for (const cache::code_row& row : store->list())
            rows.push_back(store->find({row.key, row.key_nofp, row.key_json, {}, false}).value());
        REQUIRE(rows.size() == kernels);
        std::string why;
        REQUIRE_MESSAGE(cache::write_prebuilt_database(file, rows, &why), why);
        overwrite(manifest, "{\"database_sha256\": \"" + cache::to_hex(cache::sha256(contents(file))) + "\"}\n");
    }
    void sign(const signing_key& by) const
    {
        std::string why;
        overwrite(signature, cache::sign(by.private_pem, contents(manifest), &why).value());
    }
};

/// The log of an engine, from the level of information on.
struct lines {
    std::mutex mutex;
    std::vector<std::pair<jit::log_level, std::string>> all;

    void listen(jit::engine_options& options)
    {
        options.level = jit::log_level::info;
        options.log = [this](jit::log_level level, std::string_view line) {
            const std::lock_guard lock(mutex);
            all.emplace_back(level, line);
        };
    }
    std::vector<std::string> with(std::string_view part, jit::log_level level) const
    {
        std::vector<std::string> found;
        for (const auto& [at, line] : all)
            if (at == level && contains(line, part)) found.push_back(line);
        return found;
    }
};

}  // namespace

TEST_CASE("prebuilt: an engine that has every kernel asks for no compiler and opens, makes and locks no other database")
{
    const shipped made;
    const temporary_directory dir;
    const environment_variable starts("MHC_PLANTED_LOG", dir / "starts");
    jit::engine_options options = planted_options(dir / "cache");
    options.prebuilt_dirs = {made.dir.path()};
    SUBCASE("with nothing else on the machine") {}
    SUBCASE("without a user database") { options.use_user_database = false; }
    SUBCASE("strict") { options.strict = true; }
    SUBCASE("without a worker program") { options.worker = "/nowhere/mhc-jitc"; }
    SUBCASE("with databases that may not be opened, and locks that may not be taken")
    {
        REQUIRE(mkdir((dir / "cache").c_str(), 0700) == 0);
        overwrite(dir / "cache/mhc_user.db", "left as it is");
        overwrite(dir / "cache/mhc.lock", "");
    }
    const std::string before = exists(dir / "cache") ? contents(dir / "cache/mhc_user.db") : "";
    const std::size_t files = exists(dir / "cache") ? names_in(dir / "cache", "").size() : 0;
    const auto engine = planted_engine(options);
    for (int number = 0; number < kernels; ++number) {
        const auto layer = engine->layer(one_kernel(number));
        REQUIRE(layer);
        CHECK(layer->kernels().front().from == jit::origin::prebuilt);
    }
    const jit::engine_stats stats = engine->stats();
    CHECK(stats.l3_hit == kernels);
    CHECK(stats.compiled == 0);
    CHECK(stats.compilers_asked == 0);
    CHECK(stats.user_database_opened == 0);
    CHECK(stats.waited_process == 0);
    CHECK_FALSE(exists(dir / "starts"));
    CHECK(exists(dir / "cache") == (files != 0));
    if (files != 0) CHECK(contents(dir / "cache/mhc_user.db") == before);
    if (files != 0) CHECK(names_in(dir / "cache", "").size() == files);

    // The counters count: one kernel more, and all of it is there.
    if (options.strict || options.worker == "/nowhere/mhc-jitc") return;
    REQUIRE(engine->layer(one_kernel(kernels)));
    CHECK(engine->stats().compilers_asked == 1);
    CHECK(engine->stats().user_database_opened == (options.use_user_database ? 1 : 0));
    CHECK(jobs_in(dir / "starts") == 0);
    CHECK(words_of_lines(dir / "starts").size() == 1);
}

TEST_CASE("prebuilt: 64 processes that start on a full database write nothing, take no lock and start no worker")
{
    constexpr int processes = 64;
    const shipped made;
    const temporary_directory dir;
    const environment_variable starts("MHC_PLANTED_LOG", dir / "starts");
    const auto state_of = [&] {
        struct stat seen {};
        REQUIRE(stat(made.file.c_str(), &seen) == 0);
        return fmt::format("{} {} {} {}", seen.st_ino, seen.st_mtim.tv_sec, seen.st_mtim.tv_nsec, seen.st_size);
    };
    const std::string before = state_of();
    struct counts {
        std::atomic<int> ready{0};
        std::atomic<std::uint64_t> prebuilt{0}, others{0};
    };
    const shared<counts> all;
    std::vector<pid_t> children;
    for (int p = 0; p < processes; ++p)
        children.push_back(start_child([&] {
            jit::engine_options options = planted_options(dir / "cache");
            options.prebuilt_dirs = {made.dir.path()};
            ++all->ready;
            while (all->ready < processes) usleep(100);
            const auto engine = planted_engine(options);
            for (int number = 0; number < kernels; ++number)
                if (!engine->layer(one_kernel(number))) return 1;
            const jit::engine_stats stats = engine->stats();
            all->prebuilt += stats.l3_hit;
            all->others += stats.database_writes + stats.user_database_opened + stats.waited_process + stats.lock_timeout +
                           stats.compilers_asked + stats.compiled + stats.database_faults.busy;
            return 0;
        }));
    for (const pid_t child : children) CHECK(result_of(child) == 0);
    CHECK(all->prebuilt == processes * kernels);
    CHECK(all->others == 0);
    CHECK_FALSE(exists(dir / "starts"));  // no worker
    CHECK_FALSE(exists(dir / "cache"));   // nor a lock file, which would lie there
    CHECK(state_of() == before);
    CHECK(names_in(made.dir.path(), "").size() == 2);
}

TEST_CASE("prebuilt: of a layer whose kernels are prebuilt in part the rest alone is compiled")
{
    const shipped made;
    const temporary_directory dir;
    const environment_variable jobs("MHC_PLANTED_JOBS", dir / "jobs");
    jit::engine_options options = planted_options(dir / "cache");
    options.prebuilt_dirs = {made.dir.path()};
    jit::layer_spec both = one_kernel(0);
    both.wanted = {jit::operation::expand_fwd, jit::operation::apply_mix_fwd};
    const auto engine = planted_engine(options);
    const auto layer = engine->layer(both);
    REQUIRE(layer);
    CHECK(engine->stats().l3_hit == 1);
    CHECK(engine->stats().compiled == layer->kernels().size() - 1);
    CHECK(jobs_in(dir / "jobs") == layer->kernels().size() - 1);
}

TEST_CASE("prebuilt: where a key is demanded, only what it signed is used; strict mode says which file is not and why")
{
    const shipped made;
    const signing_key signer, other;
    const temporary_directory cache;
    jit::engine_options options = planted_options(cache.path());
    options.prebuilt_dirs = {made.dir.path()};
    options.prebuilt_key = signer.public_pem;
    std::string because;
    SUBCASE("signed by it") { made.sign(signer); }
    SUBCASE("not signed") { because = "is not signed"; }
    SUBCASE("signed by another key")
    {
        made.sign(other);
        because = "is not the demanded key's";
    }
    SUBCASE("a signature of which a bit is wrong")
    {
        made.sign(signer);
        std::string bytes = contents(made.signature);
        bytes[40] = static_cast<char>(bytes[40] ^ 4);
        overwrite(made.signature, bytes);
        because = "is not the demanded key's";
    }
    SUBCASE("another database under the signed manifest")
    {
        made.sign(signer);
        REQUIRE(chmod(made.file.c_str(), 0644) == 0);
        raw(made.file, "UPDATE code_object SET family = 'other'");
        because = "its manifest says";
    }
    lines log;
    log.listen(options);
    const auto engine = planted_engine(options);
    REQUIRE(engine->layer(one_kernel(0)));
    CHECK(engine->stats().l3_hit == (because.empty() ? 1 : 0));
    CHECK(engine->stats().compiled == (because.empty() ? 0 : 1));
    CHECK(log.with(made.file, jit::log_level::warning).size() == (because.empty() ? 0 : 1));

    // Strict mode does not get round it by what is stored elsewhere.
    options.strict = true;
    const auto strict = planted_engine(options)->layer(one_kernel(0));
    REQUIRE(static_cast<bool>(strict) == because.empty());
    if (because.empty()) return;
    CHECK(strict.error().code == jit::errc::load_failed);
    CHECK(contains(strict.error().message, made.file));
    CHECK(contains(strict.error().message, because));
}

TEST_CASE("prebuilt: a demanded key that is none is refused when the engine is made")
{
    load_look_alike();
    const temporary_directory dir;
    jit::engine_options options = planted_options(dir.path());
    options.prebuilt_key = "no key";
    const auto engine = jit::engine::create(options);
    REQUIRE_FALSE(engine);
    CHECK(engine.error().code == jit::errc::bad_spec);
    CHECK(contains(engine.error().message, "prebuilt_key: not an Ed25519 public key"));

    const signing_key key;
    overwrite(dir / "key.pem", key.public_pem);
    {
        const environment_variable path("MHC_JIT_PREBUILT_KEY", dir / "key.pem");
        CHECK(jit::engine_options::from_environment().value().prebuilt_key == key.public_pem);
        REQUIRE(chmod((dir / "key.pem").c_str(), 0666) == 0);
        CHECK(contains(jit::engine_options::from_environment().error().message, "chmod go-w"));
    }
    const environment_variable path("MHC_JIT_PREBUILT_KEY", dir / "absent.pem");
    CHECK(contains(jit::engine_options::from_environment().error().message, "absent.pem"));
}

TEST_CASE("prebuilt: a miss of strict mode names the nearest stored kernel and the field that differs")
{
    const shipped made;
    const temporary_directory dir;
    jit::engine_options options = planted_options(dir / "cache");
    options.strict = true;
    options.prebuilt_dirs = {made.dir.path()};
    const std::string there = planted_engine(options)->layer(one_kernel(1)).value().kernels().front().symbol;
    const auto miss = [&](const jit::layer_spec& spec) {
        const auto layer = planted_engine(options)->layer(spec);
        REQUIRE_FALSE(layer);
        CHECK(layer.error().code == jit::errc::not_prebuilt);
        CHECK_FALSE(contains(layer.error().message, "\n"));
        return layer.error().message;
    };
    jit::layer_spec wider = one_kernel(1);
    wider.dtype = jit::dtype::fp16;
    const std::string message = miss(wider);
    MESSAGE(message);
    CHECK(contains(message, "the nearest that is stored is " + there));
    CHECK(contains(message, "which differs in plan.params (... mhc::bf16*"));
    CHECK(contains(message, "stored, ... mhc::fp16*"));

    jit::layer_spec other_family = one_kernel(1);
    other_family.wanted = {jit::operation::rmsnorm_fwd};
    CHECK(contains(miss(other_family), "no kernel 'rmsnorm' is stored for any shape"));
    options.prebuilt_dirs = {dir / "none"};
    CHECK(contains(miss(wider), "there is no mhc_gfx942.db in " + (dir / "none")));
    CHECK(miss(wider).find("there is no") == miss(wider).rfind("there is no"));
}

TEST_CASE("prebuilt: a compilation says why it was needed and, if slow, once that it could have been prebuilt")
{
    const shipped made;
    const temporary_directory dir;
    const environment_variable slow("MHC_PLANTED_WALL_MS", "5001");
    jit::engine_options options = planted_options(dir / "cache");
    options.prebuilt_dirs = {made.dir.path()};
    lines log;
    log.listen(options);
    const auto engine = planted_engine(options);
    for (int number = kernels; number < kernels + 2; ++number) REQUIRE(engine->layer(one_kernel(number)));
    const auto told = log.with("compiled mhc_expand", jit::log_level::info);
    REQUIRE(told.size() == 2);
    MESSAGE(told.front());
    CHECK(contains(told.front(), "because: plan."));
    CHECK(contains(told.front(), " differs from nearest mhc_expand"));
    CHECK(log.with("mhc-prebuild", jit::log_level::warning).size() == 1);

    jit::layer_spec alone = one_kernel(0);
    alone.wanted = {jit::operation::rmsnorm_fwd};
    REQUIRE(engine->layer(alone));
    CHECK(log.with("because: nothing of its family is stored", jit::log_level::info).size() == 1);
}

TEST_CASE("prebuilt: objects of another code object version are used where the runtime loads them")
{
    const shipped made;  // of version 5, as ROCm 6 takes
    const temporary_directory dir;
    const fake_runtime& fake = fresh_fake();
    fake.control.set_version(50221153);
    jit::engine_options options = planted_options(dir / "cache");
    options.prebuilt_dirs = {made.dir.path()};
    lines log;
    log.listen(options);
    SUBCASE("it does")
    {
        options.strict = true;
        const auto engine = planted_engine(options);
        for (int number = 0; number < kernels; ++number) REQUIRE(engine->layer(one_kernel(number)));
        CHECK(engine->stats().l3_hit == kernels);
        CHECK(engine->stats().compiled == 0);
    }
    SUBCASE("it does not: that is found out once, and is no fault of the objects")
    {
        fake.control.fail("hipModuleLoadData", 1, 209);
        const auto engine = planted_engine(options);
        for (int number = 0; number < kernels; ++number) REQUIRE(engine->layer(one_kernel(number)));
        CHECK(engine->stats().compiled == kernels);
        CHECK(engine->stats().set_aside == 0);
        CHECK(log.with("does not load here", jit::log_level::info).size() == 1);
    }
    load_look_alike();
}
