#include "proxy/scram_server.h"

#include <assert.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/scram.h"

/*
 * The user name within the exchange is ignored, as PostgreSQL does: the startup packet named the
 * user, and drivers put anything here. Extensions are ignored where RFC 5802 lets them be ignored.
 * Unknown users walk the same road: same messages, same work, same end.
 */

static const char name_plain[] = "SCRAM-SHA-256";
static const char name_plus[] = "SCRAM-SHA-256-PLUS";
static const char list_plain[] = "SCRAM-SHA-256\0";
static const char list_plus[] = "SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0";
static const char binding_type[] = "tls-server-end-point";

enum step { STEP_SELECT, STEP_FIRST, STEP_FINAL, STEP_ENDED };

struct scram_server {
    enum step step;
    bool is_mock;
    bool is_plus;          /* the client took SCRAM-SHA-256-PLUS */
    char binding_flag;     /* 'n', 'y' or 'p', as the client began */
    size_t binding_length; /* 0: no channel binding offered */
    unsigned char binding[SCRAM_BINDING_BYTES_MAX];
    struct scram_verifier verifier;
    char nonce[SCRAM_NONCE_TEXT_MAX + 64]; /* ours; then the client's and ours */
    char *client_first_bare, *server_first;
};

static unsigned char secret[32];
static bool has_secret;

void scram_server_set_secret(const unsigned char given[32])
{
    memcpy(secret, given, sizeof secret);
    has_secret = true;
}

static enum scram_outcome refuse(struct scram_refusal *refusal, const char *sqlstate,
                                 const char *message, const char *detail)
{
    *refusal = (struct scram_refusal){sqlstate, message, detail};
    return SCRAM_REFUSED;
}

static enum scram_outcome malformed(struct scram_refusal *refusal, const char *detail)
{
    return refuse(refusal, "08P01", "malformed SCRAM message", detail);
}

static enum scram_outcome out_of_memory(struct scram_refusal *refusal)
{
    return refuse(refusal, "53200", "out of memory", NULL);
}

/* A verifier that nobody has the password of: always the same salt for the same name. */
static bool mock_verifier(const char *user, struct scram_verifier *verifier)
{
    if (!has_secret) {
        if (RAND_priv_bytes(secret, sizeof secret) != 1)
            return false;
        has_secret = true;
    }
    unsigned char hash[SCRAM_KEY_BYTES];
    if (!scram_hmac(secret, sizeof secret, user, strlen(user), hash))
        return false;
    verifier->iterations = SCRAM_ITERATIONS_DEFAULT;
    verifier->salt_length = 16;
    memcpy(verifier->salt, hash, 16);
    return RAND_priv_bytes(verifier->stored_key, SCRAM_KEY_BYTES) == 1 &&
           RAND_priv_bytes(verifier->server_key, SCRAM_KEY_BYTES) == 1;
}

struct scram_server *scram_server_new(const char *user, const char *verifier,
                                      const unsigned char *binding, size_t binding_length,
                                      const char *nonce, bool *is_malformed)
{
    struct scram_server *server = calloc(1, sizeof *server);
    if (server == NULL)
        return NULL;
    assert(binding_length <= SCRAM_BINDING_BYTES_MAX);
    if (binding_length > 0)
        memcpy(server->binding, binding, binding_length);
    server->binding_length = binding_length;
    /* The mock verifier is made for known users too: the same work. */
    struct scram_verifier found;
    bool ready = mock_verifier(user, &server->verifier);
    bool parsed = verifier != NULL && scram_verifier_parse(verifier, &found);
    if (is_malformed != NULL)
        *is_malformed = verifier != NULL && !parsed;
    server->is_mock = !parsed;
    if (parsed)
        server->verifier = found;
    OPENSSL_cleanse(&found, sizeof found);
    if (nonce != NULL)
        ready = ready && snprintf(server->nonce, 64, "%s", nonce) < 64;
    else
        ready = ready && scram_nonce(server->nonce);
    if (!ready) {
        scram_server_free(server);
        return NULL;
    }
    return server;
}

void scram_server_free(struct scram_server *server)
{
    if (server == NULL)
        return;
    free(server->client_first_bare);
    free(server->server_first);
    OPENSSL_cleanse(server, sizeof *server);
    free(server);
}

const char *scram_server_mechanisms(const struct scram_server *server, size_t *length)
{
    *length = server->binding_length > 0 ? sizeof list_plus : sizeof list_plain;
    return server->binding_length > 0 ? list_plus : list_plain;
}

bool scram_server_select(struct scram_server *server, const char *mechanism)
{
    if (server->step != STEP_SELECT)
        return false;
    server->is_plus = server->binding_length > 0 && strcmp(mechanism, name_plus) == 0;
    if (!server->is_plus && strcmp(mechanism, name_plain) != 0)
        return false;
    server->step = STEP_FIRST;
    return true;
}

/* The gs2 header: channel binding flag and authorization identity. Moves *at to the bare message.
 */
static enum scram_outcome read_header(struct scram_server *server, char **at,
                                      struct scram_refusal *refusal)
{
    char *text = *at;
    server->binding_flag = text[0];
    switch (text[0]) {
    case 'n':
        if (server->is_plus)
            return malformed(refusal, "The client selected SCRAM-SHA-256-PLUS, but the SCRAM "
                                      "message does not include channel binding data.");
        text++;
        break;
    case 'y':
        if (server->is_plus)
            return malformed(refusal, "The client selected SCRAM-SHA-256-PLUS, but the SCRAM "
                                      "message does not include channel binding data.");
        /* Somebody in between hid the offer. */
        if (server->binding_length > 0)
            return refuse(refusal, "28000", "SCRAM channel binding negotiation error",
                          "The client supports SCRAM channel binding but thinks the server does "
                          "not.  However, this server does support channel binding.");
        text++;
        break;
    case 'p':
        if (!server->is_plus)
            return malformed(refusal, "The client selected SCRAM-SHA-256 without channel binding, "
                                      "but the SCRAM message includes channel binding data.");
        if (text[1] != '=' || strncmp(text + 2, binding_type, sizeof binding_type - 1) != 0 ||
            text[2 + sizeof binding_type - 1] != ',')
            return refuse(refusal, "08P01", "unsupported SCRAM channel-binding type", NULL);
        text += 2 + sizeof binding_type - 1;
        break;
    default:
        return malformed(refusal, "Unexpected channel-binding flag.");
    }
    if (text[0] != ',')
        return malformed(refusal, "Comma expected.");
    if (text[1] == 'a')
        return refuse(refusal, "0A000",
                      "client uses authorization identity, but it is not supported", NULL);
    if (text[1] != ',')
        return malformed(refusal, "Unexpected attribute in client-first-message.");
    *at = text + 2;
    return SCRAM_CONTINUE;
}

/* Nonce of both, salt and iterations. */
static bool write_first(struct scram_server *server, const char *client_nonce)
{
    char both[sizeof server->nonce];
    char salt[SCRAM_SALT_BYTES_MAX * 2];
    int length = snprintf(both, sizeof both, "%s%s", client_nonce, server->nonce);
    if (length < 0 || (size_t)length >= sizeof both)
        return false;
    memcpy(server->nonce, both, sizeof both);
    return scram_base64_encode(server->verifier.salt, server->verifier.salt_length, salt,
                               sizeof salt) &&
           asprintf(&server->server_first, "r=%s,s=%s,i=%u", both, salt,
                    server->verifier.iterations) > 0;
}

static enum scram_outcome client_first(struct scram_server *server, char *text, char **answer,
                                       struct scram_refusal *refusal)
{
    char *at = text;
    enum scram_outcome outcome = read_header(server, &at, refusal);
    if (outcome != SCRAM_CONTINUE)
        return outcome;
    server->client_first_bare = strdup(at);
    if (server->client_first_bare == NULL)
        return out_of_memory(refusal);
    if (at[0] == 'm')
        return refuse(refusal, "0A000", "client requires an unsupported SCRAM extension", NULL);
    if (scram_attribute(&at, 'n') == NULL)
        return malformed(refusal, "Attribute \"n\" expected.");
    const char *client_nonce = scram_attribute(&at, 'r');
    if (client_nonce == NULL)
        return malformed(refusal, "Attribute \"r\" expected.");
    if (!scram_is_nonce(client_nonce))
        return malformed(refusal, "Non-printable characters in SCRAM nonce.");
    while (*at != '\0') {
        if (scram_any_attribute(&at) == NULL)
            return malformed(refusal, "Invalid attribute in client-first-message.");
    }
    if (!write_first(server, client_nonce))
        return out_of_memory(refusal);
    *answer = strdup(server->server_first);
    return *answer == NULL ? out_of_memory(refusal) : SCRAM_CONTINUE;
}

/* The client repeats how it began, and over TLS which certificate it saw. */
static bool binding_matches(const struct scram_server *server, const char *attribute)
{
    unsigned char expected[sizeof binding_type + 8 + SCRAM_BINDING_BYTES_MAX];
    char encoded[sizeof expected * 2];
    size_t length;
    if (server->binding_flag == 'p') {
        int header = snprintf((char *)expected, sizeof expected, "p=%s,,", binding_type);
        assert(header > 0 && (size_t)header + server->binding_length <= sizeof expected);
        memcpy(expected + header, server->binding, server->binding_length);
        length = (size_t)header + server->binding_length;
    } else {
        const char header[] = {server->binding_flag, ',', ','};
        memcpy(expected, header, sizeof header);
        length = sizeof header;
    }
    return scram_base64_encode(expected, length, encoded, sizeof encoded) &&
           strcmp(encoded, attribute) == 0;
}

/* Whether the proof shows the password; the same work whatever the answer. */
static bool proof_is_right(const struct scram_server *server, const char *auth_message,
                           const unsigned char proof[SCRAM_KEY_BYTES])
{
    unsigned char signature[SCRAM_KEY_BYTES], client_key[SCRAM_KEY_BYTES];
    unsigned char stored_key[SCRAM_KEY_BYTES];
    bool right = scram_hmac(server->verifier.stored_key, SCRAM_KEY_BYTES, auth_message,
                            strlen(auth_message), signature);
    for (size_t i = 0; i < SCRAM_KEY_BYTES; i++)
        client_key[i] = proof[i] ^ signature[i];
    right = scram_hash(client_key, sizeof client_key, stored_key) && right;
    right = (CRYPTO_memcmp(stored_key, server->verifier.stored_key, SCRAM_KEY_BYTES) == 0) & right;
    right = !server->is_mock & right;
    OPENSSL_cleanse(client_key, sizeof client_key);
    OPENSSL_cleanse(stored_key, sizeof stored_key);
    return right;
}

static bool write_final(const struct scram_server *server, const char *auth_message, char **answer)
{
    unsigned char signature[SCRAM_KEY_BYTES];
    char encoded[64] = "v=";
    if (!scram_hmac(server->verifier.server_key, SCRAM_KEY_BYTES, auth_message,
                    strlen(auth_message), signature) ||
        !scram_base64_encode(signature, sizeof signature, encoded + 2, sizeof encoded - 2))
        return false;
    *answer = strdup(encoded);
    return *answer != NULL;
}

static enum scram_outcome check_proof(struct scram_server *server, const char *without_proof,
                                      const unsigned char proof[SCRAM_KEY_BYTES], char **answer,
                                      struct scram_refusal *refusal)
{
    char *auth_message = NULL;
    if (asprintf(&auth_message, "%s,%s,%s", server->client_first_bare, server->server_first,
                 without_proof) < 0)
        return out_of_memory(refusal);
    bool right = proof_is_right(server, auth_message, proof);
    bool signed_too = write_final(server, auth_message, answer);
    free(auth_message);
    if (right && !signed_too)
        return out_of_memory(refusal);
    if (right)
        return SCRAM_DONE;
    scram_wipe_text(*answer);
    *answer = NULL;
    return SCRAM_WRONG_PASSWORD;
}

static enum scram_outcome client_final(struct scram_server *server, char *text, char **answer,
                                       struct scram_refusal *refusal)
{
    char *without_proof = strdup(text);
    if (without_proof == NULL)
        return out_of_memory(refusal);
    enum scram_outcome outcome;
    unsigned char proof[SCRAM_KEY_BYTES];
    size_t proof_length = 0;
    char *at = text;
    const char *binding = scram_attribute(&at, 'c');
    const char *nonce = binding == NULL ? NULL : scram_attribute(&at, 'r');
    /* Extensions may follow; the proof ends the message. */
    char *last = at;
    const char *value = NULL;
    while (nonce != NULL && *at != '\0' && (last = at)[0] != 'p') {
        if (scram_any_attribute(&at) == NULL)
            break;
    }
    if (nonce != NULL && last[0] == 'p')
        value = scram_attribute(&at, 'p');
    if (value == NULL) {
        outcome = malformed(refusal, "Attribute \"p\" expected.");
    } else if (*at != '\0' || last == text) {
        outcome = malformed(refusal, "Garbage found at the end of client-final-message.");
    } else if (!binding_matches(server, binding)) {
        outcome = refuse(refusal, server->is_plus ? "28000" : "08P01",
                         server->is_plus
                             ? "SCRAM channel binding check failed"
                             : "unexpected SCRAM channel-binding attribute in client-final-message",
                         NULL);
    } else if (strcmp(nonce, server->nonce) != 0) {
        outcome = refuse(refusal, "08P01", "invalid SCRAM response", "Nonce does not match.");
    } else if (!scram_base64_decode(value, proof, sizeof proof, &proof_length) ||
               proof_length != sizeof proof) {
        outcome = malformed(refusal, "Malformed proof in client-final-message.");
    } else {
        without_proof[last - text - 1] = '\0'; /* up to the comma before the proof */
        outcome = check_proof(server, without_proof, proof, answer, refusal);
    }
    OPENSSL_cleanse(proof, sizeof proof);
    scram_wipe_text(without_proof);
    return outcome;
}

enum scram_outcome scram_server_step(struct scram_server *server, const char *message,
                                     size_t length, char **answer, struct scram_refusal *refusal)
{
    *answer = NULL;
    *refusal = (struct scram_refusal){0};
    enum step step = server->step;
    server->step = STEP_ENDED;
    if (length == 0)
        return malformed(refusal, "The message is empty.");
    if (memchr(message, '\0', length) != NULL)
        return malformed(refusal, "Message length does not match input length.");
    char *text = strndup(message, length);
    if (text == NULL)
        return out_of_memory(refusal);
    enum scram_outcome outcome;
    if (step == STEP_FIRST) {
        outcome = client_first(server, text, answer, refusal);
        if (outcome == SCRAM_CONTINUE)
            server->step = STEP_FINAL;
    } else if (step == STEP_FINAL) {
        outcome = client_final(server, text, answer, refusal);
    } else {
        outcome = malformed(refusal, "The exchange has ended.");
    }
    OPENSSL_cleanse(text, length);
    free(text);
    return outcome;
}
