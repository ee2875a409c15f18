#ifndef PROXY_SCRAM_SERVER_H
#define PROXY_SCRAM_SERVER_H

/*
 * The server's side of one SCRAM-SHA-256(-PLUS) exchange: text in, text out. A user without
 * verifier gets an exchange that cannot be told from another's and always ends in
 * SCRAM_WRONG_PASSWORD.
 */
#include <stdbool.h>
#include <stddef.h>

struct scram_server;

enum scram_outcome {
    SCRAM_CONTINUE,       /* send the answer and wait for the next message */
    SCRAM_DONE,           /* authenticated: send the answer */
    SCRAM_WRONG_PASSWORD, /* or unknown user, or disabled: nobody learns which */
    SCRAM_REFUSED         /* the message is not acceptable: the refusal says why */
};

/* Static texts. */
struct scram_refusal {
    const char *sqlstate, *message, *detail;
};

/* verifier NULL: the mock exchange. A verifier that makes no sense is treated likewise (and logged:
 * *is_malformed, which may be NULL). binding: tls-server-end-point, length 0: none, no PLUS. nonce
 * NULL: a fresh one; given only to replay an exchange in a test. NULL: no memory or no randomness.
 */
struct scram_server *scram_server_new(const char *user, const char *verifier,
                                      const unsigned char *binding, size_t binding_length,
                                      const char *nonce, bool *is_malformed);
void scram_server_free(struct scram_server *server);

/* What AuthenticationSASL lists, each name with its NUL and one more at the end; borrowed. */
const char *scram_server_mechanisms(const struct scram_server *server, size_t *length);
/* False: not one of the list. */
bool scram_server_select(struct scram_server *server, const char *mechanism);

/* The client's next message. *answer is allocated, the caller frees it; NULL unless the outcome is
 * SCRAM_CONTINUE or SCRAM_DONE. */
enum scram_outcome scram_server_step(struct scram_server *server, const char *message,
                                     size_t length, char **answer, struct scram_refusal *refusal);

/* The secret behind the salts of unknown users: should outlive a restart and be the same for all
 * instances of one ledger, or else a salt that changed tells an unknown user from a known one.
 * Without this call it is drawn when first needed. */
void scram_server_set_secret(const unsigned char secret[32]);

#endif
