#ifndef PROXY_TLS_TARGET_H
#define PROXY_TLS_TARGET_H

/*
 * TLS as a client of PostgreSQL: how the server is verified and what pgveil shows of itself, by the
 * words of libpq's connection strings (sslmode, sslrootcert, sslcrl, sslcert, sslkey,
 * channel_binding). libpq speaks for pgveil's own connections; this is for those whose bytes pgveil
 * relays.
 */
#include <libpq-fe.h>
#include <stdbool.h>

struct ssl_st;
struct tls_target;

/* Reads the options of a connection that libpq has made over TLS. NULL with text in error: files
 * that cannot be read, or an option that only libpq can follow. The caller frees it. */
struct tls_target *tls_target_new(const PGconn *connection, char error[512]);
void tls_target_free(struct tls_target *target); /* accepts NULL */

/* One connection's state, with name and verification set; NULL: no memory. The caller frees it. */
struct ssl_st *tls_target_begin(const struct tls_target *target);
/* channel_binding=require */
bool tls_target_requires_binding(const struct tls_target *target);
/* A certificate of pgveil's own is shown: a server may be content with it and ask for no password.
 */
bool tls_target_has_certificate(const struct tls_target *target);

#endif
