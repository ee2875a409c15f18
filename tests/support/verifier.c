#include "tests/support/verifier.h"

#include <stdio.h>
#include <stdlib.h>

#include "proxy/scram.h"

char *make_verifier(const char *password, const char *salt_base64, unsigned iterations)
{
    unsigned char salt[SCRAM_SALT_BYTES_MAX], salted[SCRAM_KEY_BYTES], key[SCRAM_KEY_BYTES];
    unsigned char stored[SCRAM_KEY_BYTES], server[SCRAM_KEY_BYTES];
    char stored_text[64], server_text[64], *verifier = NULL;
    size_t length = 0;
    if (!scram_base64_decode(salt_base64, salt, sizeof salt, &length) ||
        !scram_salted_password(password, salt, length, iterations, salted) ||
        !scram_hmac(salted, sizeof salted, "Client Key", 10, key) ||
        !scram_hash(key, sizeof key, stored) ||
        !scram_hmac(salted, sizeof salted, "Server Key", 10, server) ||
        !scram_base64_encode(stored, sizeof stored, stored_text, sizeof stored_text) ||
        !scram_base64_encode(server, sizeof server, server_text, sizeof server_text) ||
        asprintf(&verifier, "SCRAM-SHA-256$%u:%s$%s:%s", iterations, salt_base64, stored_text,
                 server_text) < 0)
        abort();
    return verifier;
}
