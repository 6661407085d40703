// cache/digest.cpp -- SHA-256 and its hexadecimal form.
//
// By libcrypto's SHA256_* functions, which OpenSSL 3 would rather see replaced by EVP_Digest: the first call of that reads
// the user's openssl.cnf and collects every algorithm there is, 1.2 ms of processor time of each process with OpenSSL 3.0 (20 us
// here), and may fail.
#define OPENSSL_API_COMPAT 0x10100000L
#include <openssl/sha.h>

#include "cache/code_store.hpp"

namespace mhc::cache {
namespace {

int nibble(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return -1;
}

}  // namespace

std::string to_hex(const digest& value)
{
    static constexpr char digits[] = "0123456789abcdef";
    std::string hex;
    hex.reserve(2 * value.size());
    for (const unsigned char byte : value) {
        hex += digits[byte >> 4];
        hex += digits[byte & 15];
    }
    return hex;
}

std::optional<digest> digest_from_hex(std::string_view hex)
{
    digest value{};
    if (hex.size() != 2 * value.size()) return std::nullopt;
    for (std::size_t i = 0; i < value.size(); ++i) {
        const int high = nibble(hex[2 * i]), low = nibble(hex[2 * i + 1]);
        if (high < 0 || low < 0) return std::nullopt;
        value[i] = static_cast<unsigned char>(high * 16 + low);
    }
    return value;
}

digest sha256(std::string_view bytes)
{
    digest value{};
    SHA256_CTX context;
    SHA256_Init(&context);
    SHA256_Update(&context, bytes.data(), bytes.size());
    SHA256_Final(value.data(), &context);
    return value;
}

}  // namespace mhc::cache
