#ifndef PROXY_SCRAM_H
#define PROXY_SCRAM_H

/*
 * What both sides of SCRAM-SHA-256 (RFC 5802, RFC 7677) share: hashes, base64, attributes, the
 * verifier. Pure: text in, text out. Functions that return bool fail only where the text is not
 * what it should be or OpenSSL cannot work; the output is then not to be used.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    SCRAM_KEY_BYTES = 32,
    SCRAM_SALT_BYTES_MAX = 64,
    SCRAM_NONCE_BYTES = 18, /* random bytes of a nonce, 24 characters */
    SCRAM_NONCE_TEXT_MAX = 1024,
    /* More would hold up the event loop: a client computes them all. */
    SCRAM_ITERATIONS_MAX = 1000000,
    SCRAM_ITERATIONS_DEFAULT = 4096,
    SCRAM_BINDING_BYTES_MAX = 64,
};

/* SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey */
struct scram_verifier {
    uint32_t iterations;
    size_t salt_length;
    unsigned char salt[SCRAM_SALT_BYTES_MAX];
    unsigned char stored_key[SCRAM_KEY_BYTES], server_key[SCRAM_KEY_BYTES];
};
bool scram_verifier_parse(const char *text, struct scram_verifier *verifier);
/* The text that a server keeps instead of the password; SCRAM_VERIFIER_TEXT_MAX holds it for a salt
 * of at most 16 bytes. */
enum { SCRAM_VERIFIER_TEXT_MAX = 160 };
bool scram_verifier_make(const char *password, const unsigned char *salt, size_t salt_length,
                         char out[SCRAM_VERIFIER_TEXT_MAX]);

bool scram_hash(const void *data, size_t length, unsigned char out[SCRAM_KEY_BYTES]);
bool scram_hmac(const void *key, size_t key_length, const void *data, size_t length,
                unsigned char out[SCRAM_KEY_BYTES]);
/* PBKDF2; milliseconds of work. */
bool scram_salted_password(const char *password, const unsigned char *salt, size_t salt_length,
                           uint32_t iterations, unsigned char out[SCRAM_KEY_BYTES]);

/* Base64 without line breaks. The encoded text and its NUL must fit into size. */
bool scram_base64_encode(const unsigned char *bytes, size_t length, char *out, size_t size);
/* Strict: whole groups, padding only at the end and without stray bits. */
bool scram_base64_decode(const char *text, unsigned char *out, size_t size, size_t *length);
/* A fresh nonce of SCRAM_NONCE_BYTES, encoded. */
bool scram_nonce(char out[32]);

/* Reads "name=value" up to the next comma and moves *at behind it. The value is ended by a NUL
 * within the text. NULL where something else stands there, or a comma ends the text. */
char *scram_attribute(char **at, char name);
/* Like it, for any one letter. */
char *scram_any_attribute(char **at);
/* Whether the text may be (part of) a nonce: printable, no comma, not empty, not too long. */
bool scram_is_nonce(const char *text);

/* Wipes and frees; NULL is fine. */
void scram_wipe_text(char *text);

#endif
