// tests/support/signing_key.hpp -- a pair of Ed25519 keys in PEM, new for each test.
#pragma once

#include <doctest/doctest.h>
#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include <memory>
#include <string>

namespace mhc::test {

struct signing_key {
    std::string private_pem, public_pem;

    explicit signing_key(const char* type = "ED25519")
    {
        const std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> key(EVP_PKEY_Q_keygen(nullptr, nullptr, type),
                                                                      &EVP_PKEY_free);
        REQUIRE(key);
        private_pem =
            text([&](BIO* to) { return PEM_write_bio_PrivateKey(to, key.get(), nullptr, nullptr, 0, nullptr, nullptr); });
        public_pem = text([&](BIO* to) { return PEM_write_bio_PUBKEY(to, key.get()); });
    }

private:
    template <class Write>
    static std::string text(const Write& write)
    {
        const std::unique_ptr<BIO, decltype(&BIO_free)> bio(BIO_new(BIO_s_mem()), &BIO_free);
        REQUIRE(write(bio.get()) == 1);
        char* data = nullptr;
        const long size = BIO_get_mem_data(bio.get(), &data);
        return {data, static_cast<std::size_t>(size)};
    }
};

}  // namespace mhc::test
