// runtime/compilers/clang_plugin.cpp -- source text to a linked code object with Clang and LLD, in process and in memory.
#include "runtime/compilers/clang_plugin.hpp"

#include <clang/Basic/Version.h>
#include <clang/CodeGen/CodeGenAction.h>
#include <clang/Frontend/CompilerInstance.h>
#include <clang/Frontend/CompilerInvocation.h>
#include <clang/Frontend/TextDiagnosticPrinter.h>
#include <fcntl.h>
#include <lld/Common/Driver.h>
#include <llvm/MC/TargetRegistry.h>
#include <llvm/Support/CrashRecoveryContext.h>
#include <llvm/Support/ErrorHandling.h>
#include <llvm/Support/MemoryBuffer.h>
#include <llvm/Support/TargetSelect.h>
#include <llvm/Support/VirtualFileSystem.h>
#include <llvm/Support/raw_ostream.h>
#include <llvm/TargetParser/Host.h>
#include <llvm/TargetParser/TargetParser.h>
#include <llvm/TargetParser/Triple.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <exception>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "runtime/compilers/llvm_version.hpp"

LLD_HAS_DRIVER(elf)

namespace {

/// Exit code by which the library knows that a worker ran out of memory (worker_process.hpp).
constexpr int exit_code_out_of_memory = 12;

void out_of_memory(void*, const char*, bool)
{
    constexpr std::string_view line = "mhc-jitc: out of memory\n";
    [[maybe_unused]] const ssize_t written = ::write(2, line.data(), line.size());
    ::_exit(exit_code_out_of_memory);
}

void initialise()
{
    static std::once_flag once;
    std::call_once(once, [] {
        llvm::install_bad_alloc_error_handler(out_of_memory);
        LLVMInitializeAMDGPUTargetInfo();
        LLVMInitializeAMDGPUTarget();
        LLVMInitializeAMDGPUTargetMC();
        LLVMInitializeAMDGPUAsmPrinter();
        LLVMInitializeAMDGPUAsmParser();
        llvm::InitializeNativeTarget();
        llvm::InitializeNativeTargetAsmPrinter();
        llvm::InitializeNativeTargetAsmParser();
    });
}

class descriptor {
public:
    explicit descriptor(int value) : value_(value) {}
    ~descriptor() { close(); }
    descriptor(const descriptor&) = delete;
    descriptor& operator=(const descriptor&) = delete;
    int get() const { return value_; }
    std::string path() const { return "/proc/self/fd/" + std::to_string(value_); }
    void close()
    {
        if (value_ >= 0) ::close(value_);
        value_ = -1;
    }

private:
    int value_;
};

/// Compiles to a relocatable object. No file system but the one file is there, so nothing on the machine can change what
/// the source means.
bool emit_object(const mhc_clang_job& job, llvm::SmallVectorImpl<char>& object, llvm::raw_ostream& log)
{
    auto files = llvm::makeIntrusiveRefCnt<llvm::vfs::InMemoryFileSystem>();
    files->addFile(job.name, 0, llvm::MemoryBuffer::getMemBufferCopy({job.source, job.source_size}, job.name));
    std::vector<const char*> arguments(job.options, job.options + job.option_count);
    arguments.push_back(job.name);

#if LLVM_VERSION_MAJOR >= 21
    clang::DiagnosticOptions diagnostic_options;
    clang::TextDiagnosticPrinter printer(log, diagnostic_options);
#else
    auto diagnostic_options = llvm::makeIntrusiveRefCnt<clang::DiagnosticOptions>();
    clang::TextDiagnosticPrinter printer(log, diagnostic_options.get());
#endif
    auto ids = llvm::makeIntrusiveRefCnt<clang::DiagnosticIDs>();
    llvm::IntrusiveRefCntPtr<clang::DiagnosticsEngine> diagnostics(
        new clang::DiagnosticsEngine(ids, diagnostic_options, &printer, false));
    auto invocation = std::make_shared<clang::CompilerInvocation>();
    if (!clang::CompilerInvocation::CreateFromArgs(*invocation, arguments, *diagnostics)) return false;
    if (!invocation->getFrontendOpts().LLVMArgs.empty()) {
        log << "error: -mllvm options are global to the process and are not supported\n";
        return false;
    }
    // A worker lives on: what -disable-free would leave to the end of the process is freed.
    invocation->getFrontendOpts().DisableFree = false;
    invocation->getCodeGenOpts().DisableFree = false;

#if LLVM_VERSION_MAJOR >= 21
    clang::CompilerInstance compiler(invocation);
#else
    clang::CompilerInstance compiler;
    compiler.setInvocation(invocation);
#endif
    compiler.setDiagnostics(diagnostics.get());
    compiler.setVerboseOutputStream(log);
    // Without this the warnings of the predefined macros are not suppressed (seen with Clang 19).
#if LLVM_VERSION_MAJOR >= 20
    clang::ProcessWarningOptions(*diagnostics, compiler.getDiagnosticOpts(), *files, false);
#else
    clang::ProcessWarningOptions(*diagnostics, compiler.getDiagnosticOpts(), false);
#endif
#if LLVM_VERSION_MAJOR >= 22
    compiler.setVirtualFileSystem(files);
    compiler.createFileManager();
#else
    compiler.createFileManager(files);
#endif
    compiler.setOutputStream(std::make_unique<llvm::raw_svector_ostream>(object));
    clang::EmitObjAction action;
    return compiler.ExecuteAction(action) && !object.empty();
}

bool write_all(int to, llvm::StringRef bytes)
{
    while (!bytes.empty()) {
        const ssize_t put = ::write(to, bytes.data(), bytes.size());
        if (put < 0 && errno == EINTR) continue;
        if (put <= 0) return false;
        bytes = bytes.drop_front(static_cast<size_t>(put));
    }
    return true;
}

std::string read_to_end(int from)
{
    std::string bytes;
    std::array<char, 64 << 10> block;
    for (;;) {
        const ssize_t got = ::read(from, block.data(), block.size());
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return bytes;
        bytes.append(block.data(), static_cast<size_t>(got));
    }
}

/// The linker's arguments for a shared object of `triple`, but input and output. Empty: not a target we link for.
std::vector<const char*> link_options(const llvm::Triple& triple)
{
    if (triple.getArch() == llvm::Triple::amdgcn) return {"-m", "elf64_amdgpu", "--no-undefined"};
    const char* emulation = nullptr;
    if (triple.getArch() == llvm::Triple::x86_64) emulation = "elf_x86_64";
    if (triple.getArch() == llvm::Triple::aarch64) emulation = "aarch64linux";
    if (emulation == nullptr) return {};
    // Undefined symbols are the library's to judge (verify_code_object): memcpy and memset are allowed.
    return {"-m",        emulation, "-z", "now", "-z", "relro", "-z", "noexecstack", "--hash-style=gnu", "--build-id=none",
            "-Bsymbolic"};
}

/// lld reads and writes files only. The input is a memfd; the output is a pipe, because a memfd as output is refused
/// (lld 19 wants to rename over it).
int link(const llvm::Triple& triple, llvm::StringRef object, std::string& linked, llvm::raw_ostream& log)
{
    std::vector<const char*> arguments = link_options(triple);
    if (arguments.empty()) {
        log << "error: no linker for " << triple.str() << "\n";
        return mhc_clang_failed;
    }
    descriptor input(::memfd_create("mhc-object", MFD_CLOEXEC));
    std::array<int, 2> ends{-1, -1};
    const bool is_open = input.get() >= 0 && write_all(input.get(), object) && ::pipe2(ends.data(), O_CLOEXEC) == 0;
    descriptor out(ends[0]), in(ends[1]);
    if (!is_open) {
        log << "error: cannot pass the object to the linker: " << std::strerror(errno) << "\n";
        return mhc_clang_failed;
    }
    const std::string input_path = input.path(), output_path = in.path();
    arguments.insert(arguments.begin(), "ld.lld");
    for (const char* more : {"-shared", "--threads=1", input_path.c_str(), "-o", output_path.c_str()})
        arguments.push_back(more);

    std::thread reader([&] { linked = read_to_end(out.get()); });
    // With recovery enabled a fatal error of the linker comes back here instead of ending the process without its text.
    llvm::CrashRecoveryContext::Enable();
    const lld::Result result = lld::lldMain(arguments, log, log, {{lld::Gnu, &lld::elf::link}});
    llvm::CrashRecoveryContext::Disable();
    in.close();
    reader.join();
    if (!result.canRunAgain) return mhc_clang_failed_for_good;
    return result.retCode == 0 && !linked.empty() ? mhc_clang_ok : mhc_clang_failed;
}

/// The triple among the options; Clang's own default where there is none.
llvm::Triple triple_of(const mhc_clang_job& job)
{
    for (size_t i = 0; i + 1 < job.option_count; ++i)
        if (std::strcmp(job.options[i], "-triple") == 0) return llvm::Triple(job.options[i + 1]);
    return llvm::Triple(llvm::sys::getDefaultTargetTriple());
}

}  // namespace

int mhc_clang_interface(void) { return MHC_CLANG_INTERFACE; }

const char* mhc_clang_version(void) { return CLANG_VERSION_STRING; }

void mhc_clang_targets(const char* const* candidates, mhc_clang_sink name, void* context)
{
    initialise();
    std::string error;
    const auto is_here = [&](const llvm::Triple& triple) {
        using mhc::runtime::compilers::registry_name;
        return llvm::TargetRegistry::lookupTarget(registry_name(triple), error) != nullptr && !link_options(triple).empty();
    };
    const bool has_host = is_here(llvm::Triple(llvm::sys::getDefaultTargetTriple()));
    const bool has_amd = is_here(llvm::Triple("amdgcn-amd-amdhsa"));
    for (; *candidates != nullptr; ++candidates) {
        const llvm::StringRef candidate(*candidates);
        const bool is_known =
            candidate == "host" ? has_host : has_amd && llvm::AMDGPU::parseArchAMDGCN(candidate) != llvm::AMDGPU::GK_NONE;
        if (is_known) name(context, candidate.data(), candidate.size());
    }
}

void mhc_clang_files(mhc_clang_sink address, void* context)
{
    const std::array<void*, 3> places{reinterpret_cast<void*>(&mhc_clang_files),
                                      reinterpret_cast<void*>(&clang::getClangFullRepositoryVersion),
                                      reinterpret_cast<void*>(&llvm::sys::getDefaultTargetTriple)};
    for (void* const place : places) address(context, reinterpret_cast<const char*>(&place), sizeof place);
}

int mhc_clang_compile(const mhc_clang_job* job, mhc_clang_sink code, mhc_clang_sink log, void* context)
{
    std::string text;
    llvm::raw_string_ostream stream(text);
    int state = mhc_clang_failed;
    try {
        initialise();
        llvm::SmallString<0> object;
        std::string linked;
        if (emit_object(*job, object, stream)) state = link(triple_of(*job), object, linked, stream);
        if (state == mhc_clang_ok) code(context, linked.data(), linked.size());
    } catch (const std::exception& error) {  // of the standard library: LLVM has none
        stream << "error: " << error.what() << "\n";
        state = mhc_clang_failed;
    }
    stream.flush();
    if (!text.empty()) log(context, text.data(), text.size());
    return state;
}
