// runtime/compilers/identity.cpp -- finds build-ids in the loaded shared objects and makes a toolchain's identity of them.
#include "runtime/compilers/identity.hpp"

#include <elf.h>
#include <link.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <functional>
#include <iterator>
#include <nlohmann/json.hpp>

namespace mhc::runtime::compilers {
namespace {

using header = ElfW(Phdr);

std::string hex_of(const unsigned char* bytes, std::size_t size)
{
    constexpr std::string_view digits = "0123456789abcdef";
    std::string text;
    for (std::size_t i = 0; i < size; ++i) text.append({digits[bytes[i] >> 4], digits[bytes[i] & 15]});
    return text;
}

const char* place(const dl_phdr_info& object, ElfW(Addr) address)
{
    return reinterpret_cast<const char*>(object.dlpi_addr + address);
}

/// GNU build-id of a loaded object, in hex; empty where it has none.
std::string build_id(const dl_phdr_info& object)
{
    for (const header* segment = object.dlpi_phdr; segment != object.dlpi_phdr + object.dlpi_phnum; ++segment) {
        if (segment->p_type != PT_NOTE) continue;
        const char* at = place(object, segment->p_vaddr);
        const char* const end = at + segment->p_memsz;
        while (end - at >= static_cast<std::ptrdiff_t>(sizeof(ElfW(Nhdr)))) {
            ElfW(Nhdr) note;
            std::memcpy(&note, at, sizeof note);
            const std::size_t name_size = (note.n_namesz + 3U) & ~3U, data_size = (note.n_descsz + 3U) & ~3U;
            const char* const name = at + sizeof note;
            if (static_cast<std::size_t>(end - name) < name_size + note.n_descsz) break;
            if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 && std::memcmp(name, "GNU", 4) == 0)
                return hex_of(reinterpret_cast<const unsigned char*>(name + name_size), note.n_descsz);
            if (static_cast<std::size_t>(end - name) < name_size + data_size) break;
            at = name + name_size + data_size;
        }
    }
    return {};
}

std::vector<std::string> needed_by(const dl_phdr_info& object)
{
    std::vector<std::string> names;
    for (const header* segment = object.dlpi_phdr; segment != object.dlpi_phdr + object.dlpi_phnum; ++segment) {
        if (segment->p_type != PT_DYNAMIC) continue;
        const auto* const first = reinterpret_cast<const ElfW(Dyn)*>(place(object, segment->p_vaddr));
        ElfW(Addr) strings = 0;
        for (const auto* entry = first; entry->d_tag != DT_NULL; ++entry)
            if (entry->d_tag == DT_STRTAB) strings = entry->d_un.d_ptr;
        if (strings == 0) continue;
        if (strings < object.dlpi_addr) strings += object.dlpi_addr;  // glibc has relocated it on most architectures
        for (const auto* entry = first; entry->d_tag != DT_NULL; ++entry)
            if (entry->d_tag == DT_NEEDED) names.emplace_back(reinterpret_cast<const char*>(strings + entry->d_un.d_val));
    }
    return names;
}

std::string name_of(const std::string& path) { return path.substr(path.rfind('/') + 1); }

std::string real_path(const std::string& path)
{
    std::array<char, PATH_MAX> buffer;
    return ::realpath(path.c_str(), buffer.data()) != nullptr ? buffer.data() : path;
}

std::string file_digest(const std::string& path)
{
    std::ifstream in(path, std::ios::binary);
    const std::string bytes{std::istreambuf_iterator<char>(in), {}};
    return cache::to_hex(cache::sha256(bytes));
}

loaded_file describe(const dl_phdr_info& object)
{
    loaded_file file;
    file.path = real_path(object.dlpi_name);
    const std::string id = build_id(object);
    file.id = id.empty() ? "sha256:" + file_digest(file.path) : "build-id:" + id;
    file.needed = needed_by(object);
    return file;
}

/// Every loaded object for which `wanted` holds; the program itself, which has no name here, is left out.
std::vector<loaded_file> loaded_where(const std::function<bool(const dl_phdr_info&)>& wanted)
{
    struct search {
        const std::function<bool(const dl_phdr_info&)>* wanted;
        std::vector<loaded_file> found;
    } state{&wanted, {}};
    ::dl_iterate_phdr(
        [](dl_phdr_info* object, std::size_t, void* data) {
            auto* const to = static_cast<search*>(data);
            if (object->dlpi_name != nullptr && *object->dlpi_name != '\0' && (*to->wanted)(*object))
                to->found.push_back(describe(*object));
            return 0;
        },
        &state);
    return std::move(state.found);
}

}  // namespace

loaded_file file_at(const void* address)
{
    const auto wanted = reinterpret_cast<ElfW(Addr)>(address);
    auto found = loaded_where([&](const dl_phdr_info& object) {
        return std::any_of(object.dlpi_phdr, object.dlpi_phdr + object.dlpi_phnum, [&](const header& segment) {
            const ElfW(Addr) first = object.dlpi_addr + segment.p_vaddr;
            return segment.p_type == PT_LOAD && wanted >= first && wanted - first < segment.p_memsz;
        });
    });
    return found.empty() ? loaded_file{} : std::move(found.front());
}

std::vector<loaded_file> files_named(std::string_view prefix)
{
    return loaded_where([&](const dl_phdr_info& object) { return name_of(object.dlpi_name).starts_with(prefix); });
}

std::vector<loaded_file> with_llvm(const loaded_file& of)
{
    std::vector<loaded_file> files{of};
    for (const std::string& name : of.needed) {
        if (!name.starts_with("libLLVM") && !name.starts_with("libclang-cpp")) continue;
        auto found = loaded_where([&](const dl_phdr_info& object) { return name_of(object.dlpi_name) == name; });
        files.insert(files.end(), std::make_move_iterator(found.begin()), std::make_move_iterator(found.end()));
    }
    return files;
}

std::vector<cache::toolchain_file> on_disk(const std::vector<loaded_file>& files)
{
    std::vector<cache::toolchain_file> seen;
    for (const loaded_file& file : files) {
        struct stat info {};
        if (::stat(file.path.c_str(), &info) != 0) continue;
        cache::toolchain_file entry;
        entry.path = file.path;
        entry.dev = static_cast<std::int64_t>(info.st_dev);
        entry.ino = static_cast<std::int64_t>(info.st_ino);
        entry.size = info.st_size;
        entry.mtime_ns = std::int64_t{info.st_mtim.tv_sec} * 1'000'000'000 + info.st_mtim.tv_nsec;
        seen.push_back(std::move(entry));
    }
    return seen;
}

cache::toolchain identify(std::string_view backend, std::string_view version, std::vector<loaded_file> files)
{
    std::sort(files.begin(), files.end(), [](const loaded_file& a, const loaded_file& b) {
        return std::pair(name_of(a.path), a.id) < std::pair(name_of(b.path), b.id);
    });
    std::string hashed(backend);
    nlohmann::json list = nlohmann::json::array();
    for (const loaded_file& file : files) {
        hashed += '\n' + name_of(file.path) + ' ' + file.id;
        list.push_back({{"path", file.path}, {"id", file.id}});
    }
    const nlohmann::json descr = {
        {"backend", backend}, {"version", version}, {"files", list}, {"worker", real_path("/proc/self/exe")}};
    cache::toolchain made;
    made.fingerprint = cache::sha256(hashed);
    made.descr = descr.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
    return made;
}

std::string program_folder()
{
    const std::string path = real_path("/proc/self/exe");
    return path.substr(0, path.rfind('/'));
}

}  // namespace mhc::runtime::compilers
