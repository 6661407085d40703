// mhc/jit/cache.hpp -- looking into and looking after databases of code objects. This is what mhc-cache calls.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <mhc/jit/engine.hpp>
#include <mhc/jit/result.hpp>

namespace mhc::jit {

/// One stored code object.
struct stored_object {
    std::string key, symbol, family, target, dtype, compiler;
    std::int64_t hidden_dim = 0, n_streams = 0, bytes = 0, compile_ms = 0, created = 0, last_used = 0, uses = 0;
    std::string key_json;  ///< the clear-text key
    std::int64_t vgprs = 0, sgprs = 0, lds_bytes = 0, scratch_bytes = 0;
};

struct cache_info {
    std::string path;   ///< the database's file; empty when there is none
    std::string state;  ///< "ok", "missing", "read-only", or why it is not used
    std::int64_t objects = 0, object_bytes = 0, file_bytes = 0, failures = 0;
    std::int64_t bytes_max = 0;
    std::string worker;                 ///< path of mhc-jitc, or why there is none
    std::vector<std::string> prebuilt;  ///< paths of the prebuilt databases found
};

struct verify_report {
    std::int64_t checked = 0;
    std::vector<std::string> damaged;  ///< one line an object: key and what is wrong
};

/// `database` names a file; empty means the user database that `options` lead to. Errors: bad_spec for a file that is not
/// there or is no database of this library, naming it.
result<cache_info> inspect_cache(const engine_options& options, const std::string& database = {});
result<std::vector<stored_object>> list_cache(const engine_options& options, const std::string& database = {});
/// The object whose key starts with `key_prefix` (at least 4 hex digits). Errors: bad_spec: none, or more than one.
result<stored_object> find_in_cache(const engine_options& options, std::string_view key_prefix,
                                    const std::string& database = {});
result<std::string> code_object_of(const engine_options& options, const stored_object& object,
                                   const std::string& database = {});
/// Reads every object and checks hash, architecture and symbol.
result<verify_report> verify_cache(const engine_options& options, const std::string& database = {});
/// Removes every object and remembered failure of the user database; returns how many objects went.
result<std::int64_t> clear_cache(const engine_options& options);

}  // namespace mhc::jit
