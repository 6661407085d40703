// emulator/coverage.cpp -- forms of instructions, and the list of those that were executed.
#include "emulator/coverage.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <mutex>
#include <set>

#include "emulator/wave.hpp"

namespace mhc::emulator {
namespace {

/// What a modifier adds to the form; empty: nothing, as cache policies and masks that leave all lanes.
std::string kind_of_modifier(std::string_view text)
{
    static constexpr std::array<std::string_view, 9> silent{"glc", "slc", "dlc", "nt", "sc0", "sc1", "scc", "th", "scope"};
    static constexpr std::array<std::string_view, 6> plain{"row_mask:0xf",          "bank_mask:0xf",  "dst_sel:DWORD",
                                                           "dst_unused:UNUSED_PAD", "src0_sel:DWORD", "src1_sel:DWORD"};
    const std::string_view name = text.substr(0, text.find(':'));
    if (std::find(plain.begin(), plain.end(), text) != plain.end()) return {};
    if (std::find(silent.begin(), silent.end(), name) != silent.end()) return {};
    const bool has_part = name.ends_with("_sel") || name == "dst_unused" || name == "row_bcast";
    return std::string(has_part ? text : name);
}

void add_operand(std::string_view text, std::set<std::string>& parts)
{
    const bool is_number = text.size() > 1 && text[1] >= '0' && text[1] <= '9';
    if (text.starts_with("neg(") || (text.starts_with('-') && !is_number)) parts.insert("neg");
    if (text.find('|') != std::string_view::npos || text.find("abs(") != std::string_view::npos) parts.insert("abs");
    if (text.find("sext(") != std::string_view::npos) parts.insert("sext");
    if (text == "off") parts.insert("off");
}

/// The pieces between spaces and commas that are not in brackets.
std::vector<std::string_view> words(std::string_view text)
{
    std::vector<std::string_view> all;
    int depth = 0;
    std::size_t begin = 0;
    for (std::size_t at = 0; at <= text.size(); ++at) {
        const char c = at < text.size() ? text[at] : ' ';
        if (c == '[' || c == '(') ++depth;
        if (c == ']' || c == ')') --depth;
        if ((c != ' ' && c != ',') || depth != 0) continue;
        if (at > begin) all.push_back(text.substr(begin, at - begin));
        begin = at + 1;
    }
    return all;
}

std::string form_of(std::string_view text)
{
    const std::vector<std::string_view> all = words(text);
    if (all.empty()) return {};
    std::string form(all.front());
    const bool is_control = form.starts_with("s_wait") || form == "s_delay_alu" || form == "s_clause" || form == "s_nop";
    if (is_control) return form;
    std::set<std::string> parts;
    static constexpr std::array<std::string_view, 7> bare{"clamp", "row_mirror", "row_half_mirror", "lds", "gds",
                                                          "offen", "idxen"};
    for (std::size_t i = 1; i < all.size(); ++i) {
        const std::string_view word = all[i];
        const std::size_t colon = word.find(':'), bracket = word.find('[');
        const bool is_modifier =
            (colon != std::string_view::npos && colon < bracket) || std::find(bare.begin(), bare.end(), word) != bare.end();
        if (!is_modifier)
            add_operand(word, parts);
        else if (std::string kind = kind_of_modifier(word); !kind.empty())
            parts.insert(std::move(kind));
    }
    for (const std::string& part : parts) form += " " + part;
    return form;
}

/// The folder, once; empty: nothing is recorded.
const std::string& folder()
{
    static const std::string& name = *new std::string([] {
        const char* given = std::getenv("MHC_EMULATOR_COVERAGE");
        return std::string(given == nullptr ? "" : given);
    }());
    return name;
}

/// The lines that this process has written, each once.
class record {
public:
    void add(std::string_view processor, std::string_view text)
    {
        for (const std::string& form : forms_of(text)) {
            std::string line = fmt::format("{} {}\n", processor, form);
            const std::lock_guard lock(mutex_);
            if (!written_.insert(line).second) continue;
            if (file_ == nullptr) {
                std::error_code ignored;
                std::filesystem::create_directories(folder(), ignored);
                file_ = std::fopen(fmt::format("{}/{}.txt", folder(), ::getpid()).c_str(), "a");
                if (file_ == nullptr)
                    throw fault("MHC_EMULATOR_COVERAGE names a folder that cannot be written: " + folder());
            }
            std::fputs(line.c_str(), file_);
            std::fflush(file_);
        }
    }
    static record& instance()
    {
        static record& one = *new record;
        return one;
    }

private:
    std::mutex mutex_;
    std::set<std::string> written_;
    std::FILE* file_ = nullptr;
};

/// Stands before each handler. A vector instruction that no lane executes counts as none.
void run_watched(wave& w, const operation& op)
{
    const program& code = *w.group->code;
    const auto number = static_cast<std::size_t>(&op - code.operations.data());
    if (w.exec() != 0 || op.text->starts_with("s_"))
        std::atomic_ref(code.executed[number]).store(1, std::memory_order_relaxed);
    code.watched[number](w, op);
}

}  // namespace

std::vector<std::string> forms_of(std::string_view text)
{
    constexpr std::string_view both = " :: ";
    const std::size_t separator = text.find(both);
    if (separator == std::string_view::npos) return {form_of(text)};
    return {form_of(text.substr(0, separator)), form_of(text.substr(separator + both.size()))};
}

void watch(program& code)
{
    if (folder().empty()) return;
    code.executed.assign(code.operations.size(), 0);
    for (operation& op : code.operations) {
        code.watched.push_back(op.run);
        op.run = run_watched;
    }
}

void keep_coverage(std::string_view processor, const program& code)
{
    for (std::size_t i = 0; i < code.executed.size(); ++i) {
        std::atomic_ref flag(code.executed[i]);
        if (flag.load(std::memory_order_relaxed) == 1 && flag.exchange(2) == 1)
            record::instance().add(processor, code.texts[i]);
    }
}
void keep_coverage(std::string_view processor, std::string_view text)
{
    if (!folder().empty()) record::instance().add(processor, text);
}

}  // namespace mhc::emulator
