// tools/mhc-bench/report.hpp -- results as JSON and as a table, and an earlier file of them to compare with.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "tools/mhc-bench/counting.hpp"
#include "tools/mhc-bench/measure.hpp"

namespace mhc::tools {

/// Milliseconds of `layer(spec)` on an engine that has just been made.
struct first_use_row {
    bench_case what;
    std::string target;
    double empty_ms = 0;  ///< with an empty cache: everything is compiled
    double full_ms = 0;   ///< with all kernels in the user database
    int kernels = 0;      ///< that were compiled
};

/// Median times of an earlier run, by what was timed.
class baseline {
public:
    /// Reads a file that --output wrote. Fails with exit code 2, naming it and what is wrong.
    explicit baseline(const std::string& path);

    std::optional<double> median_us(const bench_row& row) const;
    /// Fails with exit code 2 when the file has none of these cases on these targets: there is nothing to compare.
    void check_covers(const std::vector<bench_case>& cases, const std::vector<bench_target>& targets) const;
    const std::string& path() const { return path_; }

private:
    std::string path_;
    std::map<std::string, double, std::less<>> medians_;
};

struct bench_report {
    std::string date, command;                  ///< UTC; as it was typed
    std::vector<bench_target> targets;          ///< that are timed
    std::vector<bench_row> rows;                ///< case by case, each on every target in turn
    std::vector<bench_target> counted_targets;  ///< emulated ones
    std::vector<counted_row> counted;           ///< likewise
    std::vector<first_use_row> first_uses;
    bool may_overlap = false;  ///< calls, the one ahead
    std::optional<baseline> earlier;

    /// How many times as fast as the same case on the first target; 1 there.
    double speedup_to_first(std::size_t row) const;
    /// The earlier median over this one; empty where the earlier file has no such row.
    std::optional<double> speedup_to_baseline(std::size_t row) const;
};

std::string report_json(const bench_report& report);  ///< one object, with a line end
std::string report_text(const bench_report& report);

}  // namespace mhc::tools
