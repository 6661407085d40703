// cache/manifest.cpp -- hash and signature of a prebuilt database's manifest.
#include "cache/manifest.hpp"

#include <fmt/format.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include <nlohmann/json.hpp>

#include "cache/code_store.hpp"
#include "cache/signature.hpp"
#include "cache/trust.hpp"

namespace mhc::cache {
namespace {

std::optional<std::string> read_file(const std::string& path, std::string* why)
{
    std::ifstream in(path, std::ios::binary);
    std::string text{std::istreambuf_iterator<char>(in), {}};
    if (in && !in.bad()) return text;
    return *why = fmt::format("{} cannot be read", path), std::nullopt;
}

struct database_names {
    std::string named, reached;  ///< as it was asked for, and where links led
};

/// What stands beside the database under its own name or, if each file is linked by itself, under the one it was asked by.
file_reached beside(const database_names& database, const char* ending, std::string* why)
{
    const auto look = [&](const std::string& file) {
        return follow_to_file(std::filesystem::path(file).replace_extension(ending).string(), why);
    };
    file_reached found = look(database.named);
    return found.trust == file_trust::absent ? look(database.reached) : found;
}

bool is_signed(const database_names& database, const std::string& manifest, const std::string& signer, std::string* why)
{
    const file_reached file = beside(database, ".json.sig", why);
    if (file.trust == file_trust::absent)
        return *why = fmt::format("{} is not signed, and only databases signed by the demanded key are used: {}",
                                  database.named, *why),
               false;
    if (file.trust == file_trust::refused) return false;
    const auto signature = read_file(file.path, why);
    if (!signature) return false;
    std::string what;
    if (is_signed_by(signer, manifest, *signature, &what)) return true;
    return *why = fmt::format("{}: the signature {} is not the demanded key's: {}", database.named, file.path, what), false;
}

}  // namespace

std::optional<std::string> believed_file(const std::string& named, const std::string& signer, std::string* why)
{
    const file_reached file = follow_to_file(named, why);
    if (file.trust != file_trust::trusted) return std::nullopt;
    const database_names database{named, file.path};
    const file_reached beside_it = beside(database, ".json", why);
    if (beside_it.trust == file_trust::refused) return std::nullopt;
    if (beside_it.trust == file_trust::absent) {
        if (signer.empty()) return file.path;
        return *why = fmt::format("{} has no manifest, so it cannot be signed by the demanded key", named), std::nullopt;
    }
    const std::string& manifest = beside_it.path;
    const auto text = read_file(manifest, why);
    if (!text || (!signer.empty() && !is_signed(database, *text, signer, why))) return std::nullopt;
    const auto bytes = read_file(file.path, why);
    if (!bytes) return std::nullopt;
    const auto fields = nlohmann::json::parse(*text, nullptr, false);
    if (!fields.is_object() || !fields.contains("database_sha256") || !fields["database_sha256"].is_string())
        return *why = fmt::format("{} has no database_sha256", manifest), std::nullopt;
    const std::string is = to_hex(sha256(*bytes)), wanted = fields["database_sha256"].get<std::string>();
    if (is == wanted) return file.path;
    return *why = fmt::format("{} has SHA-256 {}, its manifest says {}", file.path, is, wanted), std::nullopt;
}

}  // namespace mhc::cache
