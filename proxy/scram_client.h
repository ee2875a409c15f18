#ifndef PROXY_SCRAM_CLIENT_H
#define PROXY_SCRAM_CLIENT_H

/*
 * The client's side of one SCRAM-SHA-256 exchange, for servers of pgveil's own: text in, text out.
 * The password must be ASCII, so that no normalisation is needed; such secrets are machine-made.
 */
#include <stdbool.h>
#include <stddef.h>

#include "proxy/scram.h"

struct scram_client;

/* nonce NULL: a fresh one; given only to replay an exchange in a test. binding:
 * tls-server-end-point of the connection, for SCRAM-SHA-256-PLUS; NULL: the exchange is not bound
 * to a connection. NULL: no memory, no randomness, a binding that is too long, or a password that
 * is not printable ASCII.
 */
struct scram_client *scram_client_new(const char *password, const char *nonce,
                                      const unsigned char *binding, size_t binding_length);
/* Wipes the password. */
void scram_client_free(struct scram_client *client);

/* client-first-message; borrowed until the client is freed. */
const char *scram_client_first(const struct scram_client *client);
/* Takes server-first-message, gives client-final-message (allocated, the caller frees it). NULL:
 * not acceptable. */
char *scram_client_final(struct scram_client *client, const char *message, size_t length);
/* Takes server-final-message: whether the server knows the password too. */
bool scram_client_verify(const struct scram_client *client, const char *message, size_t length);

#endif
