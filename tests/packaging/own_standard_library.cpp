// tests/packaging/own_standard_library.cpp -- a program with a standard library of its own, whose threads ask a shared
// mhc_jit, with its own too, for layers: each must use its own copies of what headers define, since thread-local variables
// are others.
#include <cstdio>
#include <filesystem>
#include <future>
#include <vector>

#include <mhc/jit.hpp>

int main(int argc, char** argv)
{
    if (argc != 2) return 2;
    std::filesystem::remove_all(argv[1]);
    mhc::jit::engine_options options = mhc::jit::engine_options::from_environment().value();
    options.target = "host";
    options.cache_dir = argv[1];
    const auto made = mhc::jit::engine::create(options);
    if (!made) {
        std::fprintf(stderr, "%s\n", made.error().message.c_str());
        return 1;
    }
    std::vector<std::future<bool>> layers;
    for (const int hidden_dim : {64, 128}) {
        layers.push_back(std::async(std::launch::async, [&, hidden_dim] {
            mhc::jit::layer_spec spec;
            spec.hidden_dim = hidden_dim;
            spec.n_streams = 2;
            spec.wanted = mhc::jit::operations{mhc::jit::operation::expand_fwd};
            return made.value()->layer(spec).has_value();
        }));
    }
    int good = 0;
    for (auto& one : layers) good += one.get() ? 1 : 0;
    std::printf("%d of 2 layers\n", good);
    return good == 2 ? 0 : 1;
}
