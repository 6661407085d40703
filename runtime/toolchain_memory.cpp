// runtime/toolchain_memory.cpp -- backend_info as JSON in a toolchain's row.
#include "runtime/toolchain_memory.hpp"

#include <fmt/format.h>

#include <algorithm>

#include <nlohmann/json.hpp>

namespace mhc::runtime {
namespace {

using nlohmann::json;

bool is_of(const json& descr, const std::string& worker_path)
{
    return descr.is_object() && descr.value("worker", "") == worker_path && descr.contains("targets");
}

backend_info from_row(const cache::toolchain& row, const json& descr)
{
    backend_info info;
    info.name = descr.value("backend", "");
    info.available = true;
    info.version = descr.value("version", "");
    info.identity = row;
    for (const json& target : descr["targets"])
        if (target.is_string()) info.targets.push_back(target.get<std::string>());
    return info;
}

/// Which toolchain knows an architecture that none here does. Source: TOOLCHAIN measurements, docs/SUPPORT.md.
std::string_view who_can(std::string_view target)
{
    if (target == "gfx950") return "; ROCm 6.4 or newer's HIPRTC, or LLVM 20 or newer, can";
    if (target == "gfx1250") return "; ROCm 7.2 or newer's HIPRTC, or LLVM 22 or newer, can";
    if (target == "host")
        return "; install LLVM and Clang 17 or newer (Debian: libclang-19-dev llvm-19-dev liblld-19-dev) and build again";
    return "";
}

}  // namespace

std::vector<backend_info> recall_backends(cache::code_store& store, const std::string& worker_path)
{
    std::vector<backend_info> found;
    for (const cache::toolchain& row : store.known_toolchains()) {
        const json descr = json::parse(row.descr, nullptr, false);
        if (!is_of(descr, worker_path)) continue;
        backend_info info = from_row(row, descr);
        const auto same = [&](const backend_info& other) { return other.name == info.name; };
        if (std::none_of(found.begin(), found.end(), same)) found.push_back(std::move(info));  // newest first
    }
    return found;
}

void remember_backends(cache::code_store& store, const std::vector<backend_info>& found, const std::string& worker_path)
{
    for (const backend_info& info : found) {
        if (!info.available) continue;
        json descr = json::parse(info.identity.descr, nullptr, false);
        if (!descr.is_object()) descr = json::object();
        descr["backend"] = info.name;
        descr["version"] = info.version;
        descr["targets"] = info.targets;
        descr["worker"] = worker_path;
        store.remember_toolchain({info.identity.fingerprint, descr.dump()}, info.files);
    }
}

std::string compiler_name_of(const cache::toolchain& compiler)
{
    const json descr = json::parse(compiler.descr, nullptr, false);
    if (!descr.is_object()) return "unknown";
    return descr.value("backend", "unknown") + " " + descr.value("version", "");
}

std::string why_no_compiler(const std::vector<backend_info>& found, const std::vector<std::string>& order,
                            const std::string& target)
{
    std::string text = "no compiler here makes code for it:";
    for (const std::string& name : order) {
        const auto at = std::find_if(found.begin(), found.end(), [&](const auto& b) { return b.name == name; });
        const bool is_missing = at == found.end() || !at->available;
        text += fmt::format(" {}{}{},", name, is_missing ? "" : " " + at->version,
                            is_missing ? fmt::format(" is not here ({})", at == found.end() ? "not built" : at->why_not)
                                       : " does not know it");
    }
    text.pop_back();
    return text.append(who_can(target));
}

}  // namespace mhc::runtime
