// tools/mhc-cache/report.cpp -- a database's state, its objects and what is wrong with them, as text and as JSON.
#include "tools/mhc-cache/report.hpp"

#include <ctime>

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "tools/common/tool.hpp"

namespace mhc::tools {
namespace {

using json = nlohmann::ordered_json;

json object_value(const jit::stored_object& one)
{
    const json key = json::parse(one.key_json, nullptr, false);
    return {{"key", one.key},
            {"symbol", one.symbol},
            {"family", one.family},
            {"target", one.target},
            {"hidden_dim", one.hidden_dim},
            {"n_streams", one.n_streams},
            {"dtype", one.dtype},
            {"bytes", one.bytes},
            {"compiler", one.compiler},
            {"compile_ms", one.compile_ms},
            {"created", one.created},
            {"last_used", one.last_used},
            {"uses", one.uses},
            {"vgprs", one.vgprs},
            {"sgprs", one.sgprs},
            {"lds_bytes", one.lds_bytes},
            {"scratch_bytes", one.scratch_bytes},
            {"key_fields", key.is_discarded() ? json(one.key_json) : key}};
}

}  // namespace

std::string dump(const json& value) { return value.dump(2, ' ', false, json::error_handler_t::replace) + '\n'; }

// Prebuilt databases have zero times, so that equal builds give equal files.
std::string time_text(std::int64_t seconds)
{
    if (seconds == 0) return "-";
    const std::time_t time = seconds;
    std::tm local{};
    if (localtime_r(&time, &local) == nullptr) return fmt::to_string(seconds);  // a damaged row's year may be anything
    return fmt::format("{:%Y-%m-%d %H:%M}", local);
}

std::string info_text(const jit::cache_info& info)
{
    std::string text = fmt::format("database  {}\nstate     {}\n", info.path.empty() ? "none" : info.path, info.state);
    text += fmt::format("objects   {}, {} of code; the file has {} of at most {}\n", info.objects,
                        bytes_text(info.object_bytes), bytes_text(info.file_bytes), bytes_text(info.bytes_max));
    text += fmt::format("failures  {} remembered\nworker    {}\n", info.failures, info.worker);
    if (info.prebuilt.empty()) return text + "prebuilt  none found\n";
    for (const std::string& path : info.prebuilt) text += fmt::format("prebuilt  {}\n", path);
    return text;
}

std::string info_json(const jit::cache_info& info)
{
    return dump({{"path", info.path},
                 {"state", info.state},
                 {"objects", info.objects},
                 {"object_bytes", info.object_bytes},
                 {"file_bytes", info.file_bytes},
                 {"bytes_max", info.bytes_max},
                 {"failures", info.failures},
                 {"worker", info.worker},
                 {"prebuilt", info.prebuilt}});
}

std::string list_text(const std::vector<jit::stored_object>& objects)
{
    if (objects.empty()) return "no objects\n";
    std::vector<std::vector<std::string>> rows = {
        {"key", "family", "target", "hidden_dim", "n_streams", "dtype", "bytes", "ms", "uses", "last used", "compiler"}};
    for (const jit::stored_object& one : objects)
        rows.push_back({one.key.substr(0, 12), one.family, one.target, fmt::to_string(one.hidden_dim),
                        fmt::to_string(one.n_streams), one.dtype, fmt::to_string(one.bytes), fmt::to_string(one.compile_ms),
                        fmt::to_string(one.uses), time_text(one.last_used), one.compiler});
    return table_text(rows);
}

std::string list_json(const std::vector<jit::stored_object>& objects)
{
    json list = json::array();
    for (const jit::stored_object& one : objects) list.push_back(object_value(one));
    return dump({{"objects", std::move(list)}});
}

std::string object_text(const jit::stored_object& one)
{
    std::string text = fmt::format("key        {}\nsymbol     {}\nfamily     {}\ntarget     {}\n", one.key, one.symbol,
                                   one.family, one.target);
    text += fmt::format("shape      hidden_dim {}, n_streams {}, {}\n", one.hidden_dim, one.n_streams, one.dtype);
    text += fmt::format("object     {} B, by {} in {} ms\n", one.bytes, one.compiler, one.compile_ms);
    text += fmt::format("resources  {} VGPRs, {} SGPRs, LDS {} B, scratch {} B\n", one.vgprs, one.sgprs, one.lds_bytes,
                        one.scratch_bytes);
    text +=
        fmt::format("created    {}\nlast used  {}, {} use(s)\n", time_text(one.created), time_text(one.last_used), one.uses);
    const json key = json::parse(one.key_json, nullptr, false);
    return text + "key fields " + (key.is_discarded() ? one.key_json + '\n' : dump(key));
}

std::string object_json(const jit::stored_object& object) { return dump(object_value(object)); }

std::string verify_text(const jit::verify_report& report)
{
    std::string text = fmt::format("{} object(s) checked, {} damaged\n", report.checked, report.damaged.size());
    for (const std::string& line : report.damaged) text += fmt::format("  {}\n", line);
    return text;
}

std::string verify_json(const jit::verify_report& report)
{
    return dump({{"checked", report.checked}, {"damaged", report.damaged}});
}

}  // namespace mhc::tools
