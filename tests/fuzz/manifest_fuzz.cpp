// tests/fuzz/manifest_fuzz.cpp -- the manifest beside a prebuilt database: none but the right SHA-256 lets it be used.
#include <cstdlib>
#include <fstream>

#include "cache/code_store.hpp"
#include "tests/fuzz/fuzz.hpp"

namespace {

using namespace mhc;

/// A folder with an empty prebuilt database, for as long as the process lives.
struct folder {
    folder()
    {
        std::string name = (access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp") + std::string("/mhc-fuzz-XXXXXX");
        fuzz::require(mkdtemp(name.data()) != nullptr);
        path = name;
        std::string why;
        fuzz::require(cache::write_prebuilt_database(database(), {}, &why));
        std::ifstream in(database(), std::ios::binary);
        const std::string bytes{std::istreambuf_iterator<char>(in), {}};
        sha = cache::to_hex(cache::sha256(bytes));
    }
    ~folder()
    {
        unlink(database().c_str());
        unlink(manifest().c_str());
        rmdir(path.c_str());
    }
    std::string database() const { return path + "/mhc_gfx942.db"; }
    std::string manifest() const { return path + "/mhc_gfx942.json"; }

    std::string path, sha;
};

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    static const folder in;
    std::string text(fuzz::text_of(data, size));
    // So that there is a way in: the database's own hash stands where an input says so.
    if (const std::size_t at = text.find("SHA256"); at != text.npos) text.replace(at, 6, in.sha);
    std::ofstream(in.manifest(), std::ios::binary | std::ios::trunc) << text;
    std::string why;
    const auto store = cache::open_prebuilt_store(in.database(), {}, &why);
    fuzz::require(store != nullptr || !why.empty());
    if (store != nullptr) fuzz::require(text.find(in.sha) != text.npos);
    return 0;
}
