// tests/unit/compile_worker_test.cpp -- the real worker: small kernels with each compiler that is here.
#include <doctest/doctest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <mutex>
#include <random>
#include <set>
#include <sstream>
#include <thread>

#include "runtime/code_object.hpp"
#include "runtime/compile_service.hpp"

namespace {

using namespace mhc::runtime;

constexpr const char* kernel =
    "extern \"C\" __attribute__((global)) void k(float* p){ p[__builtin_amdgcn_workitem_id_x()] = 1.0f; }\n";

std::vector<std::string> words(const std::string& text)
{
    std::istringstream in(text);
    std::vector<std::string> found;
    for (std::string word; in >> word;) found.push_back(word);
    return found;
}

compile_job clang_job(const std::string& target, const std::string& source = kernel)
{
    return {.backend = "clang",
            .target = target,
            .name = "mhc_test.hip",
            .source = source,
            .options = words(
                "-triple amdgcn-amd-amdhsa -emit-obj -disable-free -mrelocation-model pic -pic-level 2 -mframe-pointer=none "
                "-fno-rounding-math -fcuda-is-device -fvisibility=hidden -fapply-global-visibility-to-externs -target-cpu " +
                target + " -nostdsysteminc -nobuiltininc -O3 -std=c++17 -vectorize-loops -vectorize-slp -x hip")};
}

compile_job hiprtc_job(const std::string& target, const std::string& source = kernel)
{
    return {.backend = "hiprtc",
            .target = target,
            .name = "mhc_test.hip",
            .source = source,
            .options = words("--offload-arch=" + target + " -O3 -std=c++17 --hiprtc-no-builtin-header -nogpuinc -nogpulib")};
}

compile_job nvrtc_job(const std::string& target)
{
    return {.backend = "nvrtc",
            .target = target,
            .name = "mhc_test.cu",
            .source = "extern \"C\" __global__ void k(float* out) { out[threadIdx.x] = 1.0f; }\n",
            .options = {"--gpu-architecture=" + target}};
}

compile_job host_job(const std::string& source)
{
#if defined(__aarch64__)
    const std::string machine = "-triple aarch64-unknown-linux-gnu -target-cpu generic";
#else
    const std::string machine = "-triple x86_64-unknown-linux-gnu -target-cpu x86-64";
#endif
    return {.backend = "clang",
            .target = "host",
            .name = "mhc_test.cpp",
            .source = source,
            .options = words(machine + " -emit-obj -mrelocation-model pic -pic-level 2 -fvisibility=hidden -nostdsysteminc "
                                       "-nobuiltininc -ffreestanding -O3 -std=c++17 -x c++")};
}

/// One service for all cases, as a program has; and what it knows.
compile_service& service()
{
    static const std::unique_ptr<compile_service> one = make_compile_service({});
    return *one;
}

bool can_compile(const std::string& backend, const std::string& target)
{
    for (const backend_info& info : service().backends())
        if (info.name == backend && info.available)
            return std::find(info.targets.begin(), info.targets.end(), target) != info.targets.end();
    MESSAGE("not run: no " << backend << " for " << target << " here");
    return false;
}

void check_kernel(const compile_job& job)
{
    if (!can_compile(job.backend, job.target)) return;
    const compile_result result = service().compile(job);
    CAPTURE(result.log);
    REQUIRE(result.status == compile_status::ok);
    CHECK(result.log.empty());
    CHECK(result.wall_ms > 0);
    CHECK(result.peak_rss_bytes > 0);
    CHECK(result.compiler_name.starts_with(job.backend + " "));
    CHECK(verify_code_object(result.code, job.target, "k"));
    CHECK(!verify_code_object(result.code, job.target == "gfx906" ? "gfx908" : "gfx906", "k"));
    const auto kernels = read_metadata(result.code);
    REQUIRE(kernels);
    REQUIRE(kernels->size() == 1);
    CHECK(kernels->front().name == "k");
    CHECK(kernels->front().args.size() >= 1);
    CHECK(kernels->front().resources.vgprs > 0);
    CHECK(kernels->front().resources.waves_per_simd >= 8);
    std::string why;
    const std::string text = service().disassemble(job.target, result.code, &why);
    if (can_compile("clang", job.target)) {
        CHECK(text.starts_with("k:\n"));
        CHECK(text.find("\n    s_endpgm\n") != std::string::npos);
    }
    CHECK(service().compile(job).code == result.code);  // equal jobs, equal bytes
}

}  // namespace

TEST_CASE("worker: kernels for AMD targets compile, verify and read back")
{
    SUBCASE("clang gfx942") { check_kernel(clang_job("gfx942")); }
    SUBCASE("clang gfx90a") { check_kernel(clang_job("gfx90a")); }
    SUBCASE("clang gfx1100") { check_kernel(clang_job("gfx1100")); }
    SUBCASE("clang gfx1201") { check_kernel(clang_job("gfx1201")); }
    SUBCASE("hiprtc gfx90a") { check_kernel(hiprtc_job("gfx90a")); }
    SUBCASE("hiprtc gfx1030") { check_kernel(hiprtc_job("gfx1030")); }
}

TEST_CASE("worker: the wavefronts of a SIMD are those the compiler reports")
{
    const std::string head = "extern \"C\" __attribute__((global, amdgpu_flat_work_group_size(";
    const std::string body = "))) void k(float* p) { unsigned i = __builtin_amdgcn_workitem_id_x(); ";
    const std::vector<std::string> kernels{
        head + "64,64" + body + "p[i] = 1; }", head + "128,128" + body + "p[i] = 1; }",
        head + "256,256" + body +
            "float v[96]; for (int j = 0; j < 96; ++j) v[j] = p[i + 256 * j]; __builtin_amdgcn_s_barrier(); "
            "for (int j = 0; j < 96; ++j) p[i + 256 * (95 - j)] = v[j] * v[(j * 7) % 96]; }",
        head + "256,256" + body +
            "__attribute__((shared)) static float s[5000]; s[i] = p[i]; __builtin_amdgcn_s_barrier(); p[i] = s[255 - i]; }"};
    for (const std::string target :
         {"gfx908", "gfx90a", "gfx942", "gfx950", "gfx1030", "gfx1100", "gfx1102", "gfx1201", "gfx1250"}) {
        if (!can_compile("clang", target)) continue;
        for (const std::string& source : kernels) {
            CAPTURE(target);
            CAPTURE(source);
            compile_job job = clang_job(target, source);
            job.options.push_back("-Rpass-analysis=kernel-resource-usage");
            const compile_result result = service().compile(job);
            CAPTURE(result.log);
            REQUIRE(result.status == compile_status::ok);
            const std::string mark = "Occupancy [waves/SIMD]: ";
            const std::size_t at = result.log.find(mark);
            REQUIRE(at != std::string::npos);
            const auto read = read_metadata(result.code);
            REQUIRE(read);
            CHECK(read->front().resources.waves_per_simd == std::stoul(result.log.substr(at + mark.size())));
        }
    }
}

TEST_CASE("worker: 2,000 mutations of a compiled object are read or refused")
{
    const bool has_clang = can_compile("clang", "gfx90a");
    if (!has_clang && !can_compile("hiprtc", "gfx90a")) return;
    const std::string good = service().compile(has_clang ? clang_job("gfx90a") : hiprtc_job("gfx90a")).code;
    REQUIRE(!good.empty());
    std::mt19937 random(20260103);
    int accepted = 0;
    for (int round = 0; round < 2000; ++round) {
        std::string bytes = good;
        for (unsigned i = 1 + random() % 16; i > 0; --i) bytes[random() % bytes.size()] = static_cast<char>(random());
        if (random() % 8 == 0) bytes.resize(random() % bytes.size());
        accepted += read_metadata(bytes) ? 1 : 0;
        accepted += verify_code_object(bytes, "gfx90a", "k") ? 1 : 0;
    }
    CHECK(accepted > 0);
    CHECK(accepted < 4000);
}

TEST_CASE("worker: a host object is a shared object that needs nothing")
{
    if (!can_compile("clang", "host")) return;
    const std::string head = "extern \"C\" __attribute__((visibility(\"default\"))) ";
    const compile_result result = service().compile(
        host_job(head + "int k(const int* p, int n) { int s = 0; for (int i = 0; i < n; ++i) s += p[i]; return s; }"));
    CAPTURE(result.log);
    REQUIRE(result.status == compile_status::ok);
    CHECK(verify_code_object(result.code, "host", "k"));
    CHECK(verify_code_object(result.code, "host:x86-64-v3", "k"));
    CHECK(!verify_code_object(result.code, "host", "other"));
    CHECK(!verify_code_object(result.code, "gfx942", "k"));
    CHECK(!read_metadata(result.code));
    std::string why;
    CHECK(service().disassemble("host", result.code, &why).starts_with("k:\n"));

    // memset is allowed, anything else is the object's fault and named.
    const compile_result clears =
        service().compile(host_job(head + "void k(char* p, long n) { __builtin_memset(p, 0, n); }"));
    REQUIRE(clears.status == compile_status::ok);
    CHECK(verify_code_object(clears.code, "host", "k"));
    const compile_result calls =
        service().compile(host_job("extern \"C\" double sin(double); " + head + "double k(double x) { return sin(x); }"));
    REQUIRE(calls.status == compile_status::ok);
    const auto verified = verify_code_object(calls.code, "host", "k");
    REQUIRE(!verified);
    CHECK(verified.error().message.find("sin") != std::string::npos);
}

TEST_CASE("worker: a mistake in the source comes back as the compiler's words")
{
    for (const compile_job& job : {clang_job("gfx942", "extern \"C\" void k() { return y; }"),
                                   hiprtc_job("gfx90a", "extern \"C\" void k() { return y; }")}) {
        if (!can_compile(job.backend, job.target)) continue;
        const compile_result result = service().compile(job);
        CHECK(result.status == compile_status::compile_error);
        CHECK(result.code.empty());
        CHECK(result.log.find("undeclared identifier 'y'") != std::string::npos);
    }
}

TEST_CASE("worker: what a compiler does not know is an error with its name")
{
    for (const compile_job& job : {clang_job("gfx9999"), hiprtc_job("gfx9999")}) {
        if (!can_compile(job.backend, "gfx90a")) continue;
        const compile_result result = service().compile(job);
        CHECK(result.status == compile_status::compile_error);
        CHECK(result.log.find("gfx9999") != std::string::npos);
    }
    compile_job foreign = clang_job("gfx942");
    foreign.backend = "nvcc";
    CHECK(service().compile(foreign).status == compile_status::no_compiler);
    if (can_compile("clang", "gfx942")) {
        compile_job job = clang_job("gfx942");
        job.options.push_back("-mllvm");
        job.options.push_back("-enable-misched=false");
        CHECK(service().compile(job).status == compile_status::compile_error);
        job.options = {"-no-such-option"};
        CHECK(service().compile(job).log.find("no-such-option") != std::string::npos);
        job = clang_job(
            "gfx942", "extern \"C\" __attribute__((global)) void k(float* p) { extern float sinf(float); *p = sinf(*p); }");
        CHECK(service().compile(job).status == compile_status::compile_error);  // an undefined symbol, by the linker
        CHECK(service().compile(clang_job("gfx942")).status == compile_status::ok);
    }
    std::string why;
    CHECK(service().disassemble("gfx942", "no ELF file", &why).empty());
    CHECK(!why.empty());
}

TEST_CASE("worker: threads get the same bytes, from workers that outlive the threads")
{
    if (!can_compile("clang", "gfx942")) return;
    std::mutex mutex;
    std::set<std::string> started, codes;
    service_options options;
    options.jobs_max = 4;
    options.log = [&](int, std::string_view line) {
        const std::lock_guard lock(mutex);
        if (line.starts_with("started")) started.emplace(line);
    };
    const auto own = make_compile_service(options);
    for (int round = 0; round < 3; ++round) {
        std::vector<std::thread> threads;
        for (int t = 0; t < 4; ++t) {
            threads.emplace_back([&] {
                const compile_result result = own->compile(clang_job("gfx942"));
                const std::lock_guard lock(mutex);
                codes.insert(result.code);
            });
        }
        for (std::thread& thread : threads) thread.join();
    }
    CHECK(codes.size() == 1);
    CHECK(!codes.begin()->empty());
    CHECK(started.size() <= 4);
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // no limit there: see the worker's limit_memory
TEST_CASE("worker: a job's memory is limited, and the next job does not feel it")
{
    if (!can_compile("clang", "gfx942")) return;
    service_options options;
    options.memory_max_bytes = 24 << 20;
    const auto own = make_compile_service(options);
    const std::string greedy =
        "template <unsigned long N> struct s { s<N - 1> a; s<N - 2> b; }; template <> struct s<0> {}; "
        "template <> struct s<1> {}; constexpr int f(int n) { return n < 2 ? n : f(n - 1) + f(n - 2); } " +
        [] {
            std::string many;
            for (int i = 0; i < 200000; ++i) many += "int v" + std::to_string(i) + "(int a) { return a + 1; } ";
            return many;
        }();
    const compile_result result = own->compile(clang_job("gfx942", greedy));
    CAPTURE(result.log);
    CHECK(result.status == compile_status::out_of_memory);
    CHECK(own->compile(clang_job("gfx942")).status == compile_status::ok);
}

#endif

TEST_CASE("worker: identities are those of the compilers' files")
{
    const std::vector<backend_info> all = service().backends();
    REQUIRE(all.size() == 3);
    CHECK(all[0].name == "clang");
    CHECK(all[1].name == "hiprtc");
    CHECK(all[2].name == "nvrtc");
    std::set<std::string> prints;
    for (const backend_info& info : all) {
        if (!info.available) {
            CHECK(!info.why_not.empty());
            continue;
        }
        CHECK(!info.version.empty());
        CHECK(!info.targets.empty());
        CHECK(!info.files.empty());
        CHECK(info.identity.descr.find("\"backend\":\"" + info.name + "\"") != std::string::npos);
        prints.insert(mhc::cache::to_hex(info.identity.fingerprint));
        const compile_job job = info.name == "clang"    ? clang_job("gfx90a")
                                : info.name == "hiprtc" ? hiprtc_job("gfx90a")
                                                        : nvrtc_job("sm_80");
        const compile_result result = service().compile(job);
        CHECK(result.compiler.fingerprint == info.identity.fingerprint);
        CHECK(result.compiler.descr == info.identity.descr);
        CHECK(result.compiler_name == info.name + " " + info.version);
        for (const auto& file : info.files) {
            CHECK(file.size > 0);
            CHECK(file.mtime_ns > 0);
        }
    }
    CHECK(prints.count(std::string(64, '0')) == 0);
}

TEST_CASE("worker: it ends when the program that started it does")
{
    if (service().worker_path().empty()) return;
    int ends[2];
    REQUIRE(::pipe(ends) == 0);
    const pid_t child = ::fork();
    if (child == 0) {
        service_options options;
        options.log = [&](int, std::string_view line) {
            int pid = 0;
            if (std::sscanf(std::string(line).c_str(), "started compile worker %d", &pid) == 1) [[maybe_unused]]
                const ssize_t put = ::write(ends[1], &pid, sizeof pid);
        };
        const auto own = make_compile_service(options);
        own->compile(clang_job("gfx942"));
        ::_exit(0);  // no destructor runs
    }
    int status = 0, worker = 0;
    ::waitpid(child, &status, 0);
    REQUIRE(::read(ends[0], &worker, sizeof worker) == sizeof worker);
    ::close(ends[0]);
    ::close(ends[1]);
    const auto is_gone = [&] {
        std::ifstream in("/proc/" + std::to_string(worker) + "/stat");
        std::string pid, name, state;
        return !(in >> pid >> name >> state) || state == "Z";
    };
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (!is_gone() && std::chrono::steady_clock::now() < deadline) ::usleep(2000);
    CHECK(is_gone());
}

TEST_CASE("worker: by hand it says what it is")
{
    if (service().worker_path().empty()) return;
    const auto run = [&](const std::string& arguments) {
        std::FILE* const pipe = ::popen((service().worker_path() + " " + arguments + " 2>&1").c_str(), "r");
        std::string text(4096, '\0');
        text.resize(std::fread(text.data(), 1, text.size(), pipe));
        return std::pair(WEXITSTATUS(::pclose(pipe)), text);
    };
    CHECK(run("").first == 2);
    CHECK(run("").second.find("the library starts it") != std::string::npos);
    CHECK(run("--socket 0 --parent 1").first == 2);
    CHECK(run("--socket nonsense --parent 1").first == 2);
    CHECK(run("--help").first == 0);
    CHECK(run("--version").second.starts_with("mhc-jitc "));
}
