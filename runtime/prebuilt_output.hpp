// runtime/prebuilt_output.hpp -- rows into a prebuilt database, its manifest and its signature.
#pragma once

#include <string>
#include <vector>

#include <mhc/jit/prebuild.hpp>

#include "cache/code_store.hpp"

namespace mhc::runtime {

/// Empty, or an Ed25519 private key. Errors: bad_spec. To be asked before work begins.
jit::result<void> check_signing_key(const std::string& pem);

/// Writes mhc_<target>.db, .json and, with a key, .json.sig of `report.target` into options.out_dir, and their paths and the
/// database's size into the report. Equal rows give equal bytes. Errors: compile_failed, naming the file.
jit::result<void> write_prebuilt(std::vector<cache::code_row> rows, const jit::prebuild_options& options,
                                 jit::prebuild_report& report);

}  // namespace mhc::runtime
