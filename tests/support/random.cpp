// tests/support/random.cpp -- splitmix64 of seed and index.
#include "tests/support/random.hpp"

#include "tests/reference/parallel.hpp"

namespace mhc::testing {
namespace {

std::uint64_t mixed(std::uint64_t bits)
{
    bits = (bits ^ (bits >> 30)) * 0xBF58476D1CE4E5B9ULL;
    bits = (bits ^ (bits >> 27)) * 0x94D049BB133111EBULL;
    return bits ^ (bits >> 31);
}

}  // namespace

std::uint64_t seed_of(std::string_view name)
{
    std::uint64_t seed = 0;
    for (const char letter : name) seed = mixed(seed ^ static_cast<unsigned char>(letter)) + 0x9E3779B97F4A7C15ULL;
    return seed;
}

std::uint64_t random_bits(std::uint64_t seed, std::uint64_t index)
{
    return mixed(seed + (index + 1) * 0x9E3779B97F4A7C15ULL);
}

float random_normal(std::uint64_t seed, std::uint64_t index)
{
    const std::uint64_t bits = random_bits(seed, index);
    const auto part = [bits](int shift) { return static_cast<std::int32_t>((bits >> shift) & 0xFFFFU); };
    const std::int32_t sum = part(0) + part(16) + part(32) + part(48) - 2 * 0xFFFF;
    return static_cast<float>(sum) * (1.7320508F / 65536.0F);  // four uniforms of [0,1) have variance 4/12 together
}

float random_uniform(std::uint64_t seed, std::uint64_t index)
{
    return static_cast<float>(random_bits(seed, index) >> 40) * 0x1p-24F;
}

std::vector<float> normals(std::uint64_t seed, std::int64_t count, float mean, float deviation)
{
    std::vector<float> made(static_cast<std::size_t>(count));
    reference::parallel_for(count, 4, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t i = begin; i < end; ++i) {
            made[static_cast<std::size_t>(i)] = mean + deviation * random_normal(seed, static_cast<std::uint64_t>(i));
        }
    });
    return made;
}

}  // namespace mhc::testing
