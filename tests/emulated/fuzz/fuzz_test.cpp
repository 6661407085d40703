// tests/emulated/fuzz/fuzz_test.cpp -- random code gives the same bits on this CPU and on every emulated processor.
//
// MHC_FUZZ_SEEDS=FIRST:COUNT chooses the seeds, 1:20 without it. MHC_FUZZ_SOURCE=FILE gets the text that is compiled.
#include <dlfcn.h>
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <cstdlib>
#include <fstream>
#include <map>

#include "codegen/compile_options.hpp"
#include "codegen/target.hpp"
#include "emulator/handlers.hpp"
#include "emulator/launch.hpp"
#include "runtime/compile_service.hpp"
#include "tests/emulated/fuzz/generate.hpp"
#include "tests/support/temporary_directory.hpp"

using namespace mhc;
using namespace mhc::emulator::fuzz;

namespace {

constexpr int items = 128;

std::vector<generated> chosen_programs()
{
    std::uint64_t first = 1, count = 20;
    if (const char* text = std::getenv("MHC_FUZZ_SEEDS"); text != nullptr && *text != '\0') {
        char* end = nullptr;
        first = std::strtoull(text, &end, 10);
        count = *end == ':' ? std::strtoull(end + 1, nullptr, 10) : 1;
    }
    std::vector<generated> all;
    for (std::uint64_t i = 0; i < count; ++i) all.push_back(generate(first + i));
    return all;
}

std::string compile(const std::string& processor, const std::string& source)
{
    static const auto& service = *new std::unique_ptr<runtime::compile_service>(runtime::make_compile_service({}));
    const codegen::target on = codegen::parse_target(processor).value();
    runtime::compile_job job{"clang", processor, "fuzz.hip", source, codegen::compile_options("clang", on)};
    std::erase_if(job.options, [](const std::string& option) { return option.starts_with("-W"); });
    job.options.insert(job.options.end(), {"-fwrapv", "-w"});
    const runtime::compile_result made = service->compile(job);
    REQUIRE_MESSAGE(made.status == runtime::compile_status::ok, made.log);
    return made.code;
}

/// A shared object of the host, from the bytes.
class host_object {
public:
    explicit host_object(const std::string& code)
    {
        const std::string path = folder_.path() + "/fuzz.so";
        std::ofstream(path, std::ios::binary) << code;
        library_ = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
        REQUIRE_MESSAGE(library_ != nullptr, ::dlerror());
    }
    ~host_object() { ::dlclose(library_); }
    host_object(const host_object&) = delete;
    host_object& operator=(const host_object&) = delete;

    using function = void (*)(const std::uint64_t* own, const std::uint64_t* shared, std::uint64_t* out,
                              std::uint64_t items);
    function find(const std::string& name) const { return reinterpret_cast<function>(::dlsym(library_, name.c_str())); }

private:
    test::temporary_directory folder_;
    void* library_ = nullptr;
};

using words = std::vector<std::uint64_t>;

/// Empty: done; else what went wrong.
std::string run_emulated(const emulator::code_image& image, const std::string& name, const words& own, const words& shared,
                         words& out)
{
    static runtime::thread_pool& threads = *new runtime::thread_pool;
    emulator::memory_map memory;
    const auto region = [&](const words& of, const char* what, bool is_writable) {
        memory.add({reinterpret_cast<std::uintptr_t>(of.data()), of.size() * sizeof(of[0]), what, is_writable});
    };
    region(own, "inputs", false);
    region(shared, "shared inputs", false);
    region(out, "outputs", true);
    const std::array<std::uintptr_t, 3> arguments{reinterpret_cast<std::uintptr_t>(own.data()),
                                                  reinterpret_cast<std::uintptr_t>(shared.data()),
                                                  reinterpret_cast<std::uintptr_t>(out.data())};
    const emulator::kernel_entry* kernel = image.find(name);
    if (kernel == nullptr) return "there is no kernel " + name;
    const auto done = emulator::launch({.image = &image,
                                        .kernel = kernel,
                                        .groups = items / 64,
                                        .block = 64,
                                        .arguments = arguments.data(),
                                        .argument_bytes = sizeof(arguments),
                                        .instructions_max = 10'000'000},
                                       std::move(memory), threads);
    return done ? "" : done.error().message;
}

/// Lines that say what differs, and how to see it again.
int compare(const generated& program, const std::string& processor, const words& expected, const words& got)
{
    for (std::size_t output = 0; output < program.statements.size(); ++output)
        for (std::size_t item = 0; item < items; ++item) {
            const std::size_t at = item * output_words + output;
            if (expected[at] == got[at]) continue;
            FAIL_CHECK(fmt::format("MHC_FUZZ_SEEDS={}:1, {}, work-item {}: {:#x} on the host, {:#x} emulated, of {}",
                                   program.seed, processor, item, expected[at], got[at], program.statements[output]));
            return 1;  // what follows from it differs too
        }
    return 0;
}

/// The lines of the code that no handler knows, one of each name.
std::string unknown_in(const emulator::program& code)
{
    std::map<std::string, std::string> lines;
    for (std::size_t i = 0; i < code.operations.size(); ++i) {
        const std::string& text = code.texts[i];
        const bool is_code = text != "no instruction" && text != "the end of the code";  // padding, the sentinel
        if (is_code && code.operations[i].run == emulator::run_unknown) lines.emplace(text.substr(0, text.find(' ')), text);
    }
    std::string all;
    for (const auto& [name, line] : lines) all += "\n" + line;
    return all;
}

void check(const std::string& processor)
{
    const std::vector<generated> programs = chosen_programs();
    const std::string source = source_of(programs);
    if (const char* path = std::getenv("MHC_FUZZ_SOURCE"); path != nullptr) std::ofstream(path) << source;
    const host_object host(compile("host:x86-64-v3", source));
    const auto image = emulator::load_image(compile(processor, source), processor);
    REQUIRE_MESSAGE(image, (image ? "" : image.error().message));
    CHECK(unknown_in(*(*image)->code) == "");
    int different = 0;
    for (const generated& program : programs) {
        const std::string name = fmt::format("fuzz_{}", program.seed);
        const words own = inputs_of(program.seed, items), shared = inputs_of(program.seed + 1'000'000, 1);
        words expected(items * output_words), got(items * output_words);
        host.find(name)(own.data(), shared.data(), expected.data(), items);
        const std::string why = run_emulated(**image, name, own, shared, got);
        if (!why.empty()) FAIL_CHECK(fmt::format("MHC_FUZZ_SEEDS={}:1, {}: {}", program.seed, processor, why));
        different += why.empty() ? compare(program, processor, expected, got) : 1;
    }
    MESSAGE(processor << ": " << programs.size() << " seeds of " << items << " work-items, " << different << " differ");
}

}  // namespace

TEST_CASE("fuzz: random code gives the host's bits on gfx90a") { check("gfx90a"); }
TEST_CASE("fuzz: random code gives the host's bits on gfx942") { check("gfx942"); }
TEST_CASE("fuzz: random code gives the host's bits on gfx1100") { check("gfx1100"); }
TEST_CASE("fuzz: random code gives the host's bits on gfx1200") { check("gfx1200"); }
