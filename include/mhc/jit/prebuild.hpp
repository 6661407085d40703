// mhc/jit/prebuild.hpp -- compiles a list of specs ahead of time into databases that ship with a program; needs no GPU.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include <mhc/jit/engine.hpp>

namespace mhc::jit {

/// One entry of a catalogue.
struct prebuild_item {
    layer_spec spec;  ///< `wanted` says which operators
};

/// The library's own catalogue (docs/OPERATORS.md) for a level: 0 nothing; 1 forward and backward, no tuning variants;
/// 2 every forward operator; 3 the default operators of the n = 4 bf16 rows. Levels are not nested, as in AITER.
/// Errors: bad_spec for another level.
result<std::vector<prebuild_item>> catalogue(int level);

struct prebuild_options {
    std::string out_dir;      ///< receives mhc_<target>.db and mhc_<target>.json
    int jobs_max = 0;         ///< 0: from CPUs and memory
    bool check_only = false;  ///< write nothing: compare out_dir's databases with what is expected
    /// An Ed25519 private key, the text of its PEM file without a pass phrase: the manifest is signed, in
    /// mhc_<target>.json.sig. Engines check it if engine_options::prebuilt_key demands that.
    std::string signing_key;
    engine_options engine;  ///< worker, backend, timeout, prebuilt_key, log; its target and caches are not used
    std::function<void(int done, int total, std::string_view what)> progress;
};

struct prebuild_report {
    std::string target;
    std::string database, manifest, signature;  ///< paths written, empty if none
    int kernels_expected = 0, kernels_produced = 0, kernels_failed = 0;
    double seconds = 0;
    std::int64_t bytes = 0;
    std::vector<std::string> failures;  ///< one line a kernel
};

/// Compiles every kernel of `items` for `target` into one database and its manifest. Nothing is installed when a kernel
/// failed. Errors: bad_spec, unsupported_target, compile_failed (no kernel at all).
result<prebuild_report> prebuild(std::string_view target, const std::vector<prebuild_item>& items,
                                 const prebuild_options& options);

/// Puts the objects of several databases of one target, made on several machines, into one, with its manifest. The same
/// bytes whatever the order of the files; of `options`, out_dir, signing_key and the engine's prebuilt_key count. Errors:
/// bad_spec: a file that is none of this library's or not to be trusted, files of different targets, an object that is not
/// its key's, or one key with different bytes, naming files and key.
result<prebuild_report> merge_prebuilt(const std::vector<std::string>& files, const prebuild_options& options);

/// Makes a prebuilt database in this program's own memory known to all engines that are made from now on: `name` is
/// mhc_<target>.db, `bytes` are the file's, and stay where they are for as long as the process runs. It is as trusted as the
/// program, and needs no signature. CMake's `mhc_jit_prebuild(... EMBED)` writes the call.
void embed_prebuilt(std::string_view name, std::string_view bytes);

/// "gfx942;gfx90a", "sm_90", "native" (the GPUs of this machine) or "all" (every AMD architecture) -> architectures,
/// features kept. Separators `;` and `,`; blanks trimmed.
/// Errors: bad_spec (an unknown name, listing the known ones), unsupported_target (`native` with no GPU here).
result<std::vector<std::string>> parse_gpu_archs(std::string_view text);

}  // namespace mhc::jit
