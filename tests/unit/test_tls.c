#include <criterion/criterion.h>
#include <event2/buffer.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proxy/limits.h"
#include "proxy/tls.h"
#include "tests/support/login_fixture.h"

enum { BULK = 3 << 20 };

/* A TLS client on a thread: asks for TLS, shakes hands, reads BULK bytes. */
struct client {
    int fd;
    const unsigned char *alpn; /* NULL: none offered */
    unsigned alpn_length;
    bool connected;
    char selected[32];
    size_t received, longest_record;
    bool bytes_are_right;
    atomic_bool done;
};

static void on_record(int sending, int version, int type, const void *bytes, size_t length,
                      SSL *ssl, void *context)
{
    struct client *client = context;
    const unsigned char *header = bytes;
    (void)version, (void)ssl;
    if (type != SSL3_RT_HEADER || sending || length != 5)
        return;
    size_t record = (size_t)header[3] << 8 | header[4];
    if (record > client->longest_record)
        client->longest_record = record;
}

static unsigned char bulk_byte(size_t at)
{
    return (unsigned char)(at % 251);
}

static void read_bulk(struct client *client, SSL *ssl)
{
    unsigned char block[16384];
    int here;
    client->bytes_are_right = true;
    while (client->received < BULK && (here = SSL_read(ssl, block, sizeof block)) > 0) {
        for (int i = 0; i < here; i++)
            client->bytes_are_right =
                client->bytes_are_right && block[i] == bulk_byte(client->received + (size_t)i);
        client->received += (size_t)here;
    }
}

static void *run_client(void *argument)
{
    static const unsigned char request[] = {0, 0, 0, 8, 4, 210, 22, 47};
    struct client *client = argument;
    char answer = 0;
    const unsigned char *selected = NULL;
    unsigned length = 0;
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    SSL *ssl = SSL_new(context);
    SSL_set_msg_callback(ssl, on_record);
    SSL_set_msg_callback_arg(ssl, client);
    if (client->alpn != NULL)
        SSL_set_alpn_protos(ssl, client->alpn, client->alpn_length);
    if (write(client->fd, request, sizeof request) == sizeof request &&
        read(client->fd, &answer, 1) == 1 && answer == 'S' && SSL_set_fd(ssl, client->fd) == 1 &&
        SSL_connect(ssl) == 1) {
        client->connected = true;
        SSL_get0_alpn_selected(ssl, &selected, &length);
        snprintf(client->selected, sizeof client->selected, "%.*s", (int)length,
                 (const char *)selected);
        read_bulk(client, ssl);
    }
    SSL_free(ssl);
    SSL_CTX_free(context);
    close(client->fd);
    atomic_store(&client->done, true);
    return NULL;
}

/* A server that shakes hands and sends BULK bytes. */
struct sender {
    struct ssl_ctx_st *tls;
    struct stream *stream;
    bool is_tls, sent;
    size_t binding_length;
};

static void on_stream(void *context, struct stream *stream, enum stream_event event)
{
    struct sender *sender = context;
    if (event == STREAM_DATA && !sender->is_tls) {
        struct evbuffer *input = stream_input(stream);
        if (evbuffer_get_length(input) < 8)
            return;
        evbuffer_drain(input, 8);
        evbuffer_add(stream_output(stream), "S", 1);
        sender->is_tls = stream_start_tls(stream, sender->tls);
        cr_expect(sender->is_tls);
    } else if (event == STREAM_CONNECTED) {
        static unsigned char bulk[BULK];
        unsigned char binding[64];
        for (size_t i = 0; i < BULK; i++)
            bulk[i] = bulk_byte(i);
        sender->binding_length = stream_channel_binding(stream, binding);
        evbuffer_add(stream_output(stream), bulk, BULK);
        sender->sent = true;
    } else if (event == STREAM_CLOSED) {
        stream_free(stream);
        sender->stream = NULL;
    }
}

static struct client converse(const unsigned char *alpn, unsigned alpn_length,
                              struct sender *sender)
{
    struct login_fixture *fixture = login_fixture_new(CONFIG_TLS_REQUIRE);
    struct client client = {.alpn = alpn, .alpn_length = alpn_length};
    pthread_t thread;
    int fds[2];
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    client.fd = fds[1];
    sender->tls = fixture->tls;
    sender->stream = stream_accept(fixture->base, fds[0], on_stream, sender);
    cr_assert_eq(pthread_create(&thread, NULL, run_client, &client), 0);
    while (!atomic_load(&client.done)) {
        event_base_loop(fixture->base, EVLOOP_NONBLOCK);
        usleep(200);
    }
    pthread_join(thread, NULL);
    stream_free(sender->stream);
    sender->stream = NULL;
    login_fixture_free(fixture);
    return client;
}

Test(tls, much_data_arrives_in_records_that_libpq_can_wait_for)
{
    struct sender sender = {0};
    struct client client = converse(NULL, 0, &sender);
    cr_expect(client.connected);
    cr_expect(sender.sent);
    cr_expect_eq(client.received, BULK);
    cr_expect(client.bytes_are_right);
    cr_expect_gt(client.longest_record, 4096);
    /* The record's own tag comes on top of its text. */
    cr_expect_leq(client.longest_record, LIMIT_TLS_RECORD_BYTES + 64);
    cr_expect_eq(sender.binding_length, 48, "the certificate is signed over SHA-384");
}

Test(tls, a_client_that_names_protocols_must_name_postgresql)
{
    static const unsigned char both[] = "\x08http/1.1\x0apostgresql", other[] = "\x08http/1.1";
    struct sender sender = {0};
    struct client client = converse(both, sizeof both - 1, &sender);
    cr_expect(client.connected);
    cr_expect_str_eq(client.selected, "postgresql");
    sender = (struct sender){0};
    client = converse(other, sizeof other - 1, &sender);
    cr_expect(!client.connected);
    cr_expect(!sender.sent);
}

Test(tls, a_wrong_certificate_or_key_is_an_error_that_names_the_file)
{
    struct login_fixture *fixture = login_fixture_new(CONFIG_TLS_ALLOW);
    struct config config = fixture->config;
    char error[512] = "", missing[] = "/nonexistent/file";
    config.tls_certificate = missing;
    cr_expect_null(tls_new(&config, error));
    cr_expect(strstr(error, "cannot use the TLS certificate /nonexistent/file") != NULL, "%s",
              error);
    config = fixture->config;
    config.tls_key = missing;
    cr_expect_null(tls_new(&config, error));
    cr_expect(strstr(error, "/nonexistent/file") != NULL, "%s", error);
    config.tls_key = fixture->config.tls_certificate; /* not a key */
    cr_expect_null(tls_new(&config, error));
    cr_expect(strstr(error, "cannot use the TLS key") != NULL, "%s", error);
    config = fixture->config;
    cr_assert_eq(chmod(config.tls_key, 0644), 0);
    cr_expect_null(tls_new(&config, error));
    cr_expect(strstr(error, "must not be open to others") != NULL, "%s", error);
    config.tls_certificate = NULL;
    cr_expect_null(tls_new(&config, error));
    login_fixture_free(fixture);
}
