// tests/support/random.hpp -- numbers that depend on a seed and an index only: the same on every machine, in any order.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace mhc::testing {

/// A seed made of a name, so that a case's numbers do not change when cases are added before it.
std::uint64_t seed_of(std::string_view name);

/// Number `index` of the sequence `seed`: 64 random bits.
std::uint64_t random_bits(std::uint64_t seed, std::uint64_t index);

/// Nearly normal with mean 0 and standard deviation 1 (a sum of four uniform numbers; never beyond 3.5).
float random_normal(std::uint64_t seed, std::uint64_t index);

/// Uniform in [0, 1).
float random_uniform(std::uint64_t seed, std::uint64_t index);

/// mean + deviation * random_normal, `count` of them.
std::vector<float> normals(std::uint64_t seed, std::int64_t count, float mean, float deviation);

}  // namespace mhc::testing
