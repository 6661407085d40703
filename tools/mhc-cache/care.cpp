// tools/mhc-cache/care.cpp -- doctor, stats, prune, export, import and why-miss, as text and as JSON.
#include "tools/mhc-cache/care.hpp"

#include <algorithm>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "tools/common/settings.hpp"
#include "tools/common/tool.hpp"
#include "tools/mhc-cache/report.hpp"

namespace mhc::tools {
namespace {

using json = nlohmann::ordered_json;
using severity = jit::finding::severity;

const char* name_of(severity is) { return is == severity::good ? "good" : is == severity::warning ? "warning" : "bad"; }

int print_transfer(const care_arguments& args, const jit::transfer_report& report, const char* done)
{
    if (args.is_json) {
        print(dump({{done, report.copied}, {"present", report.present}, {"refused", report.refused}}));
    } else {
        std::string text = fmt::format("{} object(s) {}", report.copied, done);
        if (report.present > 0) text += fmt::format(", {} there before", report.present);
        text += report.refused.empty() ? "\n" : fmt::format(", {} refused\n", report.refused.size());
        for (const std::string& line : report.refused) text += fmt::format("  {}\n", line);
        print(text);
    }
    return report.refused.empty() ? exit_ok : exit_failed;
}

void refuse_database(const care_arguments& args, const char* command)
{
    if (!args.database.empty())
        fail_usage(fmt::format("--database {}: {} changes the user database alone", args.database, command));
}

jit::layer_spec spec_of(const care_arguments& args, jit::operation op)
{
    std::vector<std::string> texts = args.settings;
    if (args.hidden_dim.empty())
        fail_usage("--hidden-dim is missing; give the channels of a stream, such as --hidden-dim 4096");
    texts.push_back("hidden_dim=" + args.hidden_dim);
    if (!args.n_streams.empty()) texts.push_back("n_streams=" + args.n_streams);
    if (!args.dtype.empty()) texts.push_back("dtype=" + args.dtype);
    jit::layer_spec spec;
    spec.wanted = {op};
    apply_settings(spec, op, parse_settings(texts, "--set"));
    jit::validate(spec).value();
    return spec;
}

std::string explanation_text(const jit::miss_explanation& one)
{
    std::string text = fmt::format("{}\n  key      {}\n", one.symbol, one.key);
    if (one.is_stored) return text + fmt::format("  stored   {}\n", one.where);
    if (one.nearest_key.empty()) return text + "  missing  nothing of this kernel family is stored\n";
    text += fmt::format("  missing  nearest is {}, which differs in\n", one.nearest_key.substr(0, 12));
    for (const auto& each : one.differences)
        text += fmt::format("    {}: wanted '{}', stored '{}'\n", each.field, each.wanted, each.stored);
    return text;
}

}  // namespace

int doctor(const care_arguments& args, const jit::engine_options& options)
{
    const std::vector<jit::finding> found = jit::examine_cache(options);
    json list = json::array();
    std::vector<std::vector<std::string>> rows = {{"state", "what", "found"}};
    for (const jit::finding& each : found) {
        list.push_back({{"state", name_of(each.is)}, {"what", each.what}, {"found", each.text}});
        rows.push_back({name_of(each.is), each.what, each.text});
    }
    print(args.is_json ? dump({{"findings", std::move(list)}}) : table_text(rows));
    const bool is_bad = std::any_of(found.begin(), found.end(), [](const auto& each) { return each.is == severity::bad; });
    return is_bad ? exit_failed : exit_ok;
}

namespace {

// Of the events, the newest tell what is going on; the counts tell how much of it there was.
constexpr std::size_t events_shown = 20;

json events_value(const std::vector<jit::cache_event>& events)
{
    json counts = json::object(), last = json::array();
    for (const char* kind : {"quarantine", "collision_or_tamper", "evict", "corrupt"}) counts[kind] = 0;
    for (const jit::cache_event& each : events) counts[each.kind] = counts.value(each.kind, 0) + 1;
    for (std::size_t i = events.size() - std::min(events.size(), events_shown); i < events.size(); ++i)
        last.push_back({{"at", events[i].at}, {"kind", events[i].kind}, {"detail", events[i].detail}});
    return {{"counts", std::move(counts)}, {"last", std::move(last)}};
}

std::string events_text(const std::vector<jit::cache_event>& events)
{
    if (events.empty()) return "no events\n";
    std::string text = fmt::format("{} event(s)", events.size());
    text += events.size() > events_shown ? fmt::format(", the last {}:\n", events_shown) : std::string(":\n");
    for (std::size_t i = events.size() - std::min(events.size(), events_shown); i < events.size(); ++i)
        text += fmt::format("  {}  {}  {}\n", time_text(events[i].at), events[i].kind, events[i].detail);
    return text;
}

}  // namespace

int stats(const care_arguments& args, const jit::engine_options& options)
{
    const std::vector<jit::cache_event> events = jit::cache_events(options, args.database).value();
    const std::int64_t failures = jit::inspect_cache(options, args.database).value().failures;
    const std::vector<jit::stored_sum> sums = jit::sum_cache(options, args.database).value();
    json list = json::array();
    std::vector<std::vector<std::string>> rows = {{"target", "compiler", "objects", "bytes", "uses", "compile ms"}};
    jit::stored_sum all;
    for (const jit::stored_sum& each : sums) {
        list.push_back({{"target", each.target},
                        {"compiler", each.compiler},
                        {"objects", each.objects},
                        {"bytes", each.bytes},
                        {"uses", each.uses},
                        {"compile_ms", each.compile_ms}});
        rows.push_back({each.target, each.compiler, fmt::to_string(each.objects), fmt::to_string(each.bytes),
                        fmt::to_string(each.uses), fmt::to_string(each.compile_ms)});
        all.objects += each.objects;
        all.bytes += each.bytes;
        all.uses += each.uses;
        all.compile_ms += each.compile_ms;
    }
    rows.push_back({"all", "", fmt::to_string(all.objects), fmt::to_string(all.bytes), fmt::to_string(all.uses),
                    fmt::to_string(all.compile_ms)});
    if (args.is_json)
        print(dump({{"objects", all.objects},
                    {"bytes", all.bytes},
                    {"uses", all.uses},
                    {"compile_ms", all.compile_ms},
                    {"failures", failures},
                    {"by_target_and_compiler", std::move(list)},
                    {"events", events_value(events)}}));
    else
        print(table_text(rows) + fmt::format("{} failure(s) remembered\n", failures) + events_text(events));
    return exit_ok;
}

int prune(const care_arguments& args, const jit::engine_options& options)
{
    refuse_database(args, "prune");
    jit::prune_options what;
    if (args.stale_days) what.stale_days = *args.stale_days;
    if (args.unused_days) what.unused_days = *args.unused_days;
    if (args.max_mb) what.bytes_max = *args.max_mb << 20;
    const jit::prune_report report = jit::prune_cache(options, what).value();
    if (args.is_json)
        print(dump({{"stale", report.stale},
                    {"unused", report.unused},
                    {"over", report.over},
                    {"objects", report.objects},
                    {"object_bytes", report.object_bytes}}));
    else
        print(fmt::format("removed {} of compilers that are gone, {} unused, {} over the limit; {} left, {}\n", report.stale,
                          report.unused, report.over, report.objects, bytes_text(report.object_bytes)));
    return exit_ok;
}

int export_objects(const care_arguments& args, const jit::engine_options& options)
{
    return print_transfer(args, jit::export_cache(options, args.file, args.database).value(), "exported");
}

int import_objects(const care_arguments& args, const jit::engine_options& options)
{
    refuse_database(args, "import");
    return print_transfer(args, jit::import_cache(options, args.file, args.is_trusted).value(), "imported");
}

int why_miss(const care_arguments& args, const jit::engine_options& options)
{
    if (!args.database.empty()) fail_usage("--database: why-miss looks into the user's and the prebuilt databases");
    const jit::operation op = jit::parse_operation(args.op).value();
    const auto all = jit::why_miss(op, spec_of(args, op), args.target, options).value();
    json list = json::array();
    std::string text;
    bool is_stored = true;
    for (const jit::miss_explanation& one : all) {
        json differences = json::array();
        for (const auto& each : one.differences)
            differences.push_back({{"field", each.field}, {"wanted", each.wanted}, {"stored", each.stored}});
        list.push_back({{"symbol", one.symbol},
                        {"key", one.key},
                        {"stored", one.is_stored},
                        {"where", one.where},
                        {"nearest_key", one.nearest_key},
                        {"differences", std::move(differences)}});
        text += explanation_text(one);
        is_stored = is_stored && one.is_stored;
    }
    print(args.is_json ? dump({{"kernels", std::move(list)}}) : text);
    return is_stored ? exit_ok : exit_failed;
}

}  // namespace mhc::tools
