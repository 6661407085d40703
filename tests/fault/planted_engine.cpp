// tests/fault/planted_engine.cpp -- makes engines that compile nothing and load nothing real.
#include "tests/fault/planted_engine.hpp"

#include <sstream>

#include "tests/fake_hip/fixture.hpp"

namespace mhc::testing {

jit::engine_options planted_options(const std::string& cache_dir)
{
    jit::engine_options options;
    options.target = "gfx942";
    options.device = 0;
    options.cache_dir = cache_dir;
    options.worker = MHC_PLANTED_WORKER;
    options.level = jit::log_level::off;
    return options;
}

void load_look_alike() { fresh_fake(); }

void refuse_every_module()
{
    const fake_runtime& fake = fresh_fake();
    for (int k = 1; k <= 20; ++k) fake.control.fail("hipModuleLoadData", k, 209);
}

std::unique_ptr<jit::engine> planted_engine(jit::engine_options options)
{
    return jit::engine::create(std::move(options)).value();
}

jit::layer_spec one_kernel(int number)
{
    jit::layer_spec spec;
    spec.hidden_dim = 64 + number;
    spec.n_streams = 2;
    spec.wanted = {jit::operation::expand_fwd};
    return spec;
}

cache::digest key_of(const jit::compiled_layer& layer)
{
    return cache::digest_from_hex(layer.kernels().front().key).value();
}

std::vector<std::vector<std::string>> words_of_lines(const std::string& path)
{
    std::vector<std::vector<std::string>> lines;
    std::ifstream in(path);
    for (std::string line; std::getline(in, line);) {
        std::istringstream words(line);
        std::vector<std::string>& into = lines.emplace_back();
        for (std::string word; words >> word;) into.push_back(word);
    }
    return lines;
}

std::size_t jobs_in(const std::string& path)
{
    std::size_t jobs = 0;
    for (const auto& line : words_of_lines(path)) jobs += line.front() == "begin" ? 1 : 0;
    return jobs;
}

}  // namespace mhc::testing
