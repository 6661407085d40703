// tools/common/tool.cpp -- what every tool's main shares: parsing, exit codes, one-line errors, checked output.
#include "tools/common/tool.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <new>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include <mhc/jit/version.hpp>

namespace mhc::tools {
namespace {

// File names and values come from outside: a line end in one must not make two lines, nor an escape reach the terminal.
std::string one_line(std::string_view text)
{
    std::string line;
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        if (c == '\n') {
            line += ' ';
        } else if (byte < 0x20 || byte == 0x7f) {
            line += fmt::format("\\x{:02x}", byte);
        } else {
            line += c;
        }
    }
    line.erase(line.find_last_not_of(' ') + 1);
    return line;
}

int report(const std::string& tool, const jit::failure& why)
{
    // Only a compiler's log is worth more than a line.
    const std::size_t end = why.code == jit::errc::compile_failed ? why.message.find('\n') : std::string::npos;
    print_error(tool, std::string_view(why.message).substr(0, end));
    if (end != std::string::npos) fmt::print(stderr, "{}\n", std::string_view(why.message).substr(end + 1));
    return exit_code_of(why);
}

}  // namespace

void fail_usage(std::string message) { throw tool_error(exit_usage, std::move(message)); }

void fail(std::string message) { throw tool_error(exit_failed, std::move(message)); }

int exit_code_of(const jit::failure& why) noexcept
{
    const bool is_request = why.code == jit::errc::bad_spec || why.code == jit::errc::unsupported_target;
    return is_request ? exit_usage : exit_failed;
}

void print_error(const std::string& tool, std::string_view message)
{
    fmt::print(stderr, "{}: {}\n", tool, one_line(message));
}

int run_tool(CLI::App& app, int argc, char** argv, const std::function<int()>& body)
{
    const std::string tool = app.get_name();
    app.set_version_flag("--version", tool + " " + jit::version(), "Print the version and exit");
    try {
        app.parse(argc, argv);
        return body();
    } catch (const CLI::Success& e) {  // --help and --version
        return app.exit(e);
    } catch (const CLI::ParseError& e) {
        print_error(tool, fmt::format("{}; see {} --help", e.what(), tool));
        return exit_usage;
    } catch (const tool_error& e) {
        print_error(tool, e.what());
        return e.code();
    } catch (const jit::exception& e) {
        return report(tool, e.why());
    } catch (const std::bad_alloc&) {
        print_error(tool, "out of memory; use smaller arrays or fewer tokens");
        return exit_failed;
    } catch (const std::exception& e) {
        print_error(tool, e.what());
        return exit_failed;
    }
}

void print(std::string_view text)
{
    if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() || std::fflush(stdout) != 0)
        fail(fmt::format("cannot write to standard output: {}", std::strerror(errno)));
}

std::string table_text(const std::vector<std::vector<std::string>>& rows)
{
    std::vector<std::size_t> widths;
    for (const auto& row : rows) {
        widths.resize(std::max(widths.size(), row.size()));
        for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
    }
    std::string text;
    for (const auto& row : rows) {
        std::string line;
        for (std::size_t i = 0; i < row.size(); ++i) line += fmt::format("{:<{}}", row[i], widths[i] + 2);
        line.erase(line.find_last_not_of(' ') + 1);
        text += line + '\n';
    }
    return text;
}

std::string bytes_text(long long bytes)
{
    if (bytes < 1024) return fmt::format("{} B", bytes);
    double value = static_cast<double>(bytes) / 1024;
    const char* unit = "KB";
    for (const char* next : {"MB", "GB", "TB"}) {
        if (value < 1024) break;
        value /= 1024;
        unit = next;
    }
    return fmt::format("{:.1f} {}", value, unit);
}

}  // namespace mhc::tools
