// tools/common/npy_header.cpp -- parses the Python dictionary that is a .npy file's header.
#include <algorithm>
#include <array>
#include <optional>

#include <fmt/format.h>

#include "tools/common/npy.hpp"

namespace mhc::tools {
namespace {

using jit::errc;
using jit::failure;
using jit::result;

constexpr std::size_t dimensions_max = 32;  // numpy's own limit

failure bad_header(std::string message) { return failure{errc::bad_spec, std::move(message)}; }

// The subset of Python's literals that a header may hold.
class header_parser {
public:
    explicit header_parser(std::string_view text) : text_(text) {}

    result<npy_header> parse()
    {
        npy_header header;
        std::array<bool, 3> seen{};
        if (!take('{')) return wrong("'{'");
        while (!take('}')) {
            const std::optional<std::string> key = quoted();
            if (!key || !take(':')) return wrong("'name': value");
            const bool known = field(*key, header, seen);
            if (!known) return wrong("a value for 'descr', 'fortran_order' or 'shape', each once");
            if (!take(',') && !peek('}')) return wrong("',' or '}'");
        }
        blanks();
        if (at_ != text_.size()) return wrong("nothing after '}'");
        if (!seen[0] || !seen[1] || !seen[2]) return bad_header("has a header without 'descr', 'fortran_order' or 'shape'");
        return header;
    }

private:
    bool field(const std::string& key, npy_header& header, std::array<bool, 3>& seen)
    {
        constexpr std::array<std::string_view, 3> names = {"descr", "fortran_order", "shape"};
        const auto found = std::find(names.begin(), names.end(), key);
        if (found == names.end()) return false;
        const auto which = static_cast<std::size_t>(found - names.begin());
        if (seen[which]) return false;
        seen[which] = true;
        if (which == 0) return descr(header.descr);
        if (which == 1) return boolean(header.fortran_order);
        return shape(header.shape);
    }

    bool descr(std::string& value)
    {
        if (peek('[')) {  // fields of a structured type; nothing in the list is read, as the file is refused anyway
            value = "a structured type";
            return skip_list();
        }
        const std::optional<std::string> text = quoted();
        if (text) value = *text;
        return text.has_value();
    }

    bool boolean(bool& value)
    {
        value = word("True");
        return value || word("False");
    }

    bool shape(std::vector<std::int64_t>& value)
    {
        if (!take('(')) return false;
        while (!take(')')) {
            const std::optional<std::int64_t> size = integer();
            if (!size || value.size() == dimensions_max) return false;
            value.push_back(*size);
            if (!take(',') && !peek(')')) return false;
        }
        return true;
    }

    std::optional<std::int64_t> integer()
    {
        blanks();
        std::int64_t value = 0;
        const std::size_t start = at_;
        while (at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9') {
            const int digit = text_[at_++] - '0';
            if (__builtin_mul_overflow(value, std::int64_t{10}, &value) || __builtin_add_overflow(value, digit, &value))
                return std::nullopt;
        }
        if (at_ == start) return std::nullopt;
        if (at_ < text_.size() && text_[at_] == 'L') ++at_;  // Python 2 wrote long integers so
        return value;
    }

    std::optional<std::string> quoted()
    {
        blanks();
        if (at_ == text_.size() || (text_[at_] != '\'' && text_[at_] != '"')) return std::nullopt;
        const std::size_t end = text_.find(text_[at_], at_ + 1);
        if (end == std::string_view::npos) return std::nullopt;
        std::string value(text_.substr(at_ + 1, end - at_ - 1));
        at_ = end + 1;
        return value;
    }

    bool skip_list()
    {
        int depth = 0;
        do {
            if (at_ == text_.size()) return false;
            if (text_[at_] == '\'' || text_[at_] == '"') {
                if (!quoted()) return false;
                continue;
            }
            if (text_[at_] == '[') ++depth;
            if (text_[at_] == ']') --depth;
            ++at_;
        } while (depth > 0);
        return true;
    }

    bool word(std::string_view value)
    {
        blanks();
        if (text_.substr(at_, value.size()) != value) return false;
        at_ += value.size();
        return true;
    }

    void blanks()
    {
        while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\t')) ++at_;
    }

    bool peek(char c)
    {
        blanks();
        return at_ < text_.size() && text_[at_] == c;
    }

    bool take(char c)
    {
        if (!peek(c)) return false;
        ++at_;
        return true;
    }

    failure wrong(const char* expected) const
    {
        return bad_header(fmt::format("has a malformed header: at byte {}, expected {}", at_, expected));
    }

    std::string_view text_;
    std::size_t at_ = 0;
};

}  // namespace

result<npy_header> parse_npy_header(std::string_view text) { return header_parser(text).parse(); }

}  // namespace mhc::tools
