// tools/common/tool.hpp -- what every tool's main shares: parsing, exit codes, one-line errors, checked output.
#pragma once

#include <exception>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include <mhc/jit/result.hpp>

namespace CLI {
class App;
}

namespace mhc::tools {

inline constexpr int exit_ok = 0;
inline constexpr int exit_failed = 1;  ///< the request was sound, the operation failed
inline constexpr int exit_usage = 2;   ///< the request cannot be: bad arguments, bad files, a target that cannot be here

/// Ends the tool with a code and one line on standard error.
class tool_error : public std::exception {
public:
    tool_error(int code, std::string message) : code_(code), message_(std::move(message)) {}
    const char* what() const noexcept override { return message_.c_str(); }
    int code() const noexcept { return code_; }

private:
    int code_;
    std::string message_;
};

[[noreturn]] void fail_usage(std::string message);  ///< exit code 2
[[noreturn]] void fail(std::string message);        ///< exit code 1

/// 2 for bad_spec and unsupported_target, 1 for everything else.
int exit_code_of(const jit::failure& why) noexcept;

/// Parses the command line into what `app` was given, then runs `body`, whose value is the exit code. Adds `--version`.
/// Failures (tool_error, mhc::jit::exception, CLI::ParseError, ...) become `NAME: message` on standard error: one line,
/// but for a compiler's log, which follows its line as it is.
int run_tool(CLI::App& app, int argc, char** argv, const std::function<int()>& body);

/// `NAME: message` on standard error, control characters escaped so that it stays one line.
void print_error(const std::string& tool, std::string_view message);

/// Writes to standard output, all of it, or fails with exit code 1.
void print(std::string_view text);

/// Columns aligned with two blanks between; the first row is the head. No trailing blanks.
std::string table_text(const std::vector<std::vector<std::string>>& rows);

/// "917 B", "12.3 KB", "4.0 MB", "2.1 GB" (1 KB = 1024 B).
std::string bytes_text(long long bytes);

}  // namespace mhc::tools
