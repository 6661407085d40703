// mhc/device/types.hpp -- scalar types and the spellings every other device header uses.
#pragma once

namespace mhc {

using u16 = unsigned short;
using u32 = unsigned int;
using i64 = long long;

/// Storage types: arithmetic is always float, see `load` and `store`.
struct bf16 {
    u16 bits;
};
struct fp16 {
    u16 bits;
};
using fp32 = float;

/// What an element is in memory.
template <class T>
struct storage {
    using element = u16;
};
template <>
struct storage<fp32> {
    using element = float;
};

constexpr int ceil_div(int a, int b) { return (a + b - 1) / b; }
constexpr int smaller(int a, int b) { return a < b ? a : b; }

/// Tokens that a launch reads and writes: all, or the first `*valid` of them where it is given. What lies behind them keeps
/// its place, so that the distance of two splits stays that of all tokens.
MHC_DEVICE i64 tokens_of(i64 tokens, const int* valid)
{
    if (!valid) return tokens;
    const i64 some = *valid;
    return some < tokens ? some : tokens;
}

}  // namespace mhc
