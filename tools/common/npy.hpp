// tools/common/npy.hpp -- NumPy's .npy files of float32 arrays: a reader that trusts nothing in the file, and a writer.
//
// Format: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html, versions 1, 2 and 3.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <mhc/jit/result.hpp>

namespace mhc::tools {

/// A dense float32 array, last index fastest.
struct npy_array {
    std::vector<std::int64_t> shape;  ///< each >= 0; empty: one value
    std::vector<float> values;        ///< the product of shape
};

/// What a .npy file's header says.
struct npy_header {
    std::string descr;  ///< such as "<f4"; "a structured type" for a list of fields
    bool fortran_order = false;
    std::vector<std::int64_t> shape;
};

/// The header's text, a Python dictionary such as "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }".
/// Errors: bad_spec, saying what is not as the format has it.
jit::result<npy_header> parse_npy_header(std::string_view text);

/// Reads a whole file; pipes work too. Errors: bad_spec, naming the file, what is wrong with it and what to do: not
/// there, no .npy file, another type than little-endian float32, Fortran order, truncated, or more than one array.
jit::result<npy_array> read_npy(const std::string& path);

/// A file's bytes, as numpy.save writes them (version 1).
std::string npy_bytes(const npy_array& array);

/// Elements of a shape. Errors: bad_spec for a negative size, or for 2^60 elements and more.
jit::result<std::int64_t> element_count(const std::vector<std::int64_t>& shape);

/// "[2,4,1280]"; "[]" for no dimensions.
std::string shape_text(const std::vector<std::int64_t>& shape);

}  // namespace mhc::tools
