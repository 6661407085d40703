// runtime/compilers/nvrtc.cpp -- NVRTC, loaded with dlopen: CUDA source to a cubin for one architecture.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <vector>

#include "runtime/compilers/backend.hpp"
#include "runtime/compilers/dynamic_library.hpp"
#include "runtime/compilers/identity.hpp"

namespace mhc::runtime::compilers {
namespace {

using program = void*;

/// What is used of NVRTC: declarations of our own, so that it is not needed to build.
struct nvrtc_functions {
    int (*version)(int* major, int* minor);
    int (*architecture_count)(int*);
    int (*architectures)(int*);
    int (*create)(program*, const char* source, const char* name, int headers, const char** texts, const char** names);
    int (*compile)(program, int count, const char** options);
    int (*code_size)(program, std::size_t*);
    int (*code)(program, char*);
    int (*log_size)(program, std::size_t*);
    int (*log)(program, char*);
    int (*destroy)(program*);  // takes the handle's address, unlike the others
    const char* (*error_text)(int);
};

constexpr std::array nvrtc_names{"libnvrtc.so.13", "libnvrtc.so.12", "/usr/local/cuda/lib64/libnvrtc.so", "libnvrtc.so.11.2",
                                 "libnvrtc.so"};

class nvrtc_backend final : public backend {
public:
    void prepare() override { load(); }

    backend_info info() override
    {
        load();
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
        result.compiler = info_.identity;
        result.compiler_name = "nvrtc " + info_.version;
        std::vector<const char*> options;
        for (const std::string& option : job.options) options.push_back(option.c_str());

        program made = nullptr;
        const int created = call_.create(&made, job.source.c_str(), job.name.c_str(), 0, nullptr, nullptr);
        if (created != 0) {
            result.log = fmt::format("nvrtcCreateProgram: {}", call_.error_text(created));
            return;
        }
        const int compiled = call_.compile(made, static_cast<int>(options.size()), options.data());
        result.log = text_of(made, call_.log_size, call_.log);
        while (!result.log.empty() && result.log.back() == '\0') result.log.pop_back();
        if (compiled == 0) result.code = text_of(made, call_.code_size, call_.code);
        if (!result.code.empty())
            result.status = compile_status::ok;
        else if (result.log.empty())
            result.log = fmt::format("nvrtcCompileProgram: {}", call_.error_text(compiled));
        call_.destroy(&made);
    }

private:
    void load()
    {
        if (!info_.name.empty()) return;
        info_.name = "nvrtc";
        void* const library = open_first(nvrtc_names, "nvrtcGetCUBIN");
        if (library == nullptr) {
            info_.why_not =
                "no libnvrtc.so.{13,12,11.2} with nvrtcGetCUBIN was found, nor /usr/local/cuda/lib64/libnvrtc.so";
            return;
        }
        const auto find = [&](const char* name, auto* into) { return find_function(library, name, into); };
        const bool is_whole = find("nvrtcVersion", &call_.version) &&
                              find("nvrtcGetNumSupportedArchs", &call_.architecture_count) &&
                              find("nvrtcGetSupportedArchs", &call_.architectures) &&
                              find("nvrtcCreateProgram", &call_.create) && find("nvrtcCompileProgram", &call_.compile) &&
                              find("nvrtcGetCUBINSize", &call_.code_size) && find("nvrtcGetCUBIN", &call_.code) &&
                              find("nvrtcGetProgramLogSize", &call_.log_size) && find("nvrtcGetProgramLog", &call_.log) &&
                              find("nvrtcDestroyProgram", &call_.destroy) && find("nvrtcGetErrorString", &call_.error_text);
        const loaded_file file = file_at(reinterpret_cast<const void*>(call_.create));
        if (!is_whole) {
            info_.why_not = fmt::format("{} lacks a function of NVRTC 11.2", file.path);
            return;
        }
        int major = 0, minor = 0, count = 0;
        call_.version(&major, &minor);
        call_.architecture_count(&count);
        std::vector<int> numbers(static_cast<std::size_t>(std::max(count, 0)));
        if (!numbers.empty()) call_.architectures(numbers.data());
        for (const int number : numbers) {
            info_.targets.push_back(fmt::format("sm_{}", number));
            // NVRTC lists numbers alone; from 9.0 on each has a variant with that very chip's own instructions.
            if (number >= 90) info_.targets.push_back(fmt::format("sm_{}a", number));
        }
        info_.version = fmt::format("{}.{}", major, minor);
        info_.identity = identify(info_.name, info_.version, {file});
        info_.files = on_disk({file});
        info_.available = !info_.targets.empty();
        if (!info_.available) info_.why_not = fmt::format("{} lists no architecture", file.path);
    }

    backend_info info_;
    nvrtc_functions call_{};
};

}  // namespace

std::unique_ptr<backend> make_nvrtc_backend() { return std::make_unique<nvrtc_backend>(); }

}  // namespace mhc::runtime::compilers
