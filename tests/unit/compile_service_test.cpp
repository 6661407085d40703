// tests/unit/compile_service_test.cpp -- the pool of workers against a worker that misbehaves on purpose.
#include "runtime/compile_service.hpp"

#include <doctest/doctest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <thread>

#include "runtime/compile_protocol.hpp"
#include "runtime/machine_limits.hpp"
#include "tests/support/contains.hpp"

namespace {

using namespace mhc::runtime;
using mhc::test::contains;

/// A service over planted workers, which note their process ids in a file.
class planted {
public:
    explicit planted(service_options options = {})
    {
        char folder[] = "/tmp/mhc-planted-XXXXXX";
        folder_ = ::mkdtemp(folder);
        log_ = folder_ / "started";
        ::setenv("MHC_PLANTED_LOG", log_.c_str(), 1);
        options.worker = MHC_PLANTED_WORKER;
        service = make_compile_service(options);
    }
    ~planted()
    {
        service.reset();
        std::filesystem::remove_all(folder_);
    }
    compile_result run(const std::string& name, const std::string& source = "text")
    {
        return service->compile({.backend = "clang", .target = "gfx942", .name = name, .source = source, .options = {}});
    }
    std::vector<pid_t> started() const
    {
        std::vector<pid_t> pids;
        std::ifstream in(log_);
        for (pid_t pid = 0; in >> pid;) pids.push_back(pid);
        return pids;
    }
    bool all_gone() const
    {
        const std::vector<pid_t> pids = started();
        return std::all_of(pids.begin(), pids.end(), [](pid_t pid) { return ::kill(pid, 0) != 0; });
    }

    std::unique_ptr<compile_service> service;

private:
    std::filesystem::path folder_, log_;
};

}  // namespace

TEST_CASE("compile service: one worker does job after job")
{
    planted workers;
    CHECK(workers.started().empty());
    for (int i = 0; i < 3; ++i) {
        const compile_result result = workers.run("well", "source " + std::to_string(i));
        CHECK(result.status == compile_status::ok);
        CHECK(result.code == "code of source " + std::to_string(i));
        CHECK(result.compiler_name == "planted");
    }
    CHECK(workers.started().size() == 1);
    workers.service.reset();
    CHECK(workers.all_gone());
}

TEST_CASE("compile service: a crash is retried once, and reported with what the worker wrote")
{
    planted workers;
    SUBCASE("abort")
    {
        const compile_result result = workers.run("abort");
        CHECK(result.status == compile_status::crashed);
        CHECK(contains(result.log, "signal 6"));
        CHECK(contains(result.log, "LLVM ERROR: planted"));
        CHECK(contains(result.log, "clang compiling abort for gfx942"));
    }
    SUBCASE("segmentation fault")
    {
        const compile_result result = workers.run("segfault");
        CHECK(result.status == compile_status::crashed);
        CHECK(contains(result.log, "signal 11"));
    }
    SUBCASE("exit")
    {
        const compile_result result = workers.run("fail");
        CHECK(result.status == compile_status::crashed);
        CHECK(contains(result.log, "exit code 7"));
    }
    SUBCASE("exit without an error")
    {
        const compile_result result = workers.run("quit");
        CHECK(result.status == compile_status::crashed);
        CHECK(contains(result.log, "exit code 0"));
    }
    CHECK(workers.started().size() == 2);
    CHECK(workers.all_gone());
    CHECK(workers.run("well").status == compile_status::ok);
    CHECK(workers.started().size() == 3);
}

TEST_CASE("compile service: the second try of a job may succeed")
{
    planted workers;
    CHECK(workers.run("abort_once").status == compile_status::ok);
    CHECK(workers.started().size() == 2);
}

TEST_CASE("compile service: a job that crashes a worker which has done others before is still tried only twice")
{
    planted workers;
    CHECK(workers.run("well").status == compile_status::ok);
    CHECK(workers.run("abort").status == compile_status::crashed);
    CHECK(workers.started().size() == 2);
}

TEST_CASE("compile service: a worker over its time is killed, and the job not tried again")
{
    service_options options;
    options.timeout_s = 1;
    planted workers(options);
    std::string name;
    SUBCASE("it waits for ever") { name = "loop"; }
    SUBCASE("it writes for ever") { name = "flood_for_ever"; }
    const compile_result result = workers.run(name);
    CHECK(result.status == compile_status::timeout);
    CHECK(contains(result.log, "no answer within 1 s"));
    CHECK(workers.started().size() == 1);
    CHECK(workers.all_gone());
}

TEST_CASE("compile service: want of memory is told from a crash")
{
    service_options options;
    options.memory_max_bytes = 64 << 20;
    planted workers(options);
    std::string name;
    SUBCASE("an allocation fails") { name = "eat_memory"; }
    SUBCASE("the kernel kills the worker") { name = "killed"; }
    const compile_result result = workers.run(name);
    CHECK(result.status == compile_status::out_of_memory);
    CHECK(!result.log.empty());
    CHECK(workers.started().size() == 2);
}

TEST_CASE("compile service: a reply that is none is a crash, whatever it looks like")
{
    for (const auto& [name, text] :
         std::vector<std::pair<std::string, std::string>>{{"garbage", "not one of this protocol"},
                                                          {"undecodable", "makes no sense"},
                                                          {"wrong_kind", "makes no sense"},
                                                          {"no_code", "makes no sense"},
                                                          {"refuse", "planted refusal"},
                                                          {"trailing", "longer than it says"},
                                                          {"huge", "longer than any reply can be"},
                                                          {"other_version", "another version of the protocol"},
                                                          {"short", "bytes into its reply"}}) {
        CAPTURE(name);
        planted workers;
        const compile_result result = workers.run(name);
        CHECK(result.status == compile_status::crashed);
        CHECK(result.code.empty());
        CAPTURE(result.log);
        CHECK(contains(result.log, text));
        CHECK(workers.started().size() == 2);
        CHECK(workers.all_gone());
    }
}

TEST_CASE("compile service: what a worker does to its standard error cannot stop a reply")
{
    planted workers;
    CHECK(workers.run("flood").status == compile_status::ok);
    CHECK(workers.run("close_stderr").status == compile_status::ok);
    CHECK(workers.run("well").status == compile_status::ok);
    CHECK(workers.started().size() == 1);
}

TEST_CASE("compile service: an idle worker that has ended is replaced without counting as a failure")
{
    planted workers;
    CHECK(workers.run("leave").status == compile_status::ok);
    CHECK(workers.run("well").status == compile_status::ok);
    CHECK(workers.started().size() == 2);
    CHECK(workers.run("quit").status == compile_status::crashed);  // ends quietly: first as if idle, then twice fresh
    CHECK(workers.started().size() == 4);
}

TEST_CASE("compile service: large jobs and large replies pass whole")
{
    planted workers;
    const std::string source(5 << 20, 'x');
    const compile_result result = workers.run("well", source);
    CHECK(result.status == compile_status::ok);
    CHECK(result.code == "code of " + source);
    const compile_result refused = workers.run("well", std::string(65 << 20, 'x'));
    CHECK(refused.status == compile_status::compile_error);
    CHECK(contains(refused.log, "too long"));
}

TEST_CASE("compile service: threads share the pool, and it stays within its limit")
{
    service_options options;
    options.jobs_max = 2;
    planted workers(options);
    std::atomic<int> good{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < 8; ++t) {
        threads.emplace_back([&, t] {
            for (int i = 0; i < 10; ++i) {
                const std::string source = std::to_string(100 * t + i);
                good += workers.run(i == 5 && t == 3 ? "abort" : "well", source).code == "code of " + source ? 1 : 0;
            }
        });
    }
    for (std::thread& thread : threads) thread.join();
    CHECK(good == 79);
    CHECK(workers.started().size() <= 4);  // two at a time, and two were crashed
}

TEST_CASE("compile service: a forked child has workers of its own")
{
    planted workers;
    CHECK(workers.run("well").status == compile_status::ok);
    const pid_t child = ::fork();
    if (child == 0) {
        const bool is_good = workers.run("well").status == compile_status::ok;
        workers.service.reset();
        ::_exit(is_good ? 0 : 1);
    }
    int status = -1;
    CHECK(::waitpid(child, &status, 0) == child);
    CHECK(status == 0);
    CHECK(workers.started().size() == 2);
    CHECK(workers.run("well").status == compile_status::ok);  // the parent's own is still there
    CHECK(workers.started().size() == 2);
}

TEST_CASE("compile service: a program that ignores SIGCHLD is served as well")
{
    struct sigaction ignore {
    }, before{};
    ignore.sa_handler = SIG_IGN;
    ::sigaction(SIGCHLD, &ignore, &before);
    {
        planted workers;
        CHECK(workers.run("well").status == compile_status::ok);
        CHECK(workers.run("abort").status == compile_status::crashed);
        CHECK(workers.run("well").status == compile_status::ok);
    }
    ::sigaction(SIGCHLD, &before, nullptr);
}

TEST_CASE("find_worker: a path that is given is used or named, never replaced")
{
    std::string why;
    CHECK(find_worker(MHC_PLANTED_WORKER, &why) == MHC_PLANTED_WORKER);
    CHECK(find_worker("/nowhere/mhc-jitc", &why).empty());
    CHECK(contains(why, "/nowhere/mhc-jitc"));
    CHECK(contains(why, "ENOENT"));
    CHECK(find_worker("/tmp", &why).empty());
    CHECK(contains(why, "not a regular file"));
    CHECK(find_worker("/etc/passwd", &why).empty());
    CHECK(contains(why, "not executable"));
    ::setenv("MHC_JIT_WORKER", "/nowhere/else", 1);
    CHECK(find_worker(std::nullopt, &why).empty());
    CHECK(contains(why, "MHC_JIT_WORKER"));
    CHECK(find_worker(MHC_PLANTED_WORKER, &why) == MHC_PLANTED_WORKER);
    ::unsetenv("MHC_JIT_WORKER");
}

TEST_CASE("compile service: without a worker HIPRTC and NVRTC compile in this process, after one warning")
{
    service_options options;
    options.worker = "/nowhere/mhc-jitc";
    std::vector<std::string> warnings;
    options.log = [&](int severity, std::string_view line) {
        if (severity == 2) warnings.emplace_back(line);
    };
    const auto service = make_compile_service(options);
    CHECK(service->worker_path().empty());
    const compile_result result =
        service->compile({.backend = "clang", .target = {}, .name = {}, .source = {}, .options = {}});
    CHECK(result.status == compile_status::no_compiler);
    CHECK(contains(result.log, "/nowhere/mhc-jitc"));
    std::string why;
    CHECK(service->disassemble("gfx942", "", &why).empty());
    CHECK(contains(why, "/nowhere/mhc-jitc"));

    const std::vector<backend_info> found = service->backends();
    REQUIRE(found.size() == 3);
    CHECK_FALSE(found[0].available);
    CHECK(contains(found[0].why_not, "/nowhere/mhc-jitc"));
    for (const backend_info& info : found) {
        CAPTURE(info.name);
        CHECK(info.available == info.why_not.empty());
        if (!info.available) continue;
        const bool is_nvidia = info.name == "nvrtc";
        const compile_job job{.backend = info.name,
                              .target = is_nvidia ? "sm_80" : "gfx90a",
                              .name = "mhc_test",
                              .source = "extern \"C\" __attribute__((global)) void k() {}\n",
                              .options = {is_nvidia ? "--gpu-architecture=sm_80" : "--offload-arch=gfx90a"}};
        std::vector<std::thread> threads;
        std::atomic<int> made = 0;
        for (int i = 0; i < 3; ++i)  // HIPRTC is not safe to use from two threads: the service is
            threads.emplace_back([&] { made += service->compile(job).status == compile_status::ok ? 1 : 0; });
        for (std::thread& thread : threads) thread.join();
        CHECK(made == 3);
    }
    REQUIRE(warnings.size() == 1);
    CHECK(contains(warnings.front(), "/nowhere/mhc-jitc"));
}

TEST_CASE("compile protocol: no bytes make a decoder fail otherwise than by saying so")
{
    protocol::compile_reply reply;
    reply.result.code = "code";
    reply.result.log = "log";
    std::vector<backend_info> both(2);
    both[0].targets = {"host", "gfx942"};
    both[1].files.resize(2);
    const compile_job job{.backend = "b", .target = "t", .name = "n", .source = "s", .options = {"-a", "-b"}};
    const std::vector<std::string> good{protocol::encode(reply), protocol::encode(both),
                                        protocol::encode(protocol::compile_request{job, 7}),
                                        protocol::encode(protocol::disassemble_request{"t", "c"})};
    protocol::compile_request again;
    REQUIRE(protocol::decode(good[2], &again));
    CHECK(again.job.options == job.options);
    CHECK(again.memory_max_bytes == 7);

    std::mt19937 random(20260101);
    int accepted = 0;
    for (int round = 0; round < 4000; ++round) {
        std::string bytes = good[random() % good.size()];
        for (unsigned i = random() % 4; i > 0; --i) bytes[random() % bytes.size()] = static_cast<char>(random());
        if (random() % 2 == 0) bytes.resize(random() % bytes.size());
        protocol::compile_reply a;
        std::vector<backend_info> b;
        protocol::disassemble_request d;
        accepted += protocol::decode(bytes, &a) + protocol::decode(bytes, &b) + protocol::decode(bytes, &again) +
                    protocol::decode(bytes, &d);
    }
    CHECK(accepted > 0);
}

TEST_CASE("machine limits: the smallest of affinity and cgroup quotas, and of free memory and cgroup limits")
{
    char folder[] = "/tmp/mhc-limits-XXXXXX";
    const std::string root = ::mkdtemp(folder);
    const auto write = [&](const std::string& path, const std::string& text) {
        std::filesystem::create_directories(std::filesystem::path(root + path).parent_path());
        std::ofstream(root + path) << text;
    };
    write("/proc/meminfo", "MemTotal: 100 kB\nMemAvailable:   2048 kB\n");
    CHECK(usable_cpus(root) >= 1);
    CHECK(usable_memory_bytes(root) == 2 << 20);
    SUBCASE("version 2")
    {
        write("/proc/self/cgroup", "0::/outer/inner\n");
        write("/sys/fs/cgroup/outer/inner/cpu.max", "max 100000\n");
        write("/sys/fs/cgroup/outer/cpu.max", "50000 100000\n");
        write("/sys/fs/cgroup/outer/inner/memory.max", "1048576\n");
        write("/sys/fs/cgroup/outer/inner/memory.current", "48576\n");
    }
    SUBCASE("version 1")
    {
        write("/proc/self/cgroup", "4:memory:/a\n1:cpu,cpuacct:/a\n");
        write("/sys/fs/cgroup/cpu/a/cpu.cfs_quota_us", "90000\n");
        write("/sys/fs/cgroup/cpu/a/cpu.cfs_period_us", "100000\n");
        write("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n");
        write("/sys/fs/cgroup/memory/a/memory.limit_in_bytes", "1048576\n");
        write("/sys/fs/cgroup/memory/a/memory.usage_in_bytes", "48576\n");
    }
    CHECK(usable_cpus(root) == 1);
    CHECK(usable_memory_bytes(root) == 1000000);
    std::filesystem::remove_all(root);
}
