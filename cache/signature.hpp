// cache/signature.hpp -- Ed25519 signatures, with keys in PEM as `openssl genpkey -algorithm ed25519` writes them.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace mhc::cache {

/// 64 bytes over `bytes`, the same for equal ones. Nothing: `why`. The private key must not be encrypted.
std::optional<std::string> sign(std::string_view private_pem, std::string_view bytes, std::string* why);

/// False: `why`.
bool is_signed_by(std::string_view public_pem, std::string_view bytes, std::string_view signature, std::string* why);

/// Whether the text is such a key. False: `why`.
bool is_public_key(std::string_view pem, std::string* why);
bool is_private_key(std::string_view pem, std::string* why);

}  // namespace mhc::cache
