// runtime/compilers/clang_backend.cpp -- the worker's side of the Clang plug-in: loads it and speaks its C interface.
#include <dlfcn.h>

#include <array>
#include <cstring>

#include "runtime/compilers/backend.hpp"
#include "runtime/compilers/clang_plugin.hpp"
#include "runtime/compilers/identity.hpp"

namespace mhc::runtime::compilers {
namespace {

/// What is asked about; a Clang that knows none but these is not believed to know more.
constexpr std::array<const char*, 32> candidates{
    "host",    "gfx900",  "gfx906",  "gfx908",  "gfx90a",         "gfx940",        "gfx941",        "gfx942",
    "gfx950",  "gfx1010", "gfx1030", "gfx1031", "gfx1032",        "gfx1033",       "gfx1034",       "gfx1035",
    "gfx1036", "gfx1100", "gfx1101", "gfx1102", "gfx1103",        "gfx1150",       "gfx1151",       "gfx1152",
    "gfx1153", "gfx1200", "gfx1201", "gfx1250", "gfx9-4-generic", "gfx11-generic", "gfx12-generic", nullptr};

/// Where a call of the plug-in puts what it makes.
struct output {
    std::string code, log;
    std::vector<std::string> lines;
    std::vector<const void*> addresses;
    static void to_code(void* self, const char* data, std::size_t size)
    {
        static_cast<output*>(self)->code.append(data, size);
    }
    static void to_log(void* self, const char* data, std::size_t size)
    {
        static_cast<output*>(self)->log.append(data, size);
    }
    static void to_lines(void* self, const char* data, std::size_t size)
    {
        static_cast<output*>(self)->lines.emplace_back(data, size);
    }
    static void to_addresses(void* self, const char* data, std::size_t size)
    {
        const void* address = nullptr;
        std::memcpy(&address, data, std::min(size, sizeof address));
        static_cast<output*>(self)->addresses.push_back(address);
    }
};

class clang_backend final : public backend {
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
        std::vector<const char*> options;
        for (const std::string& option : job.options) options.push_back(option.c_str());
        const mhc_clang_job given{job.name.c_str(), job.source.data(), job.source.size(), options.data(), options.size()};
        output made;
        const int state = compile_(&given, &output::to_code, &output::to_log, &made);
        result.status = state == mhc_clang_ok ? compile_status::ok : compile_status::compile_error;
        result.code = std::move(made.code);
        result.log = std::move(made.log);
        result.compiler = info_.identity;
        result.compiler_name = "clang " + info_.version;
        reply->must_end = state == mhc_clang_failed_for_good;
    }

    std::string disassemble(std::string_view target, std::string_view code, std::string* why) override
    {
        load();
        if (!info_.available) return *why = info_.why_not, std::string();
        output made;
        disassemble_(std::string(target).c_str(), code.data(), code.size(), &output::to_code, &output::to_log, &made);
        *why = std::move(made.log);
        return std::move(made.code);
    }

private:
    template <class Function>
    bool find(void* library, const char* name, Function* into)
    {
        *into = reinterpret_cast<Function>(::dlsym(library, name));
        return *into != nullptr;
    }

    void load()
    {
        if (!info_.name.empty()) return;
        info_.name = "clang";
        const std::string path = program_folder() + "/libmhc_clang.so";
        void* const library = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
        if (library == nullptr) {
            const char* const error = ::dlerror();
            info_.why_not = std::string("the Clang plug-in cannot be loaded: ") + (error != nullptr ? error : path.c_str());
            return;
        }
        decltype(&mhc_clang_interface) interface = nullptr;
        decltype(&mhc_clang_version) version = nullptr;
        decltype(&mhc_clang_targets) targets = nullptr;
        decltype(&mhc_clang_files) files = nullptr;
        const bool is_whole = find(library, "mhc_clang_interface", &interface) &&
                              find(library, "mhc_clang_version", &version) && find(library, "mhc_clang_targets", &targets) &&
                              find(library, "mhc_clang_files", &files) && find(library, "mhc_clang_compile", &compile_) &&
                              find(library, "mhc_clang_disassemble", &disassemble_);
        if (!is_whole || interface() != MHC_CLANG_INTERFACE) {
            info_.why_not = path + " is not the Clang plug-in that was built with this worker";
            return;
        }
        output made;
        targets(candidates.data(), &output::to_lines, &made);
        files(&output::to_addresses, &made);
        std::vector<loaded_file> parts;
        for (const void* const address : made.addresses) {
            loaded_file part = file_at(address);
            const bool is_new =
                std::none_of(parts.begin(), parts.end(), [&](const auto& one) { return one.path == part.path; });
            if (is_new && !part.path.empty()) parts.push_back(std::move(part));
        }
        info_.version = version();
        info_.targets = std::move(made.lines);
        info_.identity = identify(info_.name, info_.version, parts);
        info_.files = on_disk(parts);
        info_.available = true;
    }

    backend_info info_;
    decltype(&mhc_clang_compile) compile_ = nullptr;
    decltype(&mhc_clang_disassemble) disassemble_ = nullptr;
};

}  // namespace

std::unique_ptr<backend> make_clang_backend() { return std::make_unique<clang_backend>(); }

}  // namespace mhc::runtime::compilers
