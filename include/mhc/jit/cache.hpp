// mhc/jit/cache.hpp -- looking into and looking after databases of code objects. This is what mhc-cache calls.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
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

/// What `prune_cache` removes from the user database, in this order; never a pinned object.
struct prune_options {
    std::int64_t stale_days = 30;           ///< objects unused so long whose compiler is not here any more; negative: none
    std::int64_t unused_days = -1;          ///< objects unused so long; negative: none
    std::optional<std::int64_t> bytes_max;  ///< then the least recently used, down to this; empty: cache_bytes_max
};
struct prune_report {
    std::int64_t stale = 0, unused = 0, over = 0;  ///< objects that went, by reason
    std::int64_t objects = 0, object_bytes = 0;    ///< what is left
};
result<prune_report> prune_cache(const engine_options& options, const prune_options& what);

/// Objects that were copied, that were there before, and that were not copied: a line each, key and reason.
struct transfer_report {
    std::int64_t copied = 0, present = 0;
    std::vector<std::string> refused;
};
/// Writes every whole object to `file`, a database that can be shipped, imported or used as a prebuilt one. Equal objects
/// give equal bytes. Errors: bad_spec, naming the file.
result<transfer_report> export_cache(const engine_options& options, const std::string& file,
                                     const std::string& database = {});
/// Adds the objects of `file` to the user database: those whose key, hash, architecture and symbol are what they should be.
/// The file must belong to this user or root and be writable by no one else, unless `trust`.
result<transfer_report> import_cache(const engine_options& options, const std::string& file, bool trust = false);

/// Objects of one target and compiler, together.
struct stored_sum {
    std::string target, compiler;
    std::int64_t objects = 0, bytes = 0, uses = 0, compile_ms = 0;
};
result<std::vector<stored_sum>> sum_cache(const engine_options& options, const std::string& database = {});

/// Something that happened to a database, noted in it by the process that saw it.
struct cache_event {
    std::int64_t at = 0;  ///< seconds since 1970
    /// "quarantine": an object that was damaged or did not load; "collision_or_tamper": one whose clear-text key is another;
    /// "evict": objects that made room; "corrupt": the database before this one, damaged as a whole and moved away.
    std::string kind;
    std::string detail;
};
/// The last 1000, oldest first.
result<std::vector<cache_event>> cache_events(const engine_options& options, const std::string& database = {});

/// Whether a kernel is stored, and if not, by what its key differs from the nearest one that is.
struct miss_explanation {
    struct difference {
        std::string field, wanted, stored;
    };
    std::string symbol, key;
    bool is_stored = false;
    std::string where;        ///< the database's file, when it is stored
    std::string nearest_key;  ///< empty: no object of this kernel family is stored
    std::vector<difference> differences;
};
/// For every kernel of the operator. Compiles nothing; asks the compile worker which compilers there are.
/// Errors: bad_spec, unsupported_target.
result<std::vector<miss_explanation>> why_miss(operation op, const layer_spec& spec, std::string_view target,
                                               const engine_options& options = {});

/// One thing that the cache and the compile service depend on.
struct finding {
    enum class severity { good, warning, bad };
    severity is = severity::good;
    std::string what, text;
};
/// Looks at everything, changes nothing, makes no folder.
std::vector<finding> examine_cache(const engine_options& options);

}  // namespace mhc::jit
