// cache/code_store.hpp -- the seam between the engine and whatever keeps code objects: a row, a query, an interface.
//
// Nothing here fails an operator: a lookup that cannot be answered is a miss, a store that cannot be done is counted and
// logged. A store never judges code objects (hash of the bytes apart): the engine verifies architecture and symbol.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mhc::cache {

using digest = std::array<unsigned char, 32>;

std::string to_hex(const digest& value);
std::optional<digest> digest_from_hex(std::string_view hex);
digest sha256(std::string_view bytes);

/// A compiler, as rows name it.
struct toolchain {
    digest fingerprint{};
    std::string descr;  ///< JSON: backend, version, files with build-ids
};

/// A code object and everything stored beside it (schema.cpp has the columns).
struct code_row {
    digest key{}, key_nofp{};  ///< key_nofp: the same hash without the toolchain field
    std::string key_json;      ///< full clear-text key, compared on every hit
    std::string family, target;
    std::int64_t hidden_dim = 0;
    std::int32_t n_streams = 0;
    std::string dtype, symbol;
    std::string bytes;            ///< the code object, uncompressed
    std::int64_t byte_count = 0;  ///< of `bytes`; set by the store, also in rows that come without them
    mhc::cache::toolchain compiler;
    std::int64_t vgpr = 0, agpr = 0, sgpr = 0, lds = 0, scratch = 0, max_wg = 0, wave = 0;
    std::int64_t compile_ms = 0;
    std::int64_t created = 0, last_used = 0, uses = 0;  ///< seconds since 1970; set by the store when written
    bool pinned = false;
};

/// What is asked for. With `any_toolchain` a row matches by `key_nofp`, newest first, when none has `key`.
struct code_query {
    digest key{}, key_nofp{};
    std::string key_json;       ///< of `key`; a row with `key` and another text is no hit
    std::string key_nofp_json;  ///< clear text of `key_nofp`, compared likewise after removing the row's toolchain field
    bool any_toolchain = false;
};

/// A remembered compile failure.
struct failure_row {
    digest key{};
    int kind = 0;  ///< 0 compile error (24 h), 1 timeout, 2 signal, 3 out of memory (10 min each)
    std::string log;
    std::int64_t expires = 0;  ///< seconds since 1970
};

/// A file of a compiler as last seen, and which toolchain it belongs to.
struct toolchain_file {
    std::string path;
    std::int64_t dev = 0, ino = 0, size = 0, mtime_ns = 0;
};

enum class severity { debug, info, warning };
/// By class: busy, full, io, read-only, corrupt, cannot open, other.
using fault_counts = std::array<std::uint64_t, 7>;
using event_sink = std::function<void(severity, std::string_view line)>;

/// Where code objects are kept. Thread-safe.
class code_store {
public:
    virtual ~code_store() = default;

    virtual std::string path() const = 0;
    virtual bool is_writable() const = 0;

    /// The row, its bytes decompressed and matching their SHA-256; a row that does not is removed (or skipped for this
    /// process where the store is read-only) and is a miss.
    virtual std::optional<code_row> find(const code_query& query) = 0;

    /// Adds the row in one transaction; replaces one of equal key if `replace`. False: not stored (counted, logged once a
    /// class).
    virtual bool insert(const code_row& row, bool replace) = 0;

    /// Takes a row out of service: deletes it, with its blob if no other row has that, or skips it for this process; notes
    /// the event.
    virtual void set_aside(const digest& key, std::string_view why) = 0;

    /// Removes rows that are no longer wanted; returns how many there were, or -1 when nothing could be written.
    virtual std::int64_t remove(const std::vector<digest>& keys) = 0;

    virtual std::optional<failure_row> find_failure(const digest& key) = 0;
    virtual void insert_failure(const failure_row& row) = 0;
    virtual void forget_failure(const digest& key) = 0;

    /// Toolchains whose every recorded file is on disk unchanged (path, device, inode, size, mtime), newest first.
    virtual std::vector<toolchain> known_toolchains() = 0;
    virtual void remember_toolchain(const toolchain& compiler, const std::vector<toolchain_file>& files) = 0;

    /// Writes what was put off, unless the store is in use; logs nothing. For the end of the process.
    virtual void flush() noexcept = 0;

    /// Rows without their bytes, ordered by target, family, hidden_dim, n_streams, dtype, key.
    virtual std::vector<code_row> list() = 0;
    /// Rows of `like`'s family, at most 16, those of its target, shape and type first: key, clear-text key and symbol alone.
    virtual std::vector<code_row> nearest(const code_row& like) = 0;
    struct counts {
        std::int64_t objects = 0, object_bytes = 0, file_bytes = 0, failures = 0;
    };
    virtual counts count() = 0;
    /// Exact, since the store was opened.
    struct tally {
        std::uint64_t writes = 0;    ///< transactions that changed the database
        std::uint64_t bad_rows = 0;  ///< rows that a lookup found damaged, or another key's
        std::uint64_t corrupt = 0;   ///< databases moved out of the way as a whole
        std::uint64_t evicted = 0;   ///< rows that made room for others
        fault_counts faults{};
    };
    virtual tally counted() = 0;
    /// What happened to the database, whichever process saw it: the last 1000, oldest first.
    struct event {
        std::int64_t at = 0;  ///< seconds since 1970
        std::string kind;     ///< "quarantine", "collision_or_tamper", "evict" or "corrupt"
        std::string detail;
    };
    virtual std::vector<event> events() = 0;
    /// Removes all rows and failures; returns how many rows went, or -1 when nothing could be written.
    virtual std::int64_t clear() = 0;
    /// One line for each row whose stored bytes or blob hash are damaged, as "KEY: what"; nothing is changed.
    virtual std::vector<std::string> damaged() = 0;
    /// After this many bytes of objects the least recently used go (to 80 %), at the next insert.
    virtual void set_bytes_max(std::int64_t bytes) = 0;
};

/// Opens (or creates) the user database `dir`/mhc_user.db by the rules of trust: directory and file owned by this user
/// (or root) and writable by no one else, no symbolic link, a local filesystem (else a node-local directory), this
/// library's application_id. Null when it cannot be used at all; `why` then says why in one line.
struct user_store_options {
    std::string dir;
    bool read_only = false;
    std::int64_t bytes_max = 2048LL << 20;
    event_sink log;
};
std::unique_ptr<code_store> open_user_store(const user_store_options& options, std::string* why);

/// Whether opening it would find a database, good or bad, rather than make one. Looks, and makes nothing.
bool user_database_is_there(const std::string& dir);

/// Opens a prebuilt database read-only and immutable, by the same rules of trust (owner: this user or root); symbolic links
/// that keep these rules are followed. If a manifest `mhc_<target>.json` stands beside it, the file's SHA-256 must be the
/// manifest's. With a `signer`, an Ed25519 public key in PEM, there must be a manifest, and a signature of it by that key in
/// `mhc_<target>.json.sig`. Null: `why` says why.
std::unique_ptr<code_store> open_prebuilt_store(const std::string& file, const event_sink& log, std::string* why,
                                                const std::string& signer = {});

/// A prebuilt database that is part of this program, and as trusted as that. `bytes` stay as they are while it is open.
std::unique_ptr<code_store> open_embedded_store(const std::string& name, std::string_view bytes, const event_sink& log,
                                                std::string* why);

/// Writes rows as a reproducible, read-only prebuilt database: rows sorted by key, timestamps zero, VACUUM INTO, mode 0444,
/// put in place by rename. Equal rows give equal bytes. False: `why`.
bool write_prebuilt_database(const std::string& file, const std::vector<code_row>& rows, std::string* why);

/// The directory for the user database: `override_dir` if given, else $XDG_CACHE_HOME/mhc/v1, else $HOME/.cache/mhc/v1 (or
/// the passwd entry's home), else /var/tmp/mhc-<uid>. The environment is read with secure_getenv.
std::string user_cache_dir(const std::optional<std::string>& override_dir);

}  // namespace mhc::cache
