// runtime/environment.cpp -- engine_options from the environment, read once: an MHC_ name wins over AITER's bare one.
#include <fmt/format.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <optional>
#include <string>

#include <mhc/jit/engine.hpp>

#include "cache/signature.hpp"
#include "cache/trust.hpp"

namespace mhc::jit {
namespace {

std::optional<std::string> variable(const char* name)
{
    const char* value = secure_getenv(name);  // nothing under setuid
    if (value == nullptr || *value == '\0') return std::nullopt;
    return value;
}

failure bad(const char* name, const std::string& value, std::string_view allowed)
{
    return {errc::bad_spec, fmt::format("environment: {} = '{}': allowed is {}", name, value, allowed)};
}

result<void> read_integer(const char* name, std::int64_t low, std::int64_t high, std::optional<std::int64_t>& to)
{
    const auto text = variable(name);
    if (!text) return {};
    char* end = nullptr;
    errno = 0;
    const long long value = std::strtoll(text->c_str(), &end, 10);
    if (*end != '\0' || errno != 0 || value < low || value > high)
        return bad(name, *text, fmt::format("a whole number from {} to {}", low, high));
    to = value;
    return {};
}

result<void> read_flag(const char* name, bool& to)
{
    const auto text = variable(name);
    if (!text) return {};
    if (*text == "1" || *text == "on" || *text == "true")
        to = true;
    else if (*text == "0" || *text == "off" || *text == "false")
        to = false;
    else
        return bad(name, *text, "0 or 1");
    return {};
}

result<void> read_level(log_level& to)
{
    const auto text = variable("MHC_LOG_LEVEL");
    if (!text) return {};
    constexpr std::array<std::string_view, 5> names{"debug", "info", "warning", "error", "off"};
    for (std::size_t i = 0; i < names.size(); ++i) {
        std::string lower = *text;
        for (char& c : lower) c = static_cast<char>(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
        if (lower == names[i]) return to = static_cast<log_level>(i), result<void>();
    }
    return bad("MHC_LOG_LEVEL", *text, "debug, info, warning, error, off");
}

result<void> read_backend(compiler_backend& to)
{
    const auto text = variable("MHC_JIT_BACKEND");
    if (!text) return {};
    if (*text == "auto")
        to = compiler_backend::automatic;
    else if (*text == "hiprtc")
        to = compiler_backend::hiprtc;
    else if (*text == "clang")
        to = compiler_backend::clang;
    else
        return bad("MHC_JIT_BACKEND", *text, "auto, hiprtc, clang");
    return {};
}

void read_paths(engine_options& o)
{
    o.cache_dir = variable("MHC_JIT_DIR");
    bool wants_aiter_names = false;
    if (!o.cache_dir && read_flag("MHC_COMPAT", wants_aiter_names) && wants_aiter_names)
        o.cache_dir = variable("AITER_JIT_DIR");
    o.worker = variable("MHC_JIT_WORKER");
    if (const auto target = variable("MHC_JIT_TARGET")) o.target = *target;
    const std::string list = variable("MHC_JIT_EXTRA_RO").value_or("");
    for (std::size_t at = 0; at < list.size();) {
        const std::size_t end = std::min(list.find(':', at), list.size());
        if (end > at) o.prebuilt_dirs.push_back(list.substr(at, end - at));
        at = end + 1;
    }
}

result<void> read_prebuilt_key(std::string& to)
{
    const auto path = variable("MHC_JIT_PREBUILT_KEY");
    if (!path) return {};
    constexpr std::string_view allowed =
        "a PEM file with an Ed25519 public key, of this user or root, that no one else may write";
    std::string why;
    const cache::file_reached file = cache::follow_to_file(*path, &why);
    if (file.trust != cache::file_trust::trusted)
        return bad("MHC_JIT_PREBUILT_KEY", *path, fmt::format("{} ({})", allowed, why));
    std::ifstream in(file.path, std::ios::binary);
    to.assign(std::istreambuf_iterator<char>(in), {});
    if (!in || !cache::is_public_key(to, &why)) return bad("MHC_JIT_PREBUILT_KEY", *path, allowed);
    return {};
}

}  // namespace

result<engine_options> engine_options::from_environment()
{
    engine_options o;
    read_paths(o);
    std::optional<std::int64_t> megabytes, timeout, rebuild, jobs;
    for (const auto& ok :
         {read_level(o.level), read_backend(o.backend), read_prebuilt_key(o.prebuilt_key),
          read_flag("MHC_JIT_STRICT", o.strict), read_flag("MHC_JIT_READONLY", o.read_only),
          read_flag("MHC_JIT_KEEP_SOURCE", o.keep_source), read_flag("MHC_PREBUILT_ANY_TOOLCHAIN", o.prebuilt_any_toolchain),
          read_integer("MHC_JIT_CACHE_MAX_MB", 0, 1 << 24, megabytes), read_integer("MHC_JIT_TIMEOUT_S", 1, 86400, timeout),
          read_integer("MHC_REBUILD", 0, 2, rebuild), read_integer("MAX_JOBS", 1, 4096, jobs),
          read_integer("MHC_MAX_JOBS", 1, 4096, jobs)})
        if (!ok) return ok.error();
    if (megabytes) o.cache_bytes_max = *megabytes << 20;
    if (timeout) o.timeout_s = static_cast<int>(*timeout);
    if (rebuild) o.rebuild = static_cast<int>(*rebuild);
    if (jobs) o.jobs_max = static_cast<int>(*jobs);
    return o;
}

}  // namespace mhc::jit
