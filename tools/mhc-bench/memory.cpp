// tools/mhc-bench/memory.cpp -- buffers, random contents, and the sizes of this machine's caches and memory.
#include "tools/mhc-bench/memory.hpp"

#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <random>
#include <set>
#include <string>

#include "tools/common/convert.hpp"

namespace mhc::tools {
namespace {

constexpr std::size_t drawn_count = std::size_t{1} << 22;
// Odd and far from a power of two, so that tensors do not begin alike.
constexpr std::size_t tensor_step = 1'000'003;

std::string text_of(const std::filesystem::path& file)
{
    std::string text;
    std::ifstream(file) >> text;
    return text;
}

// "49152K" as bytes; 0 for anything else.
std::int64_t parse_size(const std::string& text)
{
    if (text.empty() || text.find_first_not_of("0123456789") != text.size() - 1 || text.size() > 12) return 0;
    const std::int64_t unit = text.back() == 'K' ? 1024 : text.back() == 'M' ? 1024 * 1024 : 0;
    return unit * std::stoll(text);
}

}  // namespace

buffer::buffer(jit::device& on, std::int64_t bytes) : on_(&on)
{
    if (bytes != 0) memory_ = on.allocate(static_cast<std::size_t>(bytes)).value();
}

buffer::~buffer()
{
    if (memory_ != nullptr) on_->release(memory_);
}

random_source::random_source() : drawn_(drawn_count)
{
    std::mt19937 bits(20251224);
    std::normal_distribution<float> draw;
    for (float& value : drawn_) value = draw(bits);
}

const std::vector<std::byte>& random_source::elements(jit::dtype type, const distribution& of)
{
    std::vector<std::byte>& made = rounded_[{type, of}];
    if (!made.empty()) return made;
    std::vector<float> scaled = drawn_;
    for (float& value : scaled) value = of.mean + of.deviation * value;
    made.resize(scaled.size() * static_cast<std::size_t>(jit::size_of(type)));
    round_values(scaled.data(), static_cast<std::int64_t>(scaled.size()), type, made.data());
    return made;
}

void random_source::fill(jit::device& on, void* to, std::int64_t count, jit::dtype type, const distribution& of)
{
    const std::vector<std::byte>& from = elements(type, of);
    const auto size = static_cast<std::size_t>(jit::size_of(type));
    std::size_t at = next_;
    for (std::size_t done = 0, wanted = static_cast<std::size_t>(count); done < wanted;) {
        const std::size_t part = std::min(drawn_count - at, wanted - done);
        on.upload(static_cast<std::byte*>(to) + done * size, from.data() + at * size, part * size).value();
        done += part;
        at = 0;
    }
    next_ = (next_ + tensor_step) % drawn_count;
}

std::int64_t cold_bytes(const jit::device& on)
{
    if (on.id() != "host") return 264'000'000;
    return std::min<std::int64_t>(4 * last_level_cache_bytes(), std::int64_t{1} << 30);
}

std::int64_t last_level_cache_bytes()
{
    namespace fs = std::filesystem;
    int last_level = 0;
    std::int64_t total = 0;
    std::set<std::string> seen;  // CPUs that share a cache each list it
    std::error_code error;
    for (const auto& cpu : fs::directory_iterator("/sys/devices/system/cpu", error))
        for (const auto& cache : fs::directory_iterator(cpu.path() / "cache", error)) {
            const std::string level = text_of(cache.path() / "level"), type = text_of(cache.path() / "type");
            if (level.size() != 1 || level < "1" || type == "Instruction") continue;
            if (level[0] - '0' > last_level) {
                last_level = level[0] - '0';
                total = 0;
                seen.clear();
            }
            if (level[0] - '0' == last_level && seen.insert(text_of(cache.path() / "shared_cpu_list")).second)
                total += parse_size(text_of(cache.path() / "size"));
        }
    return total > 0 ? total : 32LL << 20;
}

std::int64_t physical_memory_bytes() { return static_cast<std::int64_t>(sysconf(_SC_PHYS_PAGES)) * sysconf(_SC_PAGESIZE); }

}  // namespace mhc::tools
