// runtime/prebuilt_output.cpp -- the files that ship, of the same bytes wherever they are made.
#include "runtime/prebuilt_output.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>

#include <nlohmann/json.hpp>

#include "cache/signature.hpp"
#include "runtime/toolchain_memory.hpp"

namespace mhc::runtime {
namespace {

using jit::errc;
using jit::failure;

std::string hex_of_file(const std::string& path)
{
    std::ifstream file(path, std::ios::binary);
    const std::string bytes((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
    return cache::to_hex(cache::sha256(bytes));
}

/// What a database holds and which file it belongs to; no time, no path, so that two runs are equal.
std::string manifest_of(const std::string& target, const std::string& database, const std::vector<cache::code_row>& rows)
{
    std::set<std::string> compilers;
    nlohmann::json manifest;
    for (const cache::code_row& row : rows) {
        compilers.insert(compiler_name_of(row.compiler));
        manifest["kernels"].push_back({{"symbol", row.symbol},
                                       {"key", cache::to_hex(row.key)},
                                       {"key_without_toolchain", cache::to_hex(row.key_nofp)}});
    }
    manifest["format"] = 1;
    manifest["target"] = target;
    manifest["compiler"] = fmt::format("{}", fmt::join(compilers, ", "));
    manifest["database"] = std::filesystem::path(database).filename().string();
    manifest["database_sha256"] = hex_of_file(database);
    return manifest.dump(1) + '\n';
}

jit::result<void> write_file(const std::string& path, const std::string& bytes)
{
    const std::string temporary = fmt::format("{}.{}.tmp", path, getpid());
    std::ofstream file(temporary, std::ios::binary);
    file << bytes;
    file.close();
    if (file && std::rename(temporary.c_str(), path.c_str()) == 0) return {};
    std::remove(temporary.c_str());
    return failure{errc::compile_failed, fmt::format("{}: cannot be written", path)};
}

}  // namespace

jit::result<void> check_signing_key(const std::string& pem)
{
    std::string why;
    if (pem.empty() || cache::is_private_key(pem, &why)) return {};
    return failure{errc::bad_spec, "signing key: " + why};
}

jit::result<void> write_prebuilt(std::vector<cache::code_row> rows, const jit::prebuild_options& options,
                                 jit::prebuild_report& report)
{
    std::error_code ignored;
    std::filesystem::create_directories(options.out_dir, ignored);
    std::sort(rows.begin(), rows.end(), [](const auto& a, const auto& b) { return a.key < b.key; });
    const std::string stem = fmt::format("{}/mhc_{}", options.out_dir, report.target);
    const std::string database = stem + ".db", manifest = stem + ".json", signature = manifest + ".sig";
    // An old manifest would turn the new database away, as an old signature would the new manifest: they go first.
    for (const std::string& old : {signature, manifest}) std::filesystem::remove(old, ignored);
    std::string why;
    if (!cache::write_prebuilt_database(database, rows, &why))
        return failure{errc::compile_failed, fmt::format("{}: {}", database, why)};
    const std::string text = manifest_of(report.target, database, rows);
    if (auto ok = write_file(manifest, text); !ok) return ok;
    if (!options.signing_key.empty()) {
        const auto signed_text = cache::sign(options.signing_key, text, &why);
        if (!signed_text) return failure{errc::compile_failed, fmt::format("{}: {}", signature, why)};
        if (auto ok = write_file(signature, *signed_text); !ok) return ok;
        report.signature = signature;
    }
    report.database = database;
    report.manifest = manifest;
    report.bytes = static_cast<std::int64_t>(std::filesystem::file_size(database, ignored));
    return {};
}

}  // namespace mhc::runtime
