// examples/strict_prebuilt.cpp -- a program that ships its kernels and compiles none: mhc-prebuild's database in strict
// mode.
//
//   printf 'hidden_dim=1280 operators=pre_fwd,post_fwd\n' > shapes.txt
//   mhc-prebuild --archs gfx942 --shapes shapes.txt --out kernels
//   strict_prebuilt kernels gfx942
#include <cstdio>
#include <mhc/jit.hpp>
#include <string>

namespace jit = mhc::jit;

int main(int argc, char** argv)
try {
    if (argc != 3) {
        std::fprintf(stderr, "usage: strict_prebuilt FOLDER TARGET    (FOLDER: what mhc-prebuild --out wrote)\n");
        return 2;
    }
    jit::engine_options options = jit::engine_options::from_environment().value();
    options.prebuilt_dirs = {argv[1]};
    options.target = argv[2];
    options.strict = true;              // a kernel that is not there is an error, never a compilation
    options.use_user_database = false;  // nothing is read from, or written to, the home of whoever runs this
    const auto engine = jit::engine::create(options).value();

    // What was prebuilt is found, and where it came from can be seen.
    const jit::compiled_layer layer = jit::layer({.hidden_dim = 1280, .n_streams = 4}, *engine).value();
    for (const jit::kernel_info& kernel : layer.kernels())
        std::printf("%s: %s\n", kernel.symbol.c_str(), jit::to_string(kernel.from));

    // What was not is the error not_prebuilt, whose message names the kernel and what would make it.
    const auto missing = jit::layer({.hidden_dim = 1288, .n_streams = 4}, *engine);
    if (missing) return std::fprintf(stderr, "error: a layer came from nowhere\n"), 1;
    std::printf("%s: %s\n", jit::to_string(missing.error().code), missing.error().message.c_str());
    std::printf("compiled now: %d kernels\n", int(engine->stats().compiled));
    return missing.error().code == jit::errc::not_prebuilt && engine->stats().compiled == 0 ? 0 : 1;
} catch (const jit::exception& why) {
    std::fprintf(stderr, "error: %s\n", why.what());
    return 1;
}
