#ifndef PROXY_TLS_H
#define PROXY_TLS_H

/* What is pgveil's own about TLS: the server's settings and the channel binding. */
#include <stddef.h>

#include "config/config.h"

struct ssl_ctx_st;
struct ssl_st;

/* The server's side: certificate chain and key of the configuration, TLS 1.2 at least, no
 * compression, renegotiation or resumption, ALPN "postgresql". NULL with text in error. Call only
 * where tls_mode is not disabled. The caller frees it by tls_free. */
struct ssl_ctx_st *tls_new(const struct config *config, char error[512]);
void tls_free(struct ssl_ctx_st *tls);

/* tls-server-end-point (RFC 5929) of the certificate that this connection's server shows: the
 * length of the hash, 0 where it has none. */
size_t tls_end_point(struct ssl_st *ssl, unsigned char out[64]);

#endif
