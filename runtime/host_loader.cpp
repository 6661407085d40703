// runtime/host_loader.cpp -- kernels of the `host` target: shared objects in memory, run over a thread pool.
#include <dlfcn.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string>

#include "runtime/loader.hpp"
#include "runtime/thread_pool.hpp"

namespace mhc::runtime {
namespace {

using jit::errc;
using jit::failure;

/// As codegen/render.cpp writes it.
using host_entry = void (*)(const void* arguments, long long group);

class file_descriptor {
public:
    explicit file_descriptor(int fd) : fd_(fd) {}
    file_descriptor(const file_descriptor&) = delete;
    file_descriptor& operator=(const file_descriptor&) = delete;
    ~file_descriptor()
    {
        if (fd_ >= 0) close(fd_);
    }
    int get() const { return fd_; }

private:
    int fd_;
};

bool write_all(int fd, std::string_view bytes)
{
    while (!bytes.empty()) {
        const ssize_t n = write(fd, bytes.data(), bytes.size());
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return false;
        bytes.remove_prefix(static_cast<std::size_t>(n));
    }
    return true;
}

failure load_error(std::string_view symbol, std::string_view what)
{
    return {errc::load_failed, fmt::format("{}: {}", symbol, what)};
}

/// A path to the descriptor that no loaded object has: dlopen takes a known path for a known object, and descriptors are
/// reused. So the inode, which a loaded object keeps to itself, is spelled in components that mean nothing: "/" for a bit
/// that is 0 and "/." for one that is 1.
std::string unique_path_of(int fd)
{
    struct stat file {};
    fstat(fd, &file);
    std::string path = "/proc/self/fd";
    for (std::uint64_t bits = file.st_ino; bits != 0; bits >>= 1) path += (bits & 1U) != 0 ? "/." : "/";
    return path.append(fmt::format("/{}", fd));
}

/// A file without a name that nobody can change: a sealed memfd, else an 0700 file, unlinked when it is loaded.
jit::result<void*> open_in_memory(std::string_view code, std::string_view symbol)
{
    const file_descriptor memory(memfd_create(std::string(symbol).c_str(), MFD_CLOEXEC | MFD_ALLOW_SEALING));
    if (memory.get() >= 0 && write_all(memory.get(), code)) {
        fcntl(memory.get(), F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
        if (void* handle = dlopen(unique_path_of(memory.get()).c_str(), RTLD_NOW | RTLD_LOCAL)) return handle;
    }
    std::string path = "/tmp/mhc-host-XXXXXX";
    const file_descriptor file(mkostemp(path.data(), O_CLOEXEC));
    if (file.get() < 0) return load_error(symbol, fmt::format("cannot create {}: {}", path, std::strerror(errno)));
    void* handle = nullptr;
    if (fchmod(file.get(), 0700) == 0 && write_all(file.get(), code)) handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    const char* why = handle == nullptr ? dlerror() : nullptr;
    unlink(path.c_str());
    if (handle == nullptr) return load_error(symbol, why != nullptr ? why : std::strerror(errno));
    return handle;
}

class host_kernel final : public loaded_kernel {
public:
    host_kernel(host_entry entry, thread_pool& pool) : entry_(entry), pool_(pool) {}

    jit::result<void> launch(std::int64_t groups, std::int32_t, const void* arguments, std::size_t, void*) const override
    {
        const call the_call{entry_, arguments};
        pool_.run(
            groups,
            [](const void* context, std::int64_t group) {
                const auto* c = static_cast<const call*>(context);
                c->entry(c->arguments, group);
            },
            &the_call);
        return {};
    }

private:
    struct call {
        host_entry entry;
        const void* arguments;
    };
    host_entry entry_;
    thread_pool& pool_;
};

class host_loader final : public loader {
public:
    jit::result<std::shared_ptr<const loaded_kernel>> load(std::string_view code, std::string_view symbol) override
    {
        auto handle = open_in_memory(code, symbol);
        if (!handle) return handle.error();
        // Never dlclosed: a kernel handed out may be running when its engine goes.
        void* entry = dlsym(*handle, std::string(symbol).c_str());
        if (entry == nullptr) return load_error(symbol, "the object does not define it");
        host_entry function = nullptr;
        std::memcpy(&function, &entry, sizeof function);
        return std::shared_ptr<const loaded_kernel>(std::make_shared<host_kernel>(function, pool_));
    }

private:
    thread_pool pool_;
};

}  // namespace

std::unique_ptr<loader> make_host_loader() { return std::make_unique<host_loader>(); }

}  // namespace mhc::runtime
