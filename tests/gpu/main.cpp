// tests/gpu/main.cpp -- runs the tests on the GPU that is here. Exit status 77: there is none, and the line says why.
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <cstdio>
#include <cstdlib>

#include <mhc/jit/engine.hpp>

int main(int count, char** arguments)
{
    std::string why;
    mhc::jit::engine_options options;
    if (const char* named = std::getenv("MHC_TEST_TARGET"); named != nullptr && *named != '\0') options.target = named;
    options.level = mhc::jit::log_level::info;
    options.log = [&](mhc::jit::log_level, std::string_view line) { why += line; };
    const auto engine = mhc::jit::engine::create(options);
    const std::string target = engine ? (*engine)->target() : "none";
    if (!engine || target == "host") {
        std::printf("not run: %s\n", engine ? why.c_str() : engine.error().message.c_str());
        return 77;
    }
    std::printf("%s\n", why.c_str());
    // The session of the numerical tests reads it: the target that was found, not whichever is found then.
    setenv("MHC_TEST_TARGET", target.c_str(), 1);
    return doctest::Context(count, arguments).run();
}
