// runtime/compilers/clang_plugin.hpp -- the C interface of libmhc_clang.so: Clang, LLD and a disassembler, in process.
//
// The worker loads the plug-in with dlopen at its first Clang job, so a worker without LLVM still has HIPRTC. One call at
// a time: the linker has global state.
#pragma once

#include <stddef.h>

extern "C" {

/// Takes a piece of output. `context` is what the caller passed.
typedef void (*mhc_clang_sink)(void* context, const char* data, size_t size);

struct mhc_clang_job {
    const char* name;  ///< of the translation unit; a file of this name exists in memory only
    const char* source;
    size_t source_size;
    const char* const* options;  ///< cc1 arguments, all but the name of the file
    size_t option_count;
};

enum mhc_clang_state {
    mhc_clang_ok = 0,
    mhc_clang_failed = 1,           ///< the log says why
    mhc_clang_failed_for_good = 2,  ///< as failed, and the process must not use the plug-in again
};

/// Number of this interface; the worker refuses another.
#define MHC_CLANG_INTERFACE 1
int mhc_clang_interface(void);

/// "19.1.7"
const char* mhc_clang_version(void);

/// Calls `name` once for each of `candidates` (null-terminated) that this Clang generates code for, "host" among them.
void mhc_clang_targets(const char* const* candidates, mhc_clang_sink name, void* context);

/// Calls `address` with the bytes of one pointer into each shared object that decides what code is generated.
void mhc_clang_files(mhc_clang_sink address, void* context);

/// Source to a linked code object, in memory. Diagnostics go to `log` whether it succeeds or not.
int mhc_clang_compile(const struct mhc_clang_job* job, mhc_clang_sink code, mhc_clang_sink log, void* context);

/// Text of the functions of a code object. `target`: "gfx942", "gfx90a:xnack-", "host".
int mhc_clang_disassemble(const char* target, const char* code, size_t code_size, mhc_clang_sink text, mhc_clang_sink log,
                          void* context);
}
