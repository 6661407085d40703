// tests/host/summary.cpp -- the table at the end: cases of each group and how near they came to their bounds.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

#include "tests/host/driver.hpp"

namespace mhc::testing {
namespace {

struct row {
    std::string group;
    int cases = 0, failed = 0;
    std::int64_t elements = 0;
    double norm_ratio = 0, element_ratio = 0, seconds = 0;
    std::string worst;
};

std::vector<row>& rows()
{
    static std::vector<row> all;
    return all;
}

/// Prints the table after the last test; doctest calls the rest.
struct summary_printer final : doctest::IReporter {
    explicit summary_printer(const doctest::ContextOptions&) {}

    void test_run_end(const doctest::TestRunStats&) override
    {
        if (rows().empty()) return;
        std::printf("\n%-26s %6s %6s %12s %14s %15s %8s  %s\n", "group", "cases", "failed", "elements", "norm/bound",
                    "element/bound", "seconds", "nearest to a bound");
        for (const row& of : rows()) {
            std::printf("%-26s %6d %6d %12lld %14.3f %15.3f %8.1f  %s\n", of.group.c_str(), of.cases, of.failed,
                        static_cast<long long>(of.elements), of.norm_ratio, of.element_ratio, of.seconds, of.worst.c_str());
        }
    }
    void report_query(const doctest::QueryData&) override {}
    void test_run_start() override {}
    void test_case_start(const doctest::TestCaseData&) override {}
    void test_case_reenter(const doctest::TestCaseData&) override {}
    void test_case_end(const doctest::CurrentTestCaseStats&) override {}
    void test_case_exception(const doctest::TestCaseException&) override {}
    void subcase_start(const doctest::SubcaseSignature&) override {}
    void subcase_end() override {}
    void log_assert(const doctest::AssertData&) override {}
    void log_message(const doctest::MessageData&) override {}
    void test_case_skipped(const doctest::TestCaseData&) override {}
};
REGISTER_LISTENER("summary", 1, summary_printer);

}  // namespace

void add_to_summary(const std::string& group, const test_case& of, const agreement& found, double seconds)
{
    auto at = std::find_if(rows().begin(), rows().end(), [&](const row& each) { return each.group == group; });
    if (at == rows().end()) at = rows().insert(at, row{.group = group, .worst = ""});
    ++at->cases;
    at->failed += found.problems.empty() ? 0 : 1;
    at->elements += found.elements;
    at->seconds += seconds;
    const double nearest = std::max(at->norm_ratio, at->element_ratio);
    if (std::max(found.norm_ratio, found.element_ratio) > nearest) at->worst = of.name;
    at->norm_ratio = std::max(at->norm_ratio, found.norm_ratio);
    at->element_ratio = std::max(at->element_ratio, found.element_ratio);
}

}  // namespace mhc::testing
