#include "proxy/tls_target.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct tls_target {
    SSL_CTX *tls;
    char *host; /* owned; as the connection string names the server, "" where it names none */
    bool check_host, requires_binding, has_certificate;
};

static bool __attribute__((format(printf, 2, 3))) explain(char error[512], const char *format, ...)
{
    char text[400];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    unsigned long code = ERR_peek_last_error();
    const char *reason = code == 0 ? NULL : ERR_reason_error_string(code);
    snprintf(error, 512, "%s%s%.100s", text, reason == NULL ? "" : ": ",
             reason == NULL ? "" : reason);
    ERR_clear_error();
    return false;
}

/* "" where it is not set. */
static const char *option(const PQconninfoOption *options, const char *name)
{
    for (; options->keyword != NULL; options++) {
        if (strcmp(options->keyword, name) == 0)
            return options->val != NULL ? options->val : "";
    }
    return "";
}

static bool is_numeric(const char *host)
{
    unsigned char address[16];
    return inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1;
}

/* A key with a passphrase would ask the terminal; nobody is there. */
static int no_passphrase(char *buffer, int size, int writing, void *context)
{
    (void)buffer, (void)size, (void)writing, (void)context;
    return 0;
}

static bool load_roots(SSL_CTX *tls, const PQconninfoOption *options, char error[512])
{
    const char *roots = option(options, "sslrootcert"), *revoked = option(options, "sslcrl");
    bool loaded = strcmp(roots, "system") == 0
                      ? SSL_CTX_set_default_verify_paths(tls) == 1
                      : SSL_CTX_load_verify_locations(tls, roots, NULL) == 1;
    if (!loaded)
        return explain(error, "cannot read the root certificates %.200s (sslrootcert)", roots);
    if (revoked[0] != '\0') {
        X509_STORE *store = SSL_CTX_get_cert_store(tls);
        if (X509_STORE_load_locations(store, revoked, NULL) != 1 ||
            X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL) != 1)
            return explain(error, "cannot read the revocation list %.200s (sslcrl)", revoked);
    }
    SSL_CTX_set_verify(tls, SSL_VERIFY_PEER, NULL);
    return true;
}

static bool load_own(struct tls_target *target, const PQconninfoOption *options, char error[512])
{
    const char *certificate = option(options, "sslcert"), *key = option(options, "sslkey");
    if (certificate[0] == '\0')
        return true;
    if (SSL_CTX_use_certificate_chain_file(target->tls, certificate) != 1)
        return explain(error, "cannot use the certificate %.200s (sslcert)", certificate);
    if (key[0] == '\0')
        return explain(error, "sslcert is given and sslkey is not");
    if (SSL_CTX_use_PrivateKey_file(target->tls, key, SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_check_private_key(target->tls) != 1)
        return explain(error, "cannot use the key %.200s (sslkey; a file without passphrase)", key);
    target->has_certificate = true;
    return true;
}

/* As libpq: a root certificate given makes "require" mean "verify-ca". libpq would also look for
 * files in the home folder; here they have to be named. */
static bool set_up(struct tls_target *target, const PQconninfoOption *options, char error[512])
{
    const char *mode = option(options, "sslmode");
    bool has_roots = option(options, "sslrootcert")[0] != '\0';
    bool verifies = strcmp(mode, "verify-ca") == 0 || strcmp(mode, "verify-full") == 0;
    ERR_clear_error();
    if (SSL_CTX_set_min_proto_version(target->tls, TLS1_2_VERSION) != 1)
        return explain(error, "cannot set up TLS");
    SSL_CTX_set_default_passwd_cb(target->tls, no_passphrase);
    SSL_CTX_set_options(target->tls, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
                                         SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_mode(target->tls, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_cache_mode(target->tls, SSL_SESS_CACHE_OFF);
    if (option(options, "sslcrldir")[0] != '\0')
        return explain(error, "sslcrldir is not followed here; name one file with sslcrl");
    if (verifies && !has_roots)
        return explain(error, "sslmode=%s needs sslrootcert in the connection string", mode);
    if (has_roots && (verifies || strcmp(mode, "require") == 0) &&
        !load_roots(target->tls, options, error))
        return false;
    target->check_host = strcmp(mode, "verify-full") == 0;
    target->requires_binding = strcmp(option(options, "channel_binding"), "require") == 0;
    return load_own(target, options, error);
}

struct tls_target *tls_target_new(const PGconn *connection, char error[512])
{
    struct tls_target *target = calloc(1, sizeof *target);
    PQconninfoOption *options = PQconninfo((PGconn *)(uintptr_t)connection);
    const char *host = PQhost(connection);
    bool done = false;
    if (target == NULL || options == NULL)
        goto cleanup;
    target->tls = SSL_CTX_new(TLS_client_method());
    target->host = strdup(host != NULL && host[0] != '/' ? host : "");
    if (target->tls == NULL || target->host == NULL)
        goto cleanup;
    done = set_up(target, options, error);
cleanup:
    if (target == NULL || options == NULL || target->tls == NULL || target->host == NULL)
        explain(error, "out of memory");
    PQconninfoFree(options);
    if (!done) {
        tls_target_free(target);
        target = NULL;
    }
    return target;
}

void tls_target_free(struct tls_target *target)
{
    if (target == NULL)
        return;
    SSL_CTX_free(target->tls);
    free(target->host);
    free(target);
}

struct ssl_st *tls_target_begin(const struct tls_target *target)
{
    static const unsigned char protocol[] = "\x0apostgresql";
    SSL *ssl = SSL_new(target->tls);
    if (ssl == NULL)
        return NULL;
    bool numeric = is_numeric(target->host), done = true;
    if (target->host[0] != '\0' && !numeric)
        done = SSL_set_tlsext_host_name(ssl, target->host) == 1;
    if (target->check_host && numeric)
        done = done && X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), target->host) == 1;
    else if (target->check_host)
        done = done && target->host[0] != '\0' && SSL_set1_host(ssl, target->host) == 1;
    done = done && SSL_set_alpn_protos(ssl, protocol, sizeof protocol - 1) == 0;
    if (!done) {
        SSL_free(ssl);
        return NULL;
    }
    return ssl;
}

bool tls_target_requires_binding(const struct tls_target *target)
{
    return target->requires_binding;
}

bool tls_target_has_certificate(const struct tls_target *target)
{
    return target->has_certificate;
}
