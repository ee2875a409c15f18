#include "proxy/scram.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool scram_hash(const void *data, size_t length, unsigned char out[SCRAM_KEY_BYTES])
{
    unsigned int written = 0;
    return EVP_Digest(data, length, out, &written, EVP_sha256(), NULL) == 1 &&
           written == SCRAM_KEY_BYTES;
}

bool scram_hmac(const void *key, size_t key_length, const void *data, size_t length,
                unsigned char out[SCRAM_KEY_BYTES])
{
    unsigned int written = 0;
    return HMAC(EVP_sha256(), key, (int)key_length, data, length, out, &written) != NULL &&
           written == SCRAM_KEY_BYTES;
}

bool scram_salted_password(const char *password, const unsigned char *salt, size_t salt_length,
                           uint32_t iterations, unsigned char out[SCRAM_KEY_BYTES])
{
    return iterations > 0 && iterations <= SCRAM_ITERATIONS_MAX &&
           PKCS5_PBKDF2_HMAC(password, (int)strlen(password), salt, (int)salt_length,
                             (int)iterations, EVP_sha256(), SCRAM_KEY_BYTES, out) == 1;
}

static const char base64_digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

bool scram_base64_encode(const unsigned char *bytes, size_t length, char *out, size_t size)
{
    if (length > SIZE_MAX / 4 || (length + 2) / 3 * 4 + 1 > size)
        return false;
    for (size_t i = 0; i < length; i += 3) {
        size_t here = length - i < 3 ? length - i : 3;
        uint32_t group = (uint32_t)bytes[i] << 16;
        if (here > 1)
            group |= (uint32_t)bytes[i + 1] << 8;
        if (here > 2)
            group |= bytes[i + 2];
        *out++ = base64_digits[group >> 18];
        *out++ = base64_digits[group >> 12 & 63];
        out[0] = out[1] = '=';
        if (here > 1)
            out[0] = base64_digits[group >> 6 & 63];
        if (here > 2)
            out[1] = base64_digits[group & 63];
        out += 2;
    }
    *out = '\0';
    return true;
}

/* 64: not a digit. */
static uint32_t base64_value(char digit)
{
    const char *found = digit == '\0' ? NULL : strchr(base64_digits, digit);
    return found == NULL ? 64 : (uint32_t)(found - base64_digits);
}

bool scram_base64_decode(const char *text, unsigned char *out, size_t size, size_t *length)
{
    size_t text_length = strlen(text), written = 0;
    if (text_length % 4 != 0)
        return false;
    for (size_t i = 0; i < text_length; i += 4) {
        bool is_last = i + 4 == text_length;
        size_t padding = 0;
        if (is_last && text[i + 3] == '=')
            padding = text[i + 2] == '=' ? 2 : 1;
        uint32_t group = 0;
        for (size_t j = 0; j < 4; j++) {
            uint32_t value = j >= 4 - padding ? 0 : base64_value(text[i + j]);
            if (value == 64)
                return false;
            group = group << 6 | value;
        }
        size_t bytes = 3 - padding;
        if ((group & ((1u << (8 * padding)) - 1)) != 0 || bytes > size - written)
            return false;
        for (size_t j = 0; j < bytes; j++)
            out[written++] = (unsigned char)(group >> (16 - 8 * j));
    }
    *length = written;
    return true;
}

bool scram_nonce(char out[32])
{
    unsigned char bytes[SCRAM_NONCE_BYTES];
    return RAND_bytes(bytes, sizeof bytes) == 1 &&
           scram_base64_encode(bytes, sizeof bytes, out, 32);
}

char *scram_any_attribute(char **at)
{
    char *text = *at;
    bool is_letter = (text[0] >= 'a' && text[0] <= 'z') || (text[0] >= 'A' && text[0] <= 'Z');
    if (!is_letter || text[1] != '=')
        return NULL;
    char *value = text + 2;
    char *end = value + strcspn(value, ",");
    *at = end;
    if (*end == ',' && end[1] == '\0')
        return NULL;
    if (*end == ',') {
        *end = '\0';
        *at = end + 1;
    }
    return value;
}

char *scram_attribute(char **at, char name)
{
    return **at == name ? scram_any_attribute(at) : NULL;
}

bool scram_is_nonce(const char *text)
{
    size_t length = 0;
    for (; text[length] != '\0'; length++) {
        if (text[length] < 0x21 || text[length] > 0x7e || text[length] == ',' ||
            length == SCRAM_NONCE_TEXT_MAX)
            return false;
    }
    return length > 0;
}

/* "digits:" at *at; 0: something else. */
static uint32_t read_iterations(char **at)
{
    uint32_t value = 0;
    char *text = *at;
    for (; *text >= '0' && *text <= '9'; text++) {
        value = value * 10 + (uint32_t)(*text - '0');
        if (value > SCRAM_ITERATIONS_MAX)
            return 0;
    }
    if (*text != ':')
        return 0;
    *at = text + 1;
    return value;
}

static bool decode_key(const char *text, unsigned char out[SCRAM_KEY_BYTES])
{
    size_t length = 0;
    return scram_base64_decode(text, out, SCRAM_KEY_BYTES, &length) && length == SCRAM_KEY_BYTES;
}

bool scram_verifier_parse(const char *text, struct scram_verifier *verifier)
{
    static const char scheme[] = "SCRAM-SHA-256$";
    if (strncmp(text, scheme, sizeof scheme - 1) != 0)
        return false;
    char *copy = strdup(text + sizeof scheme - 1);
    if (copy == NULL)
        return false;
    bool fits = false;
    char *salt = copy;
    verifier->iterations = read_iterations(&salt);
    char *stored_key = strchr(salt, '$');
    char *server_key = stored_key == NULL ? NULL : strchr(stored_key, ':');
    if (verifier->iterations > 0 && server_key != NULL) {
        *stored_key++ = '\0';
        *server_key++ = '\0';
        fits = scram_base64_decode(salt, verifier->salt, sizeof verifier->salt,
                                   &verifier->salt_length) &&
               verifier->salt_length > 0 && decode_key(stored_key, verifier->stored_key) &&
               decode_key(server_key, verifier->server_key);
    }
    scram_wipe_text(copy);
    return fits;
}

bool scram_verifier_make(const char *password, const unsigned char *salt, size_t salt_length,
                         char out[SCRAM_VERIFIER_TEXT_MAX])
{
    unsigned char salted[SCRAM_KEY_BYTES], client_key[SCRAM_KEY_BYTES];
    unsigned char stored_key[SCRAM_KEY_BYTES], server_key[SCRAM_KEY_BYTES];
    char salt_text[32], stored_text[48], server_text[48];
    bool done =
        salt_length <= 16 &&
        scram_salted_password(password, salt, salt_length, SCRAM_ITERATIONS_DEFAULT, salted) &&
        scram_hmac(salted, sizeof salted, "Client Key", 10, client_key) &&
        scram_hash(client_key, sizeof client_key, stored_key) &&
        scram_hmac(salted, sizeof salted, "Server Key", 10, server_key) &&
        scram_base64_encode(salt, salt_length, salt_text, sizeof salt_text) &&
        scram_base64_encode(stored_key, sizeof stored_key, stored_text, sizeof stored_text) &&
        scram_base64_encode(server_key, sizeof server_key, server_text, sizeof server_text);
    if (done) {
        int length = snprintf(out, SCRAM_VERIFIER_TEXT_MAX, "SCRAM-SHA-256$%d:%s$%s:%s",
                              SCRAM_ITERATIONS_DEFAULT, salt_text, stored_text, server_text);
        done = length > 0 && length < SCRAM_VERIFIER_TEXT_MAX;
    }
    OPENSSL_cleanse(salted, sizeof salted);
    OPENSSL_cleanse(client_key, sizeof client_key);
    OPENSSL_cleanse(server_key, sizeof server_key);
    OPENSSL_cleanse(server_text, sizeof server_text);
    return done;
}

void scram_wipe_text(char *text)
{
    if (text == NULL)
        return;
    OPENSSL_cleanse(text, strlen(text));
    free(text);
}
