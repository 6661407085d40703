// tools/common/shape_rule.cpp -- a tensor's shape as the operators' table writes it, such as "[T,n,n] or [n,n]".
#include "tools/common/shape_rule.hpp"

#include <algorithm>
#include <limits>

#include <fmt/format.h>

#include "tools/common/tool.hpp"

namespace mhc::tools {
namespace {

constexpr std::int64_t size_max = std::numeric_limits<std::int64_t>::max();

std::int64_t times(std::int64_t a, std::int64_t b)
{
    std::int64_t product = 0;
    return __builtin_mul_overflow(a, b, &product) ? size_max : product;
}

std::int64_t plus(std::int64_t a, std::int64_t b)
{
    std::int64_t sum = 0;
    return __builtin_add_overflow(a, b, &sum) ? size_max : sum;
}

// The parts of `text` between `separator`s.
std::vector<std::string_view> split(std::string_view text, std::string_view separator)
{
    std::vector<std::string_view> parts;
    for (std::size_t at = text.find(separator); at != std::string_view::npos; at = text.find(separator)) {
        parts.push_back(text.substr(0, at));
        text.remove_prefix(at + separator.size());
    }
    parts.push_back(text);
    return parts;
}

std::string without_blanks(std::string_view text)
{
    std::string packed(text);
    std::erase(packed, ' ');
    return packed;
}

}  // namespace

size_rule::size_rule(std::string_view text)
{
    for (const std::string_view term : split(text, "+")) {
        product next;
        for (std::size_t at = 0; at < term.size();) {
            if (term[at] >= '0' && term[at] <= '9') {
                std::int64_t number = 0;
                for (; at < term.size() && term[at] >= '0' && term[at] <= '9'; ++at) number = number * 10 + (term[at] - '0');
                next.factor *= number;
                continue;
            }
            const auto name = std::find(symbol_names.begin(), symbol_names.end(), term.substr(at, 1));
            if (name != symbol_names.end()) {
                ++next.powers[static_cast<std::size_t>(name - symbol_names.begin())];
            } else if (term[at] != '*') {
                fail(fmt::format("the operators' table has the size '{}', which this tool cannot read", text));
            }
            ++at;
        }
        sum_.push_back(next);
    }
}

std::optional<symbol> size_rule::bare() const
{
    for (int i = 0; i < symbol_count; ++i) {
        product alone;
        alone.powers[static_cast<std::size_t>(i)] = 1;
        if (sum_.size() == 1 && sum_[0].factor == 1 && sum_[0].powers == alone.powers) return static_cast<symbol>(i);
    }
    return std::nullopt;
}

bool size_rule::mentions(symbol which) const
{
    const auto has_it = [&](const product& term) { return term.powers[static_cast<std::size_t>(which)] > 0; };
    return std::any_of(sum_.begin(), sum_.end(), has_it);
}

std::int64_t size_rule::value(const sizes& known) const
{
    std::int64_t total = 0;
    for (const product& term : sum_) {
        std::int64_t value = term.factor;
        for (std::size_t i = 0; i < known.size(); ++i)
            for (int power = 0; power < term.powers[i]; ++power) value = times(value, known[i]);
        total = plus(total, value);
    }
    return total;
}

std::vector<std::int64_t> shape_rule::shape(const sizes& known) const
{
    std::vector<std::int64_t> result;
    for (const size_rule& dim : dims) result.push_back(dim.value(known));
    return result;
}

bool shape_rule::is(std::string_view other) const { return text == without_blanks(other); }

std::vector<shape_rule> parse_shape_rules(std::string_view text)
{
    std::vector<shape_rule> rules;
    for (const std::string_view alternative : split(text, " or ")) {
        shape_rule rule{without_blanks(alternative), {}};
        const std::string_view inside = std::string_view(rule.text).substr(1, rule.text.size() - 2);
        for (const std::string_view dim : split(inside, ",")) rule.dims.emplace_back(dim);
        rules.push_back(std::move(rule));
    }
    return rules;
}

}  // namespace mhc::tools
