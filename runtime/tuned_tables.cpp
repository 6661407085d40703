// runtime/tuned_tables.cpp -- tables of tuned choices: the library's, and a file beside the user database.
#include "runtime/tuned_tables.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <optional>
#include <thread>

#include "cache/code_store.hpp"
#include "cache/file_descriptor.hpp"
#include "cache/file_lock.hpp"
#include "cache/trust.hpp"
#include "runtime/select_target.hpp"

namespace mhc::jit {
namespace {

constexpr std::int64_t table_bytes_max = 4 << 20;

failure unusable_table(const std::string& path, std::string_view why)
{
    return {errc::bad_spec, fmt::format("tuned choices: {}: {}", path, why)};
}

std::string last_error() { return std::strerror(errno); }

/// The whole file, through no link.
result<std::string> read_table(const std::string& path)
{
    const cache::file_descriptor file(open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
    if (!file) return unusable_table(path, last_error());
    std::string text;
    for (;;) {
        char part[4096];
        const ssize_t count = read(file.get(), part, sizeof part);
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) return unusable_table(path, last_error());
        if (count == 0) return text;
        text.append(part, static_cast<std::size_t>(count));
        if (static_cast<std::int64_t>(text.size()) > table_bytes_max)
            return unusable_table(path, "more than 4 MiB, which is no table of tuned choices");
    }
}

/// Writes beside the file and renames, so that a reader sees the old table or the new one.
result<void> write_table(const std::string& path, std::string_view text)
{
    const std::string temporary = fmt::format("{}.{}", path, getpid());
    unlink(temporary.c_str());
    {
        const cache::file_descriptor file(
            open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, S_IRUSR | S_IWUSR));
        if (!file) return unusable_table(path, last_error());
        while (!text.empty()) {
            const ssize_t count = write(file.get(), text.data(), text.size());
            if (count < 0 && errno == EINTR) continue;
            if (count < 0) {
                const failure why = unusable_table(path, last_error());
                unlink(temporary.c_str());
                return why;
            }
            text.remove_prefix(static_cast<std::size_t>(count));
        }
        fsync(file.get());
    }
    if (rename(temporary.c_str(), path.c_str()) == 0) return {};
    const failure why = unusable_table(path, last_error());
    unlink(temporary.c_str());
    return why;
}

bool is_of_same(const tuned_row& a, const tuned_row& b)
{
    return a.target == b.target && a.op == b.op && a.n_streams == b.n_streams && a.hidden_dim == b.hidden_dim &&
           a.dtype == b.dtype;
}

/// Two tools that store at once take turns; where locks are not to be had, the later one wins.
class turn {
public:
    explicit turn(const std::string& dir) : lock_(dir, byte)
    {
        using state = cache::file_lock::state;
        for (int i = 0; i < 200 && lock_.try_take() == state::held_elsewhere; ++i)
            std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }

private:
    static constexpr long long byte = 1;  // keys of kernels are 62 bits of a hash
    cache::file_lock lock_;
};

}  // namespace

const std::vector<tuned_row>& shipped_tuned()
{
    static const std::vector<tuned_row> rows = parse_tuned(codegen::shipped_tuning()).rows;
    return rows;
}

std::string tuned_path(const engine_options& options) { return cache::user_cache_dir(options.cache_dir) + "/mhc_tuned.csv"; }

result<tuned_lines> user_tuned(const engine_options& options)
{
    const std::string path = tuned_path(options);
    std::error_code ignored;
    if (!std::filesystem::exists(std::filesystem::symlink_status(path, ignored))) return tuned_lines{};
    std::string why;
    const auto dir = cache::trust_directory(std::filesystem::path(path).parent_path().string(), false, &why);
    if (!dir) return unusable_table(path, why);
    const std::string file = dir->path + "/mhc_tuned.csv";
    switch (cache::look_at_file(file, &why).trust) {
        case cache::file_trust::absent:
            return tuned_lines{};
        case cache::file_trust::refused:
            return unusable_table(path, why);
        case cache::file_trust::trusted:
            break;
    }
    const auto text = read_table(file);
    if (!text) return text.error();
    return parse_tuned(*text);
}

result<void> store_tuned(const engine_options& options, const std::vector<tuned_row>& rows)
{
    const std::string path = tuned_path(options);
    if (!options.use_user_database || options.read_only)
        return unusable_table(path, options.read_only ? "read_only is on (MHC_JIT_READONLY): turn it off to store"
                                                      : "use_user_database is off: nothing is stored");
    std::string why;
    const auto dir = cache::trust_directory(std::filesystem::path(path).parent_path().string(), true, &why);
    if (!dir) return unusable_table(path, why);
    if (!dir->is_writable) return unusable_table(path, "the folder cannot be written");
    const turn mine(dir->path);
    auto before = user_tuned(options);
    if (!before) return before.error();
    if (!before->problems.empty())  // to write the table anew would lose the line
        return unusable_table(path, before->problems.front() + "; correct the line or remove it, then store again");
    std::vector<tuned_row> all = std::move(before->rows);
    for (const tuned_row& row : rows) {
        std::erase_if(all, [&](const tuned_row& other) { return is_of_same(other, row); });
        all.push_back(row);
    }
    return write_table(dir->path + "/mhc_tuned.csv", format_tuned(all));
}

result<std::string> tuned_target(std::string_view target)
{
    const auto on = runtime::target_named(target);
    if (!on) return on.error();
    return codegen::tuned_name(*on);
}

result<std::vector<tuning>> tuning_candidates(operation op, const layer_spec& spec, std::string_view target)
{
    const auto on = runtime::target_named(target);
    if (!on) return on.error();
    return codegen::candidates(spec, *on, op);
}

}  // namespace mhc::jit

namespace mhc::runtime {

codegen::tuned_table shipped_choices(const codegen::target& on)
{
    codegen::tuned_table table(on);
    table.add(jit::shipped_tuned());
    return table;
}

codegen::tuned_table choices_of(const jit::engine_options& options, const codegen::target& on, const logger& log)
{
    codegen::tuned_table table = shipped_choices(on);
    if (options.strict || !options.use_user_database) return table;
    const auto user = jit::user_tuned(options);
    if (!user) {
        log(jit::log_level::warning, user.error().message + "; it is not used");
        return table;
    }
    for (const std::string& problem : user->problems)
        log(jit::log_level::warning,
            fmt::format("tuned choices: {}: {}; the line is not used", jit::tuned_path(options), problem));
    table.add(user->rows);
    return table;
}

}  // namespace mhc::runtime
