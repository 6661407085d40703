// runtime/find_worker.cpp -- where the compile worker's executable is, and the plug-ins beside it.
#include <dlfcn.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>

#include "runtime/compile_service.hpp"
#include "runtime/worker_process.hpp"

namespace mhc::runtime {
namespace {

/// Empty when `path` is a file that may be executed, else what is wrong with it.
std::string objection(const std::string& path)
{
    struct stat info {};
    if (::stat(path.c_str(), &info) != 0) return errno_text(errno);
    if (!S_ISREG(info.st_mode)) return "not a regular file";
    if (::access(path.c_str(), X_OK) != 0) return "not executable";
    return {};
}

std::string folder_of(const std::string& path)
{
    const std::size_t slash = path.rfind('/');
    return slash == std::string::npos ? std::string() : path.substr(0, slash);
}

std::string executable_path()
{
    std::array<char, 4096> buffer{};
    const ssize_t size = ::readlink("/proc/self/exe", buffer.data(), buffer.size() - 1);
    return size > 0 ? std::string(buffer.data(), static_cast<std::size_t>(size)) : std::string();
}

/// Folder of the shared object this code is in. For a program dladdr repeats argv[0], which need not be a path: such a
/// name is not believed, and the program is looked at by itself.
std::string own_folder()
{
    Dl_info info{};
    if (::dladdr(reinterpret_cast<void*>(&find_worker), &info) == 0 || info.dli_fname == nullptr) return {};
    char* real = info.dli_fname[0] == '/' ? ::realpath(info.dli_fname, nullptr) : nullptr;
    if (real == nullptr) return {};
    const std::string path = real;
    std::free(real);
    return folder_of(path);
}

std::vector<std::string> candidates(const std::string& file)
{
    std::vector<std::string> paths;
    const auto beside = [&](const std::string& folder) {
        if (folder.empty()) return;
        paths.push_back(folder + "/../libexec/mhc-jit/" + file);
        paths.push_back(folder + "/../../libexec/mhc-jit/" + file);  // lib/x86_64-linux-gnu
    };
    const std::string library = own_folder(), program = folder_of(executable_path());
    beside(library);
    if (program != library) beside(program);
#ifdef MHC_JIT_WORKER_INSTALLED
    paths.push_back(folder_of(MHC_JIT_WORKER_INSTALLED) + "/" + file);
#endif
#ifdef MHC_JIT_WORKER_BUILD
    paths.push_back(folder_of(MHC_JIT_WORKER_BUILD) + "/" + file);
#endif
    return paths;
}

}  // namespace

std::string find_worker(const std::optional<std::string>& given, std::string* why)
{
    const auto exactly = [&](const std::string& path, const char* origin) -> std::string {
        const std::string wrong = objection(path);
        if (wrong.empty()) return path;
        *why = fmt::format("the compile worker {} ({}) cannot be used: {}", path, origin, wrong);
        return {};
    };
    if (given && !given->empty()) return exactly(*given, "given in the options");
    if (const char* named = ::secure_getenv("MHC_JIT_WORKER"); named != nullptr && *named != '\0')
        return exactly(named, "from MHC_JIT_WORKER");

    std::string tried;
    for (const std::string& path : candidates("mhc-jitc")) {
        if (objection(path).empty()) return path;
        tried += tried.empty() ? path : ", " + path;
    }
    *why = fmt::format("no compile worker: mhc-jitc was looked for at {}; MHC_JIT_WORKER names another place", tried);
    return {};
}

std::string find_beside_worker(const std::string& file)
{
    for (const std::string& path : candidates(file)) {
        struct stat info {};
        if (::stat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode)) return path;
    }
    return {};
}

}  // namespace mhc::runtime
