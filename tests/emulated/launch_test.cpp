// tests/emulated/launch_test.cpp -- the targets as a user has them: the same keys as a GPU's, both compilers' objects, clear
// faults.
#include <doctest/doctest.h>

#include <mhc/jit.hpp>

#include <cstdlib>
#include <string>
#include <vector>

using namespace mhc;

namespace {

jit::engine_options options_of(const std::string& target, jit::compiler_backend backend = jit::compiler_backend::automatic)
{
    jit::engine_options made;
    made.target = target;
    made.backend = backend;
    made.cache_dir = MHC_TEST_CACHE_DIR;
    if (const char* dir = std::getenv("MHC_JIT_DIR"); dir != nullptr && *dir != '\0') made.cache_dir = dir;
    return made;
}

jit::layer_spec expand_spec()
{
    jit::layer_spec spec;
    spec.hidden_dim = 1280;
    spec.n_streams = 4;
    spec.dtype = jit::dtype::fp32;
    spec.wanted = jit::operations{jit::operation::expand_fwd};
    return spec;
}

/// Memory of a device, given back.
class buffer {
public:
    buffer(jit::device& on, std::size_t bytes) : on_(on), memory_(on.allocate(bytes).value()) {}
    ~buffer() { on_.release(memory_); }
    buffer(const buffer&) = delete;
    buffer& operator=(const buffer&) = delete;
    void* get() const { return memory_; }

private:
    jit::device& on_;
    void* memory_;
};

/// Expands one token of ones; what came back, or the failure.
jit::result<std::vector<float>> expand(const std::string& target, jit::compiler_backend backend, std::size_t out_bytes)
{
    const auto engine = jit::engine::create(options_of(target, backend)).value();
    const jit::compiled_layer layer = engine->layer(expand_spec()).value();
    const auto device = jit::device::open(target).value();
    const std::vector<float> ones(1280, 1.0F);
    const buffer h(*device, 1280 * 4), x(*device, out_bytes);
    device->upload(h.get(), ones.data(), 1280 * 4).value();
    jit::expand_fwd_args args;
    args.h = h.get();
    args.x = x.get();
    args.tokens = 1;
    if (auto ok = layer.expand_fwd(args); !ok) return ok.error();
    std::vector<float> got(4 * 1280);
    device->download(got.data(), x.get(), got.size() * 4).value();
    return got;
}

}  // namespace

TEST_CASE("emulator: a target has its processor's keys and code, and a name of its own")
{
    const auto engine = jit::engine::create(options_of("emu:gfx942")).value();
    CHECK(engine->target() == "emu:gfx942");
    CHECK(engine->layer(expand_spec()).value().target() == "emu:gfx942");
    CHECK(jit::device::open("emu:gfx942").value()->id() == "emu:gfx942");
    const auto key_on = [](const char* target) {
        return jit::describe(jit::operation::expand_fwd, expand_spec(), target, 1, false).value().launches.front().key;
    };
    CHECK(key_on("emu:gfx942") == key_on("gfx942"));
    CHECK(key_on("emu:gfx1100") != key_on("gfx942"));
}

TEST_CASE("emulator: targets that cannot be are refused in one clear line")
{
    const auto why = [](const char* target) { return jit::engine::create(options_of(target)).error().message; };
    CHECK(why("emu:gfx1030").find("the emulator has gfx90a, gfx942, gfx1100 and gfx1200, not gfx1030") != std::string::npos);
    CHECK(why("emu:sm_90").find("only AMD GPUs are emulated") != std::string::npos);
    CHECK(why("emu:host").find("not known") != std::string::npos);
}

TEST_CASE("emulator: objects of Clang and of HIPRTC run, each in its own version of the format")
{
    // The ELF's ABI version is that of the code object less one: HIPRTC 5.2 makes 4, Clang 19 makes 5.
    const auto made_by = [](jit::compiler_backend backend) {
        return jit::describe(jit::operation::expand_fwd, expand_spec(), "gfx90a", 1, true, options_of("gfx90a", backend))
            .value()
            .launches.front();
    };
    const auto version_of = [](const std::string& object) { return static_cast<int>(object.at(8)) + 2; };
    bool has_run = false;
    for (const jit::toolchain_info& compiler : jit::toolchains()) {
        const bool is_clang = compiler.name == "clang";
        if (!compiler.available || (!is_clang && compiler.name != "hiprtc")) continue;
        CAPTURE(compiler.name);
        const auto backend = is_clang ? jit::compiler_backend::clang : jit::compiler_backend::hiprtc;
        const auto made = made_by(backend);
        CAPTURE(made.compiler);
        CHECK(made.compiler.find(is_clang ? "clang " : "hiprtc") != std::string::npos);
        if (is_clang) CHECK(version_of(made.code_object) == 5);
        if (compiler.version.starts_with("5.2")) CHECK(version_of(made.code_object) == 4);
        const auto got = expand("emu:gfx90a", backend, 4 * 1280 * 4);
        CHECK(got.value() == std::vector<float>(4 * 1280, 1.0F));
        has_run = true;
    }
    CHECK(has_run);
}

TEST_CASE("emulator: a store past the end of a buffer is a failed launch that names everything")
{
    for (const char* target : {"emu:gfx90a", "emu:gfx942", "emu:gfx1100", "emu:gfx1200"}) {
        CAPTURE(target);
        const auto got = expand(target, jit::compiler_backend::automatic, 4 * 1280 * 4 - 16);
        REQUIRE_FALSE(got);
        CHECK(got.error().code == jit::errc::launch_failed);
        const std::string& why = got.error().message;
        for (const char* part : {"mhc_expand_n4_c1280_fp32_", "work-group 1, wave ", "global_store_", "lane ",
                                 "a write of 16 bytes", "0 bytes past the end of buffer ", "(20464 bytes at 0x"}) {
            CAPTURE(part);
            CAPTURE(why);
            CHECK(why.find(part) != std::string::npos);
        }
    }
}

TEST_CASE("emulator: memory that was released is no memory")
{
    const auto device = jit::device::open("emu:gfx942").value();
    void* const memory = device->allocate(64).value();
    device->release(memory);
    char byte = 0;
    CHECK_FALSE(device->download(&byte, memory, 1));
}
