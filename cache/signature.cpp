// cache/signature.cpp -- Ed25519 by libcrypto.
#include "cache/signature.hpp"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include <memory>

namespace mhc::cache {
namespace {

using key_ptr = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;

const unsigned char* data_of(std::string_view bytes) { return reinterpret_cast<const unsigned char*>(bytes.data()); }

/// libcrypto asks a person for a pass phrase unless it is told that there is none.
int no_pass_phrase(char*, int, int, void*) { return -1; }

key_ptr read_key(std::string_view pem, bool is_private, std::string* why)
{
    const std::unique_ptr<BIO, decltype(&BIO_free)> bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())),
                                                        &BIO_free);
    key_ptr key(nullptr, &EVP_PKEY_free);
    if (bio)
        key.reset(is_private ? PEM_read_bio_PrivateKey(bio.get(), nullptr, no_pass_phrase, nullptr)
                             : PEM_read_bio_PUBKEY(bio.get(), nullptr, no_pass_phrase, nullptr));
    ERR_clear_error();  // the program may have a queue of its own to read
    if (key && EVP_PKEY_id(key.get()) == EVP_PKEY_ED25519) return key;
    *why = is_private ? "not an Ed25519 private key in PEM without a pass phrase (openssl genpkey -algorithm ed25519)"
                      : "not an Ed25519 public key in PEM (openssl pkey -in KEY.pem -pubout)";
    return {nullptr, &EVP_PKEY_free};
}

using context_ptr = std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)>;

}  // namespace

std::optional<std::string> sign(std::string_view private_pem, std::string_view bytes, std::string* why)
{
    const key_ptr key = read_key(private_pem, true, why);
    if (!key) return std::nullopt;
    const context_ptr context(EVP_MD_CTX_new(), &EVP_MD_CTX_free);
    std::string signature(64, '\0');
    std::size_t size = signature.size();
    const bool is_done = context && EVP_DigestSignInit(context.get(), nullptr, nullptr, nullptr, key.get()) == 1 &&
                         EVP_DigestSign(context.get(), reinterpret_cast<unsigned char*>(signature.data()), &size,
                                        data_of(bytes), bytes.size()) == 1;
    ERR_clear_error();
    if (is_done && size == signature.size()) return signature;
    return *why = "libcrypto could not sign", std::nullopt;
}

bool is_signed_by(std::string_view public_pem, std::string_view bytes, std::string_view signature, std::string* why)
{
    const key_ptr key = read_key(public_pem, false, why);
    if (!key) return false;
    const context_ptr context(EVP_MD_CTX_new(), &EVP_MD_CTX_free);
    const bool is_right =
        context && EVP_DigestVerifyInit(context.get(), nullptr, nullptr, nullptr, key.get()) == 1 &&
        EVP_DigestVerify(context.get(), data_of(signature), signature.size(), data_of(bytes), bytes.size()) == 1;
    ERR_clear_error();
    if (!is_right) *why = "it does not fit the manifest, or another key made it";
    return is_right;
}

bool is_public_key(std::string_view pem, std::string* why) { return read_key(pem, false, why) != nullptr; }
bool is_private_key(std::string_view pem, std::string* why) { return read_key(pem, true, why) != nullptr; }

}  // namespace mhc::cache
