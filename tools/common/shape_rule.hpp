// tools/common/shape_rule.hpp -- a tensor's shape as the operators' table writes it, such as "[T,n,n] or [n,n]".
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mhc::tools {

/// The sizes that shapes are made of.
enum class symbol : std::uint8_t { T, n, C, S, R, L };
inline constexpr int symbol_count = 6;
inline constexpr std::array<std::string_view, symbol_count> symbol_names = {"T", "n", "C", "S", "R", "L"};

using sizes = std::array<std::int64_t, symbol_count>;  ///< by symbol

/// One size: a sum of products, such as n*n+2n.
class size_rule {
public:
    explicit size_rule(std::string_view text);

    std::optional<symbol> bare() const;  ///< the symbol, when the rule is nothing else
    bool mentions(symbol which) const;
    std::int64_t value(const sizes& known) const;  ///< saturates at INT64_MAX

private:
    struct product {
        std::int64_t factor = 1;
        std::array<int, symbol_count> powers{};
    };
    std::vector<product> sum_;
};

struct shape_rule {
    std::string text;  ///< such as "[T,n,n]"
    std::vector<size_rule> dims;

    std::vector<std::int64_t> shape(const sizes& known) const;
    bool is(std::string_view other) const;  ///< whether `text` is `other` but for blanks
};

/// The alternatives of "[T,n,n] or [n,n]".
std::vector<shape_rule> parse_shape_rules(std::string_view text);

}  // namespace mhc::tools
