// tools/mhc-bench/first_use.cpp -- what a layer costs the first time: with an empty cache, and with a full one.
#include "tools/mhc-bench/first_use.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include <fmt/format.h>

#include "tools/common/tool.hpp"

namespace mhc::tools {
namespace {

class temporary_folder {
public:
    temporary_folder() : path_((std::filesystem::temp_directory_path() / "mhc_bench_XXXXXX").string())
    {
        if (mkdtemp(path_.data()) == nullptr) fail(fmt::format("cannot make {}: {}", path_, std::strerror(errno)));
    }
    ~temporary_folder()
    {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }
    temporary_folder(const temporary_folder&) = delete;
    temporary_folder& operator=(const temporary_folder&) = delete;
    const std::string& path() const { return path_; }

private:
    std::string path_;
};

struct one_use {
    double milliseconds = 0;
    int compiled = 0;
    std::string target;
};

one_use time_one(const jit::engine_options& options, const jit::layer_spec& spec)
{
    const auto engine = jit::engine::create(options).value();
    const auto start = std::chrono::steady_clock::now();
    const jit::compiled_layer layer = engine->layer(spec).value();
    const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - start;
    return {took.count(), static_cast<int>(engine->stats().compiled), engine->target()};
}

bool is_same_layer(const bench_case& a, const bench_case& b)
{
    return a.op == b.op && a.spec.hidden_dim == b.spec.hidden_dim && a.spec.n_streams == b.spec.n_streams &&
           a.spec.dtype == b.spec.dtype;
}

}  // namespace

std::vector<first_use_row> time_first_uses(const jit::engine_options& options, const std::vector<bench_case>& cases)
{
    std::vector<first_use_row> rows;
    for (const bench_case& what : cases) {
        const auto is_done = [&](const first_use_row& row) { return is_same_layer(row.what, what); };
        if (std::any_of(rows.begin(), rows.end(), is_done)) continue;
        const temporary_folder folder;
        jit::engine_options fresh = options;
        fresh.cache_dir = folder.path();
        fresh.use_user_database = true;
        fresh.read_only = false;
        const one_use empty = time_one(fresh, what.spec);
        const one_use full = time_one(fresh, what.spec);
        rows.push_back({what, empty.target, empty.milliseconds, full.milliseconds, empty.compiled});
    }
    return rows;
}

}  // namespace mhc::tools
