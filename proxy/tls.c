#include "proxy/tls.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "proxy/limits.h"

static void __attribute__((format(printf, 2, 3))) explain(char error[512], const char *format, ...)
{
    char text[400];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    unsigned long code = ERR_peek_last_error();
    const char *reason = code == 0 ? NULL : ERR_reason_error_string(code);
    snprintf(error, 512, "%s%s%s", text, reason == NULL ? "" : ": ", reason == NULL ? "" : reason);
    ERR_clear_error();
}

/* A client that names protocols must name ours: this port speaks nothing else. */
static int select_protocol(SSL *ssl, const unsigned char **out, unsigned char *out_length,
                           const unsigned char *in, unsigned int in_length, void *context)
{
    static const unsigned char ours[] = "\x0apostgresql";
    (void)ssl, (void)context;
    unsigned char *selected = NULL;
    if (SSL_select_next_proto(&selected, out_length, ours, sizeof ours - 1, in, in_length) !=
        OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *out = selected;
    return SSL_TLSEXT_ERR_OK;
}

/* A key that others may read is no secret. */
static bool key_is_private(const char *path, char error[512])
{
    struct stat status;
    if (stat(path, &status) != 0 || !S_ISREG(status.st_mode)) {
        snprintf(error, 512, "cannot read the TLS key %s", path);
        return false;
    }
    if ((status.st_mode & (S_IWGRP | S_IXGRP | S_IRWXO)) != 0) {
        snprintf(error, 512, "the TLS key %s must not be open to others: mode 0600, or 0640", path);
        return false;
    }
    return true;
}

static bool set_up(SSL_CTX *tls, const struct config *config, char error[512])
{
    if (SSL_CTX_set_min_proto_version(tls, TLS1_2_VERSION) != 1 ||
        SSL_CTX_set_max_send_fragment(tls, LIMIT_TLS_RECORD_BYTES) != 1 ||
        SSL_CTX_set_num_tickets(tls, 0) != 1) {
        explain(error, "cannot set up TLS");
        return false;
    }
    SSL_CTX_set_options(tls, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_TICKET |
                                 SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_mode(tls, SSL_MODE_RELEASE_BUFFERS); /* idle sessions are many */
    SSL_CTX_set_session_cache_mode(tls, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_alpn_select_cb(tls, select_protocol, NULL);
    if (SSL_CTX_use_certificate_chain_file(tls, config->tls_certificate) != 1) {
        explain(error, "cannot use the TLS certificate %s", config->tls_certificate);
        return false;
    }
    if (!key_is_private(config->tls_key, error))
        return false;
    if (SSL_CTX_use_PrivateKey_file(tls, config->tls_key, SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_check_private_key(tls) != 1) {
        explain(error, "cannot use the TLS key %s", config->tls_key);
        return false;
    }
    return true;
}

/* A key with a passphrase would ask the terminal; nobody is there. */
static int no_passphrase(char *buffer, int size, int writing, void *context)
{
    (void)buffer, (void)size, (void)writing, (void)context;
    return 0;
}

struct ssl_ctx_st *tls_new(const struct config *config, char error[512])
{
    if (config->tls_certificate == NULL || config->tls_key == NULL) {
        snprintf(error, 512, "TLS needs a certificate and a key");
        return NULL;
    }
    ERR_clear_error();
    SSL_CTX *tls = SSL_CTX_new(TLS_server_method());
    if (tls == NULL) {
        explain(error, "cannot set up TLS");
        return NULL;
    }
    SSL_CTX_set_default_passwd_cb(tls, no_passphrase);
    if (!set_up(tls, config, error)) {
        SSL_CTX_free(tls);
        return NULL;
    }
    return tls;
}

void tls_free(struct ssl_ctx_st *tls)
{
    SSL_CTX_free(tls);
}

static size_t end_point(const X509 *certificate, unsigned char out[64])
{
    int hash_nid = NID_undef;
    unsigned int length = 0;
    if (certificate == NULL ||
        OBJ_find_sigid_algs(X509_get_signature_nid(certificate), &hash_nid, NULL) != 1)
        return 0;
    /* RFC 5929: the signature's own hash, unless it is too weak. */
    if (hash_nid == NID_md5 || hash_nid == NID_sha1)
        hash_nid = NID_sha256;
    const EVP_MD *hash = EVP_get_digestbynid(hash_nid);
    if (hash == NULL || EVP_MD_get_size(hash) > 64 ||
        X509_digest(certificate, hash, out, &length) != 1)
        return 0;
    return length;
}

size_t tls_end_point(struct ssl_st *ssl, unsigned char out[64])
{
    if (SSL_is_server(ssl))
        return end_point(SSL_get_certificate(ssl), out);
    X509 *certificate = SSL_get1_peer_certificate(ssl);
    size_t length = end_point(certificate, out);
    X509_free(certificate);
    return length;
}
