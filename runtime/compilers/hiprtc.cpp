// runtime/compilers/hiprtc.cpp -- HIPRTC, loaded with dlopen, and guarded against what it does to the process.
//
// HIPRTC up to 7.1 ends the process at an architecture it does not know (a double free in its error path), so comgr, the
// library below it, is asked for its list first and HIPRTC never hears of any other.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>

#include "runtime/compilers/backend.hpp"
#include "runtime/compilers/dynamic_library.hpp"
#include "runtime/compilers/identity.hpp"

namespace mhc::runtime::compilers {
namespace {

using program = void*;

/// What is used of HIPRTC and comgr: declarations of our own, so that neither is needed to build.
struct hiprtc_functions {
    int (*create)(program*, const char* source, const char* name, int headers, const char** texts, const char** names);
    int (*compile)(program, int count, const char** options);
    int (*code_size)(program, std::size_t*);
    int (*code)(program, char*);
    int (*log_size)(program, std::size_t*);
    int (*log)(program, char*);
    int (*destroy)(program*);  // takes the handle's address, unlike the others
    const char* (*error_text)(int);
    int (*isa_count)(std::size_t*);
    int (*isa_name)(std::size_t, const char**);
};

constexpr std::array hiprtc_names{"libhiprtc.so.7",
                                  "libhiprtc.so.6",
                                  "libhiprtc.so.5",
                                  "libamdhip64.so.7",
                                  "libamdhip64.so.6",
                                  "libamdhip64.so.5",
                                  "/opt/rocm/lib/libhiprtc.so",
                                  "/opt/rocm/lib/libamdhip64.so"};
constexpr std::string_view no_builtin_header = "--hiprtc-no-builtin-header";

/// "5.2" of ".../libamdhip64.so.5.2.21153"
std::string version_of_file(const std::string& path)
{
    const std::size_t at = path.rfind(".so.");
    if (at == std::string::npos) return {};
    const std::string numbers = path.substr(at + 4);
    const std::size_t dot = numbers.find('.');
    return dot == std::string::npos ? numbers : numbers.substr(0, numbers.find('.', dot + 1));
}

/// Major version of the LLVM that made a code object, by the linker's line (else the compiler's) in its comments.
std::string llvm_version(std::string_view code)
{
    for (const std::string_view mark : {std::string_view(" LLD "), std::string_view("clang version ")}) {
        const std::size_t at = code.rfind(mark);
        if (at == std::string_view::npos) continue;
        std::string digits;
        for (std::size_t i = at + mark.size(); i < code.size() && std::isdigit(static_cast<unsigned char>(code[i])); ++i)
            digits += code[i];
        if (!digits.empty()) return digits;
    }
    return {};
}

class hiprtc_backend final : public backend {
public:
    void prepare() override { load(); }

    backend_info info() override
    {
        load();
        if (info_.available) complete_identity({});
        return info_;
    }

    void compile(const compile_job& job, protocol::compile_reply* reply) override
    {
        compile_result& result = reply->result;
        load();
        if (!info_.available) {
            result.status = compile_status::no_compiler;
            result.log = info_.why_not;
            return;
        }
        result.status = compile_status::compile_error;
        result.log = objection(job);
        if (result.log.empty()) {
            compile_accepted(job, &result);
            // With its own message or not, an option this HIPRTC is too old for is named in the log.
            if (result.status != compile_status::ok && learn_rejected_options(job.options, result.log))
                compile_accepted(job, &result);
            if (result.status != compile_status::ok && learn_rejected_options(job.options, result.log))
                compile_accepted(job, &result);
        }
        complete_identity(result.code);
        result.compiler = info_.identity;
        result.compiler_name = "hiprtc " + info_.version;
    }

private:
    /// Why the job must not reach HIPRTC; empty: it may.
    std::string objection(const compile_job& job) const
    {
        bool has_target = false;
        for (const std::string& option : job.options) {
            constexpr std::string_view name = "--offload-arch=";
            if (!option.starts_with(name)) continue;
            const std::string target = option.substr(name.size()), processor = target.substr(0, target.find(':'));
            if (std::find(info_.targets.begin(), info_.targets.end(), processor) == info_.targets.end())
                return fmt::format("HIPRTC {} does not know {}; it knows {}", info_.version, processor,
                                   fmt::join(info_.targets, ", "));
            has_target = true;
        }
        return has_target ? std::string() : "the options name no --offload-arch";
    }

    /// True: something new is known to be rejected, and it is worth another try.
    bool learn_rejected_options(const std::vector<std::string>& options, const std::string& log)
    {
        bool is_new = false;
        for (const std::string_view name :
             {no_builtin_header, std::string_view("-nogpuinc"), std::string_view("-nogpulib")}) {
            if (std::find(options.begin(), options.end(), name) == options.end() || log.find(name) == std::string::npos)
                continue;
            if (std::find(rejected_.begin(), rejected_.end(), name) != rejected_.end()) continue;
            rejected_.push_back(name);
            is_new = true;
        }
        return is_new;
    }

    void compile_accepted(const compile_job& job, compile_result* result)
    {
        std::vector<const char*> options;
        for (const std::string& option : job.options)
            if (std::find(rejected_.begin(), rejected_.end(), option) == rejected_.end()) options.push_back(option.c_str());
        result->log.clear();
        program made = nullptr;
        const int created = call_.create(&made, job.source.c_str(), job.name.c_str(), 0, nullptr, nullptr);
        if (created != 0) {
            result->log = fmt::format("hiprtcCreateProgram: {}", call_.error_text(created));
            return;
        }
        const int compiled = call_.compile(made, static_cast<int>(options.size()), options.data());
        result->log = text_of(made, call_.log_size, call_.log);
        while (!result->log.empty() && result->log.back() == '\0') result->log.pop_back();
        if (compiled == 0) result->code = text_of(made, call_.code_size, call_.code);
        if (!result->code.empty())
            result->status = compile_status::ok;
        else if (result->log.empty())
            result->log = fmt::format("hiprtcCompileProgram: {}", call_.error_text(compiled));
        call_.destroy(&made);
    }

    void load()
    {
        if (!info_.name.empty()) return;
        info_.name = "hiprtc";
        void* const hiprtc = open_first(hiprtc_names, "hiprtcCompileProgram");
        if (hiprtc == nullptr) {
            info_.why_not = "neither libhiprtc.so.{7,6,5} nor a libamdhip64.so.{7,6,5} with HIPRTC in it was found";
            return;
        }
        bool is_whole = find_function(hiprtc, "hiprtcCreateProgram", &call_.create) &&
                        find_function(hiprtc, "hiprtcCompileProgram", &call_.compile);
        is_whole = is_whole && find_function(hiprtc, "hiprtcGetCodeSize", &call_.code_size) &&
                   find_function(hiprtc, "hiprtcGetCode", &call_.code);
        is_whole = is_whole && find_function(hiprtc, "hiprtcGetProgramLogSize", &call_.log_size) &&
                   find_function(hiprtc, "hiprtcGetProgramLog", &call_.log);
        is_whole = is_whole && find_function(hiprtc, "hiprtcDestroyProgram", &call_.destroy) &&
                   find_function(hiprtc, "hiprtcGetErrorString", &call_.error_text);
        hiprtc_file_ = file_at(reinterpret_cast<const void*>(call_.create));
        void* const comgr = is_whole ? open_comgr() : nullptr;
        if (comgr == nullptr || !find_function(comgr, "amd_comgr_get_isa_count", &call_.isa_count) ||
            !find_function(comgr, "amd_comgr_get_isa_name", &call_.isa_name)) {
            info_.why_not =
                fmt::format("{} {}", hiprtc_file_.path,
                            is_whole ? "is there, but libamd_comgr.so.{3,2} is not" : "lacks a function of HIPRTC");
            return;
        }
        std::size_t count = 0;
        call_.isa_count(&count);
        for (std::size_t i = 0; i < count; ++i) {
            const char* name = nullptr;  // "amdgcn-amd-amdhsa--gfx942"
            if (call_.isa_name(i, &name) != 0 || name == nullptr) continue;
            const std::string_view whole = name;
            const std::size_t at = whole.rfind("--");
            if (at != std::string_view::npos) info_.targets.emplace_back(whole.substr(at + 2));
        }
        info_.version = version_of_file(hiprtc_file_.path);
        info_.available = !info_.targets.empty();
        if (!info_.available) info_.why_not = "comgr lists no architecture";
    }

    /// The comgr that this HIPRTC uses: one that is loaded already; else, as HIP 5 loads it late, that of its generation.
    void* open_comgr()
    {
        std::array<const char*, 2> names{"libamd_comgr.so.3", "libamd_comgr.so.2"};
        if (info_.version.empty()) info_.version = version_of_file(hiprtc_file_.path);
        if (info_.version.starts_with("5")) std::swap(names[0], names[1]);
        for (const int mode : {RTLD_NOW | RTLD_LOCAL | RTLD_NOLOAD, RTLD_NOW | RTLD_LOCAL})
            for (const char* const name : names)
                if (void* const library = ::dlopen(name, mode)) return library;
        return nullptr;
    }

    /// The libraries are all there after the first compilation only, and what LLVM they hold is read from what it made.
    void complete_identity(std::string_view code)
    {
        if (is_complete_) return;
        is_complete_ = true;
        compile_result probe;
        if (code.empty()) {
            const auto usual = std::find(info_.targets.begin(), info_.targets.end(), "gfx90a");
            const std::string& target = usual != info_.targets.end() ? *usual : info_.targets.back();
            const compile_job job{.backend = "hiprtc",
                                  .target = target,
                                  .name = "mhc_probe.hip",
                                  .source = "extern \"C\" __attribute__((global)) void k() {}\n",
                                  .options = {"--offload-arch=" + target}};
            compile_accepted(job, &probe);
            code = probe.code;
        }
        if (const std::string llvm = llvm_version(code); !llvm.empty()) info_.version += fmt::format(" (LLVM {})", llvm);

        std::vector<loaded_file> files = with_llvm(file_at(reinterpret_cast<const void*>(call_.isa_count)));
        if (files.empty() || files.front().path != hiprtc_file_.path) files.push_back(hiprtc_file_);
        for (const char* const prefix : {"libhiprtc-builtins", "libamdhip64"})
            for (loaded_file& more : files_named(prefix))
                if (more.path != hiprtc_file_.path) files.push_back(std::move(more));
        info_.identity = identify(info_.name, info_.version, files);
        info_.files = on_disk(files);
    }

    backend_info info_;
    hiprtc_functions call_{};
    loaded_file hiprtc_file_;
    std::vector<std::string_view> rejected_;
    bool is_complete_ = false;
};

}  // namespace

std::unique_ptr<backend> make_hiprtc_backend() { return std::make_unique<hiprtc_backend>(); }

}  // namespace mhc::runtime::compilers
