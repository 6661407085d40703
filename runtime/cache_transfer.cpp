// runtime/cache_transfer.cpp -- objects that leave the user database, come into it, or go because nobody wants them.
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <map>
#include <set>

#include <nlohmann/json.hpp>

#include "cache/database_bytes.hpp"
#include "codegen/key.hpp"
#include "runtime/cache_tools.hpp"
#include "runtime/code_object.hpp"
#include "runtime/engine_impl.hpp"
#include "runtime/toolchain_memory.hpp"

namespace mhc::jit {

using namespace cache_tools;

std::string cache_tools::objection(const cache::code_row& row)
{
    const auto json = nlohmann::json::parse(row.key_json, nullptr, false);
    codegen::key_text key;
    if (!json.is_object()) return "its clear-text key is no JSON object";
    for (const auto& [name, value] : json.items()) {
        if (!value.is_string()) return "its clear-text key is none of this library's";
        key.fields[name] = value.get<std::string>();
    }
    if (cache::sha256(key.canonical()) != row.key) return "its key is not the hash of its clear text";
    key.fields.erase("toolchain");
    if (cache::sha256(key.canonical()) != row.key_nofp) return "its key without the compiler is another one's";
    if (!row.symbol.ends_with("_" + cache::to_hex(row.key_nofp).substr(0, 8))) return "its symbol is another kernel's";
    if (auto ok = runtime::verify_code_object(row.bytes, row.target, row.symbol); !ok) return ok.error().message;
    return {};
}

namespace {

constexpr std::int64_t day_s = 86400;

/// A copy that belongs to this user, so that the rules of trust are kept by all who read it.
class own_copy {
public:
    explicit own_copy(const std::string& file)
    {
        std::error_code error;
        const auto temporary = std::filesystem::temp_directory_path(error);
        std::string name = (temporary / "mhc-import-XXXXXX").string();
        if (error || mkdtemp(name.data()) == nullptr) {
            why = fmt::format("cannot make a folder in {}", temporary.string());
            return;
        }
        dir_ = name;
        if (!std::filesystem::copy_file(file, path(), error)) why = error.message();
        std::filesystem::permissions(path(), std::filesystem::perms::owner_read, error);
    }
    ~own_copy()
    {
        std::error_code ignored;
        if (!dir_.empty()) std::filesystem::remove_all(dir_, ignored);
    }
    own_copy(const own_copy&) = delete;
    own_copy& operator=(const own_copy&) = delete;
    std::string path() const { return dir_ + "/import.db"; }

    std::string why;  ///< empty: it is there

private:
    std::string dir_;
};

}  // namespace

namespace {

/// The whole rows of a store; the others are told.
std::vector<cache::code_row> whole_rows(cache::code_store& store, transfer_report& report)
{
    std::vector<cache::code_row> rows;
    for (const cache::code_row& row : store.list()) {
        auto whole = row_of(store, as_object(row));
        const std::string wrong = whole ? objection(*whole) : "its bytes are damaged";
        if (wrong.empty())
            rows.push_back(std::move(*whole));
        else
            report.refused.push_back(fmt::format("{}: {}", cache::to_hex(row.key), wrong));
    }
    report.copied = static_cast<std::int64_t>(rows.size());
    return rows;
}

/// Rows of others on their way into the user database.
class receiver {
public:
    receiver(cache::code_store& into, transfer_report& report) : into_(into), report_(report)
    {
        for (const cache::code_row& row : into.list()) present_.insert(row.key);
    }

    bool has(const cache::digest& key) const { return present_.contains(key); }
    void count_present() { ++report_.present; }
    void refuse(const cache::digest& key, const std::string& because)
    {
        report_.refused.push_back(fmt::format("{}: {}", cache::to_hex(key), because));
    }
    void take(const cache::code_row& row)
    {
        if (const std::string wrong = objection(row); !wrong.empty())
            refuse(row.key, wrong);
        else if (!into_.insert(row, false))
            refuse(row.key, "it could not be stored");
        else
            ++report_.copied;
    }

private:
    cache::code_store& into_;
    transfer_report& report_;
    std::set<cache::digest> present_;
};

}  // namespace

result<transfer_report> export_cache(const engine_options& options, const std::string& file, const std::string& database)
{
    const opened o = open(options, database);
    if (!o.store) return unusable(options, database, o.why);
    transfer_report report;
    const std::vector<cache::code_row> rows = whole_rows(*o.store, report);
    std::string why;
    if (!cache::write_prebuilt_database(file, rows, &why)) return failure{errc::bad_spec, fmt::format("{}: {}", file, why)};
    return report;
}

result<transfer_report> import_cache(const engine_options& options, const std::string& file, bool trust)
{
    std::optional<own_copy> copy;
    if (trust && copy.emplace(file).why.empty() == false)
        return failure{errc::bad_spec, fmt::format("{}: {}", file, copy->why)};
    std::string why;
    const auto from = cache::open_prebuilt_store(trust ? copy->path() : file, {}, &why);
    if (!from) return failure{errc::bad_spec, fmt::format("{}: {}", file, why)};
    const auto into = cache::open_user_store({.dir = cache::user_cache_dir(options.cache_dir),
                                              .read_only = options.read_only,
                                              .bytes_max = options.cache_bytes_max,
                                              .log = {}},
                                             &why);
    if (!into) return unusable(options, {}, why);
    if (!into->is_writable()) return unusable(options, {}, "cannot be written");
    transfer_report report;
    receiver to(*into, report);
    const std::vector<cache::code_row> rows = from->list();
    if (rows.empty() && from->counted().faults != cache::fault_counts{})
        return failure{errc::bad_spec, fmt::format("{}: it is damaged, and its objects cannot be listed", file)};
    for (const cache::code_row& row : rows) {
        if (to.has(row.key)) {
            to.count_present();
        } else if (const auto whole = row_of(*from, as_object(row))) {
            to.take(*whole);
        } else {
            to.refuse(row.key, "its bytes are damaged");
        }
    }
    return report;
}

result<std::string> engine::export_cache()
{
    cache::code_store* const from = impl_->objects.user_store_if_there();
    if (from == nullptr) return failure{errc::bad_spec, "this engine has no user database, and so nothing to export"};
    transfer_report report;
    const std::vector<cache::code_row> rows = whole_rows(*from, report);
    for (const std::string& line : report.refused) (*impl_->log)(log_level::warning, "not exported: " + line);
    std::string why, bytes = cache::bytes_of_rows(rows, &why);
    if (bytes.empty()) return failure{errc::bad_spec, fmt::format("{}: {}", from->path(), why)};
    return bytes;
}

result<transfer_report> engine::import_cache(std::string_view bytes)
{
    cache::code_store* const into = impl_->options.read_only ? nullptr : impl_->objects.user_store();
    if (into == nullptr || !into->is_writable())
        return failure{errc::bad_spec, "this engine has no user database that it may write, so nothing can be imported"};
    transfer_report report;
    receiver to(*into, report);
    std::string why;
    const bool is_read = cache::read_rows(
        bytes, [&](cache::code_row&& row) { to.has(row.key) ? to.count_present() : to.take(row); },
        [&](const cache::digest& key, const std::string& because) { to.refuse(key, because); }, &why);
    if (!is_read) return failure{errc::bad_spec, fmt::format("import_cache of {} bytes: {}", bytes.size(), why)};
    return report;
}

result<prune_report> prune_cache(const engine_options& options, const prune_options& what)
{
    prune_report report;
    const opened o = open(options, {}, true);
    if (!o.store && o.why == "missing") return report;
    if (!o.store) return unusable(options, {}, o.why);
    if (!o.store->is_writable()) return unusable(options, {}, "cannot be written");

    std::set<cache::digest> here;
    for (const cache::toolchain& each : o.store->known_toolchains()) here.insert(each.fingerprint);
    const std::int64_t now = std::time(nullptr);
    std::vector<cache::code_row> left = o.store->list();
    const auto remove_if = [&](const auto& is_unwanted) {
        std::vector<cache::digest> keys;
        std::erase_if(left, [&](const cache::code_row& row) {
            if (row.pinned || !is_unwanted(row)) return false;
            keys.push_back(row.key);
            return true;
        });
        return keys.empty() ? 0 : std::max<std::int64_t>(0, o.store->remove(keys));
    };
    const auto is_unused_for = [&](const cache::code_row& row, std::int64_t days) {
        return now - row.last_used >= days * day_s;
    };
    if (what.stale_days >= 0)
        report.stale = remove_if([&](const cache::code_row& row) {
            return !here.contains(row.compiler.fingerprint) && is_unused_for(row, what.stale_days);
        });
    if (what.unused_days >= 0)
        report.unused = remove_if([&](const cache::code_row& row) { return is_unused_for(row, what.unused_days); });
    const std::int64_t most = what.bytes_max.value_or(options.cache_bytes_max);
    std::stable_sort(left.begin(), left.end(), [](const auto& a, const auto& b) { return a.last_used < b.last_used; });
    for (const cache::code_row& row : left) {
        if (o.store->count().object_bytes <= most) break;
        if (!row.pinned) report.over += std::max<std::int64_t>(0, o.store->remove({row.key}));
    }
    const cache::code_store::counts counts = o.store->count();
    report.objects = counts.objects;
    report.object_bytes = counts.object_bytes;
    return report;
}

result<std::vector<stored_sum>> sum_cache(const engine_options& options, const std::string& database)
{
    auto list = list_cache(options, database);
    if (!list) return list.error();
    std::map<std::pair<std::string, std::string>, stored_sum> sums;
    for (const stored_object& each : *list) {
        stored_sum& sum = sums[{each.target, each.compiler}];
        sum.target = each.target;
        sum.compiler = each.compiler;
        ++sum.objects;
        sum.bytes += each.bytes;
        sum.uses += each.uses;
        sum.compile_ms += each.compile_ms;
    }
    std::vector<stored_sum> all;
    for (auto& [name, sum] : sums) all.push_back(std::move(sum));
    return all;
}

}  // namespace mhc::jit
