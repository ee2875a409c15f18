#include "proxy/scram_client.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/scram.h"

struct scram_client {
    char *password; /* owned, wiped */
    char *first;    /* owned: header and "n=,r=nonce" */
    const char *header;
    size_t binding_length; /* 0: not bound */
    unsigned char binding[SCRAM_BINDING_BYTES_MAX];
    char nonce[64];
    bool has_signature;                       /* final-message was built */
    unsigned char signature[SCRAM_KEY_BYTES]; /* what the server must answer */
};

static const char unbound_header[] = "n,,", bound_header[] = "p=tls-server-end-point,,";

static bool is_printable(const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text < ' ' || *text > '~')
            return false;
    }
    return true;
}

struct scram_client *scram_client_new(const char *password, const char *nonce,
                                      const unsigned char *binding, size_t binding_length)
{
    if (!is_printable(password) || (binding != NULL && binding_length > SCRAM_BINDING_BYTES_MAX))
        return NULL;
    struct scram_client *client = calloc(1, sizeof *client);
    if (client == NULL)
        return NULL;
    bool ready = nonce == NULL ? scram_nonce(client->nonce)
                               : snprintf(client->nonce, sizeof client->nonce, "%s", nonce) <
                                     (int)sizeof client->nonce;
    client->header = binding != NULL ? bound_header : unbound_header;
    if (binding != NULL) {
        client->binding_length = binding_length;
        memcpy(client->binding, binding, binding_length);
    }
    client->password = strdup(password);
    if (!ready || client->password == NULL ||
        asprintf(&client->first, "%sn=,r=%s", client->header, client->nonce) < 0) {
        client->first = NULL;
        scram_client_free(client);
        return NULL;
    }
    return client;
}

void scram_client_free(struct scram_client *client)
{
    if (client == NULL)
        return;
    scram_wipe_text(client->password);
    free(client->first);
    OPENSSL_cleanse(client, sizeof *client);
    free(client);
}

const char *scram_client_first(const struct scram_client *client)
{
    return client->first;
}

/* What the server said first. */
struct challenge {
    const char *nonce;
    size_t salt_length;
    unsigned char salt[SCRAM_SALT_BYTES_MAX];
    uint32_t iterations;
};

static bool read_challenge(const struct scram_client *client, char *text,
                           struct challenge *challenge)
{
    char *at = text;
    size_t own = strlen(client->nonce);
    challenge->nonce = scram_attribute(&at, 'r');
    if (challenge->nonce == NULL || !scram_is_nonce(challenge->nonce) ||
        strncmp(challenge->nonce, client->nonce, own) != 0 || challenge->nonce[own] == '\0')
        return false;
    const char *salt = scram_attribute(&at, 's');
    if (salt == NULL ||
        !scram_base64_decode(salt, challenge->salt, sizeof challenge->salt,
                             &challenge->salt_length) ||
        challenge->salt_length == 0)
        return false;
    const char *iterations = scram_attribute(&at, 'i');
    if (iterations == NULL || iterations[0] < '1' || iterations[0] > '9')
        return false;
    for (; *iterations >= '0' && *iterations <= '9'; iterations++) {
        challenge->iterations = challenge->iterations * 10 + (uint32_t)(*iterations - '0');
        if (challenge->iterations > SCRAM_ITERATIONS_MAX)
            return false;
    }
    return *iterations == '\0';
}

/* Proof for the server, and the signature that proves the server. */
static bool compute_proof(struct scram_client *client, const struct challenge *challenge,
                          const char *auth_message, unsigned char proof[SCRAM_KEY_BYTES])
{
    unsigned char salted[SCRAM_KEY_BYTES], client_key[SCRAM_KEY_BYTES];
    unsigned char stored_key[SCRAM_KEY_BYTES], server_key[SCRAM_KEY_BYTES];
    size_t length = strlen(auth_message);
    bool done = scram_salted_password(client->password, challenge->salt, challenge->salt_length,
                                      challenge->iterations, salted) &&
                scram_hmac(salted, sizeof salted, "Client Key", 10, client_key) &&
                scram_hash(client_key, sizeof client_key, stored_key) &&
                scram_hmac(stored_key, sizeof stored_key, auth_message, length, proof) &&
                scram_hmac(salted, sizeof salted, "Server Key", 10, server_key) &&
                scram_hmac(server_key, sizeof server_key, auth_message, length, client->signature);
    for (size_t i = 0; done && i < SCRAM_KEY_BYTES; i++)
        proof[i] ^= client_key[i];
    OPENSSL_cleanse(salted, sizeof salted);
    OPENSSL_cleanse(client_key, sizeof client_key);
    OPENSSL_cleanse(stored_key, sizeof stored_key);
    OPENSSL_cleanse(server_key, sizeof server_key);
    client->has_signature = done;
    return done;
}

/* Header and binding, as the server must see them too. */
static bool encode_channel(const struct scram_client *client, char *out, size_t size)
{
    unsigned char bytes[sizeof bound_header + SCRAM_BINDING_BYTES_MAX];
    size_t length = strlen(client->header);
    memcpy(bytes, client->header, length);
    memcpy(bytes + length, client->binding, client->binding_length);
    return scram_base64_encode(bytes, length + client->binding_length, out, size);
}

char *scram_client_final(struct scram_client *client, const char *message, size_t length)
{
    char *server_first = NULL, *text = NULL, *without_proof = NULL, *auth_message = NULL;
    char *final = NULL;
    struct challenge challenge = {0};
    unsigned char proof[SCRAM_KEY_BYTES];
    char encoded[64], channel[128];
    if (length == 0 || memchr(message, '\0', length) != NULL)
        return NULL;
    server_first = strndup(message, length);
    text = strndup(message, length);
    if (server_first == NULL || text == NULL || !read_challenge(client, text, &challenge))
        goto cleanup;
    if (!encode_channel(client, channel, sizeof channel))
        goto cleanup;
    if (asprintf(&without_proof, "c=%s,r=%s", channel, challenge.nonce) < 0) {
        without_proof = NULL;
        goto cleanup;
    }
    if (asprintf(&auth_message, "%s,%s,%s", client->first + strlen(client->header), server_first,
                 without_proof) < 0) {
        auth_message = NULL;
        goto cleanup;
    }
    if (!compute_proof(client, &challenge, auth_message, proof) ||
        !scram_base64_encode(proof, sizeof proof, encoded, sizeof encoded))
        goto cleanup;
    if (asprintf(&final, "%s,p=%s", without_proof, encoded) < 0)
        final = NULL;
cleanup:
    OPENSSL_cleanse(proof, sizeof proof);
    free(server_first);
    free(text);
    free(without_proof);
    free(auth_message);
    return final;
}

bool scram_client_verify(const struct scram_client *client, const char *message, size_t length)
{
    unsigned char signature[SCRAM_KEY_BYTES];
    size_t signature_length = 0;
    if (!client->has_signature || length == 0 || memchr(message, '\0', length) != NULL)
        return false;
    char *text = strndup(message, length);
    if (text == NULL)
        return false;
    char *at = text;
    const char *value = scram_attribute(&at, 'v');
    bool right = value != NULL && *at == '\0' &&
                 scram_base64_decode(value, signature, sizeof signature, &signature_length) &&
                 signature_length == sizeof signature &&
                 CRYPTO_memcmp(signature, client->signature, sizeof signature) == 0;
    free(text);
    return right;
}
