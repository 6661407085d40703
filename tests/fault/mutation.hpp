// tests/fault/mutation.hpp -- spoils databases and manifests, the same way for the same seed.
#pragma once

#include <random>
#include <string>

namespace mhc::testing {

/// Changes the bytes: bits, ranges, pages, length. Says how.
std::string spoil_bytes(std::string& bytes, std::mt19937& random);

/// Changes rows of the database `file`, in ways that leave it a whole database: values of columns exchanged between two
/// rows, blobs exchanged, cut, or with a bit flipped. Says how.
std::string spoil_rows(const std::string& file, std::mt19937& random);

}  // namespace mhc::testing
