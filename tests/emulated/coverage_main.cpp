// tests/emulated/coverage_main.cpp -- the instructions of the catalogue's code, known to the emulator or not, executed by
// some test or not.
//
//   mhc_emulator_coverage                list every form of instruction, with how often it occurs
//   mhc_emulator_coverage FOLDER         compare with what tests executed that ran with MHC_EMULATOR_COVERAGE=FOLDER
//   mhc_emulator_coverage --clear FOLDER begin anew
//
// Of gradients all of gfx942's, and of other processors some; with MHC_TEST_GRADIENTS=all, of every processor all.
//
// Exit status 1: a form is unknown, or was not executed; each is named.
#include <fmt/format.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <mhc/jit.hpp>

#include "codegen/plan.hpp"
#include "emulator/code_image.hpp"
#include "emulator/coverage.hpp"
#include "emulator/handlers.hpp"
#include "runtime/object_source.hpp"
#include "runtime/select_target.hpp"
#include "tests/support/catalogue_rows.hpp"

using namespace mhc;

namespace {

struct form_use {
    std::size_t count = 0;
    bool is_known = true;
    std::string example;  ///< the line, and the kernel it is in
};
/// By "gfx942 v_add_f32_e32".
using form_table = std::map<std::string, form_use>;

/// The forms in one code object.
void add_forms(std::string_view processor, const cache::code_row& row, form_table& into)
{
    const auto image = emulator::load_image(row.bytes, processor);
    if (!image) {
        into[fmt::format("{} cannot be loaded: {}", processor, image.error().message)] = {1, false, row.symbol};
        return;
    }
    const emulator::program& code = *(*image)->code;
    for (std::size_t i = 0; i < code.operations.size(); ++i) {
        const std::string& text = code.texts[i];
        // Behind the last instruction is padding.
        if (text == "no instruction" || text == "the end of the code" || text == "s_code_end") continue;
        const bool is_known = code.operations[i].run != emulator::run_unknown;
        for (const std::string& form : emulator::forms_of(text)) {
            form_use& use = into[fmt::format("{} {}", processor, form)];
            if (use.count++ == 0) use = {1, is_known, fmt::format("'{}' in {}", text, row.symbol)};
        }
    }
}

/// One compiler's catalogue for one processor: what is not in the cache is compiled.
class catalogue_reader {
public:
    catalogue_reader(const std::string& processor, jit::compiler_backend backend)
        : processor_(processor),
          on_(codegen::parse_target(processor).value()),
          source_(options_for(backend), log(), counts())
    {
        by_ = source_.compiler_for(on_);
        if (by_.backend.empty()) return;
        std::set<cache::digest> seen;
        const char* const gradients = std::getenv("MHC_TEST_GRADIENTS");
        const bool has_all = processor == "gfx942" || (gradients != nullptr && std::string_view(gradients) == "all");
        for (const int level : {2, 3, has_all ? 1 : 3})
            for (const jit::prebuild_item& item : jit::catalogue(level).value()) add(item.spec, seen);
        for (const jit::prebuild_item& item : testing::some_gradients()) add(item.spec, seen);
    }

    /// Empty: read; else what went wrong.
    std::string read(form_table& into)
    {
        if (by_.backend.empty()) return by_.why_none;
        std::string why;
        std::mutex mutex;
        std::atomic<std::size_t> next{0};
        const auto work = [&] {
            for (std::size_t i = next++; i < wanted_.size(); i = next++) {
                auto object = source_.find(wanted_[i]);
                std::string failure;
                if (!object) {
                    auto made = source_.compile(wanted_[i], by_);
                    if (made)
                        object = std::move(*made);
                    else
                        failure = made.error().message;
                }
                form_table forms;
                if (object) add_forms(processor_, object->row, forms);
                const std::lock_guard lock(mutex);
                if (!object) why = failure;
                for (auto& [form, use] : forms) {
                    form_use& all = into[form];
                    const std::size_t before = all.count;
                    if (before == 0) all = use;
                    all.count = before + use.count;
                }
            }
        };
        std::thread other(work);
        work();
        other.join();
        return why;
    }
    std::string name() const { return fmt::format("{} by {}: {} kernels", processor_, by_.backend, wanted_.size()); }

private:
    static jit::engine_options options_for(jit::compiler_backend backend)
    {
        jit::engine_options made = jit::engine_options::from_environment().value();
        if (std::getenv("MHC_JIT_DIR") == nullptr) made.cache_dir = MHC_TEST_CACHE_DIR;
        made.backend = backend;
        made.level = jit::log_level::warning;
        return made;
    }
    static std::shared_ptr<runtime::logger> log()
    {
        return std::make_shared<runtime::logger>(jit::log_level::warning, jit::log_sink());
    }
    static std::shared_ptr<runtime::counters> counts() { return std::make_shared<runtime::counters>(); }

    void add(const jit::layer_spec& spec, std::set<cache::digest>& seen)
    {
        for (int i = 0; i < jit::operation_count; ++i) {
            const auto op = static_cast<jit::operation>(i);
            if (!spec.wanted.contains(op)) continue;
            plans_.push_back(std::make_unique<codegen::operator_plan>(codegen::plan(spec, on_, op).value()));
            for (const codegen::kernel_plan& kernel : plans_.back()->kernels) {
                runtime::keyed_kernel keyed = source_.key_of(kernel, on_, by_);
                if (seen.insert(keyed.query.key).second) wanted_.push_back(std::move(keyed));
            }
        }
    }

    std::string processor_;
    codegen::target on_;
    runtime::object_source source_;
    runtime::chosen_compiler by_;
    std::vector<std::unique_ptr<codegen::operator_plan>> plans_;
    std::vector<runtime::keyed_kernel> wanted_;
};

/// Lines of every file in the folder.
std::set<std::string> executed_in(const std::string& folder)
{
    std::set<std::string> lines;
    for (const auto& file : std::filesystem::directory_iterator(folder)) {
        std::ifstream in(file.path());
        for (std::string line; std::getline(in, line);) lines.insert(line);
    }
    return lines;
}

/// Prints the table; returns how many forms are unknown, or not executed where `executed` is given.
std::size_t report(const form_table& forms, const std::set<std::string>* executed)
{
    std::map<std::string, std::pair<std::size_t, std::size_t>> by_processor;  // executed, all
    std::size_t missing = 0;
    for (const auto& [form, use] : forms) {
        const bool is_executed = executed != nullptr && executed->contains(form);
        auto& [done, all] = by_processor[form.substr(0, form.find(' '))];
        done += is_executed ? 1 : 0;
        ++all;
        if (executed == nullptr) fmt::print("{:8} {} {}\n", use.count, use.is_known ? "known  " : "UNKNOWN", form);
        const bool is_missing = !use.is_known || (executed != nullptr && !is_executed);
        if (is_missing) {
            ++missing;
            fmt::print("{}: {}, {} times, first {}\n", use.is_known ? "not executed" : "not known to the emulator", form,
                       use.count, use.example);
        }
    }
    for (const auto& [processor, counts] : by_processor) {
        if (executed == nullptr)
            fmt::print("{}: {} forms of instructions in the catalogue\n", processor, counts.second);
        else
            fmt::print("{}: {} of {} forms of instructions in the catalogue were executed\n", processor, counts.first,
                       counts.second);
    }
    return missing;
}

}  // namespace

int main(int count, char** arguments)
{
    const std::vector<std::string> given(arguments + 1, arguments + count);
    if (given.size() == 2 && given[0] == "--clear") {
        std::filesystem::remove_all(given[1]);
        std::filesystem::create_directories(given[1]);
        return 0;
    }
    if (given.size() > 1 || (given.size() == 1 && !std::filesystem::is_directory(given[0]))) {
        fmt::print(stderr,
                   "usage: mhc_emulator_coverage [FOLDER | --clear FOLDER]; FOLDER is what MHC_EMULATOR_COVERAGE named\n");
        return 2;
    }
    struct reading {
        const char* processor;
        jit::compiler_backend backend;
    };
    form_table forms;
    for (const reading& each : {reading{"gfx90a", jit::compiler_backend::hiprtc},
                                {"gfx90a", jit::compiler_backend::clang},
                                {"gfx942", jit::compiler_backend::clang},
                                {"gfx1100", jit::compiler_backend::clang},
                                {"gfx1200", jit::compiler_backend::clang}}) {
        catalogue_reader reader(each.processor, each.backend);
        if (const std::string why = reader.read(forms); !why.empty()) {
            fmt::print("{}: {}\n", each.processor, why);
            return 1;
        }
        fmt::print("{}\n", reader.name());
    }
    const std::set<std::string> executed = given.empty() ? std::set<std::string>() : executed_in(given[0]);
    return report(forms, given.empty() ? nullptr : &executed) == 0 ? 0 : 1;
}
