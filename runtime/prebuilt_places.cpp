// runtime/prebuilt_places.cpp -- the folders and the program's own databases, and which of them are there.
#include "runtime/prebuilt_places.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <mutex>

#include <mhc/jit/prebuild.hpp>

#include "runtime/compile_service.hpp"

namespace mhc::runtime {
namespace {

struct embedded_databases {
    std::mutex mutex;
    std::vector<prebuilt_place> list;
};

/// Made by whoever asks first, which may be a constructor of another file's static object; never destroyed.
embedded_databases& embedded()
{
    static auto* const all = new embedded_databases;
    return *all;
}

std::string file_name(std::string_view target_name) { return fmt::format("mhc_{}.db", target_name); }

}  // namespace

std::vector<std::string> prebuilt_folders(const jit::engine_options& options)
{
    std::vector<std::string> folders = options.prebuilt_dirs;
    std::error_code ignored;
    const std::filesystem::path program = std::filesystem::read_symlink("/proc/self/exe", ignored);
    if (!program.empty()) {
        folders.push_back(program.string() + ".prebuilt");
        folders.push_back((program.parent_path().parent_path() / "lib/mhc/prebuilt" / program.filename()).string());
    }
    for (const char* folder : {MHC_JIT_PREBUILT_BUILD, MHC_JIT_PREBUILT_INSTALLED}) folders.emplace_back(folder);
    return folders;
}

std::vector<prebuilt_place> prebuilt_places(const jit::engine_options& options, std::string_view target_name)
{
    // An object for the processor alone runs under every feature setting.
    const std::string exact(target_name),
        processor = exact.substr(0, exact.starts_with("gfx") ? exact.find(':') : exact.npos);
    std::vector<std::string> names = {file_name(exact)};
    if (processor != exact) names.push_back(file_name(processor));

    std::vector<prebuilt_place> places;
    const auto add_files_of = [&](const std::string& folder) {
        for (const std::string& name : names) {
            const std::string file = folder + "/" + name;
            std::error_code ignored;
            const bool is_new = std::none_of(places.begin(), places.end(), [&](const auto& p) { return p.name == file; });
            // A link that leads nowhere is told about, not passed over.
            const auto status = std::filesystem::symlink_status(file, ignored);
            if (is_new && std::filesystem::exists(status)) places.push_back({file, {}});
        }
    };
    const std::vector<std::string> folders = prebuilt_folders(options);
    const auto others = folders.begin() + static_cast<std::ptrdiff_t>(options.prebuilt_dirs.size());
    std::for_each(folders.begin(), others, add_files_of);
    {
        const std::lock_guard lock(embedded().mutex);
        for (const std::string& name : names)
            std::copy_if(embedded().list.begin(), embedded().list.end(), std::back_inserter(places),
                         [&](const prebuilt_place& each) { return each.name == name; });
    }
    std::for_each(others, folders.end(), add_files_of);
    return places;
}

}  // namespace mhc::runtime

namespace mhc::jit {

void embed_prebuilt(std::string_view name, std::string_view bytes)
{
    runtime::embedded_databases& all = runtime::embedded();
    const std::lock_guard lock(all.mutex);
    all.list.push_back({std::string(name), bytes});
}

}  // namespace mhc::jit
