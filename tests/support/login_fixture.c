#include "tests/support/login_fixture.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <event2/buffer.h>
#include <libpq-fe.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proxy/tls.h"
#include "proxy/wire.h"
#include "tests/support/verifier.h"

static void answer_lookup(struct login_fixture *fixture, void *login, const char *user)
{
    if (fixture->ledger_fails) {
        login_verifier(login, NULL, true);
        return;
    }
    char *verifier = NULL;
    if (user != NULL && strcmp(user, "alice") == 0)
        verifier = make_verifier("right password", "QSXCR+Q6sek8bf92QSXCRQ==", 4096);
    login_verifier(login, verifier, false);
    free(verifier);
}

static void find_verifier(void *owner, void *login, const char *user)
{
    struct login_fixture *fixture = owner;
    fixture->n_lookups++;
    if (fixture->hold_verifier)
        fixture->waiting = login;
    else
        answer_lookup(fixture, login, user);
}

static void drop_session(struct login_fixture *fixture)
{
    stream_free(fixture->session);
    startup_free(fixture->startup);
    fixture->session = NULL;
    fixture->startup = NULL;
}

static void on_session(void *context, struct stream *stream, enum stream_event event)
{
    struct login_fixture *fixture = context;
    if (event == STREAM_CLOSED && fixture->session == stream) {
        stream_free(stream);
        fixture->session = NULL;
    }
}

static void accepted(void *owner, struct stream *stream, struct startup *startup)
{
    struct login_fixture *fixture = owner;
    drop_session(fixture);
    fixture->n_accepted++;
    fixture->session = stream;
    fixture->startup = startup;
    stream_set_callback(stream, on_session, fixture);
    wire_parameter_status(stream_output(stream), "server_version", "15.0");
    wire_backend_key(stream_output(stream), 42, 4711);
    wire_ready(stream_output(stream), 'I');
}

static void cancelled(void *owner, uint32_t pid, uint32_t key)
{
    struct login_fixture *fixture = owner;
    fixture->n_cancelled++;
    fixture->pid = pid;
    fixture->key = key;
}

static void ended(void *owner)
{
    struct login_fixture *fixture = owner;
    fixture->n_ended++;
}

static void on_accept(void *context, int fd)
{
    struct login_fixture *fixture = context;
    login_start(&fixture->context, fd);
}

/* Self-signed, for localhost. */
static void make_certificate(struct login_fixture *fixture)
{
    snprintf(fixture->folder, sizeof fixture->folder, "/tmp/test-login-XXXXXX");
    EVP_PKEY *key = EVP_RSA_gen(2048);
    X509 *certificate = X509_new();
    if (mkdtemp(fixture->folder) == NULL || key == NULL || certificate == NULL ||
        asprintf(&fixture->config.tls_certificate, "%s/cert", fixture->folder) < 0 ||
        asprintf(&fixture->config.tls_key, "%s/key", fixture->folder) < 0)
        abort();
    X509_gmtime_adj(X509_getm_notBefore(certificate), -60);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
    X509_set_pubkey(certificate, key);
    X509_NAME *name = X509_get_subject_name(certificate);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"localhost", -1, -1,
                               0);
    X509_set_issuer_name(certificate, name);
    if (X509_sign(certificate, key, EVP_sha384()) == 0)
        abort();
    umask(077);
    FILE *file = fopen(fixture->config.tls_certificate, "w");
    if (file == NULL || PEM_write_X509(file, certificate) != 1 || fclose(file) != 0)
        abort();
    file = fopen(fixture->config.tls_key, "w");
    if (file == NULL || PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL) != 1 ||
        fclose(file) != 0)
        abort();
    X509_free(certificate);
    EVP_PKEY_free(key);
}

struct login_fixture *login_fixture_new(enum config_tls mode)
{
    char error[512] = "";
    struct login_fixture *fixture = calloc(1, sizeof *fixture);
    if (fixture == NULL)
        abort();
    signal(SIGPIPE, SIG_IGN); /* as the server does */
    fixture->base = event_base_new();
    fixture->config.tls_mode = mode;
    fixture->config.login_timeout_ms = 10000;
    fixture->config.message_bytes_max = 1 << 20;
    if (mode != CONFIG_TLS_DISABLE) {
        make_certificate(fixture);
        fixture->tls = tls_new(&fixture->config, error);
        if (fixture->tls == NULL)
            fprintf(stderr, "%s\n", error);
        assert(fixture->tls != NULL);
    }
    fixture->context = (struct login_context){
        .base = fixture->base,
        .config = &fixture->config,
        .tls = fixture->tls,
        .find_verifier = find_verifier,
        .accepted = accepted,
        .cancel = cancelled,
        .ended = ended,
        .owner = fixture,
    };
    fixture->listener = listener_new(fixture->base, "127.0.0.1", 0, 100, on_accept, fixture, error);
    assert(fixture->listener != NULL);
    return fixture;
}

void login_fixture_free(struct login_fixture *fixture)
{
    drop_session(fixture);
    listener_free(fixture->listener);
    /* Streams that say their last words end when their client has gone. */
    for (int turn = 0; turn < 20; turn++) {
        event_base_loop(fixture->base, EVLOOP_NONBLOCK);
        usleep(1000);
    }
    tls_free(fixture->tls);
    event_base_free(fixture->base);
    if (fixture->folder[0] != '\0') {
        unlink(fixture->config.tls_certificate);
        unlink(fixture->config.tls_key);
        rmdir(fixture->folder);
    }
    free(fixture->config.tls_certificate);
    free(fixture->config.tls_key);
    free(fixture);
}

bool login_fixture_wait(struct login_fixture *fixture, bool (*until)(struct login_fixture *),
                        unsigned timeout_ms)
{
    for (unsigned waited = 0; waited < timeout_ms; waited += 2) {
        if (until(fixture))
            return true;
        event_base_loop(fixture->base, EVLOOP_NONBLOCK);
        usleep(2000);
    }
    return until(fixture);
}

/* libpq's side. */
struct connecting {
    char conninfo[512];
    char *error;
    atomic_bool done;
};

static void *connect_by_libpq(void *argument)
{
    struct connecting *connecting = argument;
    PGconn *connection = PQconnectdb(connecting->conninfo);
    connecting->error =
        strdup(PQstatus(connection) == CONNECTION_OK ? "" : PQerrorMessage(connection));
    PQfinish(connection);
    atomic_store(&connecting->done, true);
    return NULL;
}

char *login_fixture_connect(struct login_fixture *fixture, const char *options)
{
    struct connecting connecting = {0};
    pthread_t thread;
    snprintf(connecting.conninfo, sizeof connecting.conninfo,
             "host=127.0.0.1 port=%u connect_timeout=10 gssencmode=disable %s",
             listener_port(fixture->listener), options);
    if (pthread_create(&thread, NULL, connect_by_libpq, &connecting) != 0)
        abort();
    while (!atomic_load(&connecting.done)) {
        event_base_loop(fixture->base, EVLOOP_NONBLOCK);
        usleep(500);
    }
    pthread_join(thread, NULL);
    return connecting.error;
}

int login_fixture_dial(struct login_fixture *fixture)
{
    const struct sockaddr_in address = {.sin_family = AF_INET,
                                        .sin_port = htons(listener_port(fixture->listener)),
                                        .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof address) != 0)
        abort();
    return fd;
}

size_t login_fixture_talk(struct login_fixture *fixture, int fd, const void *bytes, size_t length,
                          unsigned char *reply, size_t size, size_t at_least, bool *is_over)
{
    size_t got = 0;
    *is_over = false;
    if (length > 0 && send(fd, bytes, length, MSG_NOSIGNAL) != (ssize_t)length)
        abort();
    for (unsigned turn = 0; turn < 1500 && got < at_least && !*is_over; turn++) {
        event_base_loop(fixture->base, EVLOOP_NONBLOCK);
        ssize_t here = recv(fd, reply + got, size - got, MSG_DONTWAIT);
        if (here > 0)
            got += (size_t)here;
        else if (here == 0 || errno != EAGAIN)
            *is_over = true;
        else
            usleep(2000);
    }
    return got;
}
