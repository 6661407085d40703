// runtime/prebuilt_merge.cpp -- databases of one target, made on several machines, into one.
#include <fmt/format.h>

#include <chrono>
#include <map>

#include "runtime/cache_tools.hpp"
#include "runtime/prebuilt_output.hpp"

namespace mhc::jit {
namespace {

/// A row and the file it came from.
struct sourced_row {
    cache::code_row row;
    std::string file;
};
using merged_rows = std::map<cache::digest, sourced_row>;

failure refused(const std::string& file, std::string_view why) { return {errc::bad_spec, fmt::format("{}: {}", file, why)}; }

result<void> add(const std::string& file, cache::code_row row, std::string& target, merged_rows& merged)
{
    const std::string key = cache::to_hex(row.key);
    if (target.empty()) target = row.target;
    if (row.target != target)
        return refused(file,
                       fmt::format("it holds objects for {}, and before it there were some for {}; merge one target at a "
                                   "time",
                                   row.target, target));
    if (const std::string wrong = cache_tools::objection(row); !wrong.empty())
        return refused(file, fmt::format("object {} cannot be merged: {}", key, wrong));
    const auto at = merged.find(row.key);
    if (at == merged.end()) {
        merged.emplace(row.key, sourced_row{std::move(row), file});
        return {};
    }
    if (at->second.row.bytes != row.bytes)
        return refused(file,
                       fmt::format("its object for the key {} ({}) differs from that of {}: compilers that say they are "
                                   "the same made different code; take one of the files away",
                                   key, row.symbol, at->second.file));
    // Two machines may describe one compiler differently; which description stays must not depend on the order.
    if (row.compiler.descr < at->second.row.compiler.descr) at->second.row.compiler = row.compiler;
    return {};
}

}  // namespace

result<prebuild_report> merge_prebuilt(const std::vector<std::string>& files, const prebuild_options& options)
{
    const auto start = std::chrono::steady_clock::now();
    if (files.empty()) return failure{errc::bad_spec, "merge: no database is named"};
    if (auto ok = runtime::check_signing_key(options.signing_key); !ok) return ok.error();
    prebuild_report report;
    merged_rows merged;
    for (const std::string& file : files) {
        std::string why;
        const auto store = cache::open_prebuilt_store(file, {}, &why, options.engine.prebuilt_key);
        if (!store) return refused(file, why);
        for (const cache::code_row& row : store->list()) {
            auto whole = cache_tools::row_of(*store, cache_tools::as_object(row));
            if (!whole) return refused(file, fmt::format("object {} is damaged", cache::to_hex(row.key)));
            if (auto ok = add(file, std::move(*whole), report.target, merged); !ok) return ok.error();
        }
    }
    if (merged.empty()) return refused(files.front(), "there is no object to merge");
    std::vector<cache::code_row> rows;
    for (auto& [key, one] : merged) rows.push_back(std::move(one.row));
    report.kernels_expected = report.kernels_produced = static_cast<int>(rows.size());
    if (auto ok = runtime::write_prebuilt(std::move(rows), options, report); !ok) return ok.error();
    report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    return report;
}

}  // namespace mhc::jit
