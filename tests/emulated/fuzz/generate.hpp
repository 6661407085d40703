// tests/emulated/fuzz/generate.hpp -- random straight-line code, the same text for the host and for AMD GPUs.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace mhc::emulator::fuzz {

inline constexpr int input_words = 8;    ///< 64-bit words that each work-item has to itself, and as many that all share
inline constexpr int output_words = 40;  ///< it writes

/// The body of one function, and what each output is.
struct generated {
    std::uint64_t seed = 0;
    std::string body;                     ///< statements over `own`, `shared` and `out`
    std::vector<std::string> statements;  ///< that made output i
};

/// The same for the same seed, on every machine.
generated generate(std::uint64_t seed);

/// A translation unit with kernels "fuzz_<seed>"; on the host they are functions that go over all work-items.
std::string source_of(const std::vector<generated>& all);

/// What a work-item gets: integers small and large, floats of ordinary size, and special ones.
std::vector<std::uint64_t> inputs_of(std::uint64_t seed, int items);

}  // namespace mhc::emulator::fuzz
