/* The same first bytes to a PostgreSQL server and to the login: both say the same, or nothing. */
#include <criterion/criterion.h>
#include <errno.h>
#include <event2/buffer.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "proxy/wire.h"
#include "tests/support/login_fixture.h"
#include "tests/support/pg_server.h"

/* Severity, SQLSTATE and message of the first ErrorResponse; "" where the server just closed. What
 * comes before it (authentication, parameters, a negotiation) is skipped. */
static void first_error(const unsigned char *reply, size_t length, char out[400])
{
    struct evbuffer *buffer = evbuffer_new();
    struct wire_message message;
    evbuffer_add(buffer, reply, length);
    out[0] = '\0';
    while (wire_peek(buffer, false, 0, &message) == WIRE_READY) {
        if (message.type == 'E') {
            snprintf(out, 400, "%s %s %s", wire_report_field(&message, 'S'),
                     wire_report_field(&message, 'C'), wire_report_field(&message, 'M'));
            break;
        }
        wire_consume(buffer, &message);
    }
    evbuffer_free(buffer);
}

static void ask_postgres(const struct pg_server *server, const void *bytes, size_t length,
                         char out[400])
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct timeval patience = {.tv_sec = 5};
    unsigned char reply[4096];
    size_t got = 0;
    ssize_t here;
    snprintf(address.sun_path, sizeof address.sun_path, "%s/.s.PGSQL.5432", server->directory);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    cr_assert_eq(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    cr_assert_eq(send(fd, bytes, length, MSG_NOSIGNAL), (ssize_t)length);
    while (got < sizeof reply && (here = recv(fd, reply + got, sizeof reply - got, 0)) > 0)
        got += (size_t)here;
    close(fd);
    first_error(reply, got, out);
}

static void ask_login(struct login_fixture *fixture, const void *bytes, size_t length,
                      char out[400])
{
    unsigned char reply[4096];
    bool ended;
    int fd = login_fixture_dial(fixture);
    size_t got =
        login_fixture_talk(fixture, fd, bytes, length, reply, sizeof reply, sizeof reply, &ended);
    cr_expect(ended);
    close(fd);
    first_error(reply, got, out);
}

struct packet {
    const char *bytes;
    size_t length;
};
/* The payload of a packet: the length before it is computed, the literal's own NUL counts. */
#define PACKET(text)                                                                               \
    {                                                                                              \
        text, sizeof(text)                                                                         \
    }
#define BARE(text)                                                                                 \
    {                                                                                              \
        text, sizeof(text) - 1                                                                     \
    }

static const struct packet packets[] = {
    BARE("\0\4\0\0"),
    BARE("\0\2\0\0"),
    BARE("\x04\xd2\x16\x2e\0\0\0\1\0\0\0\2"),
    BARE("\x04\xd2\x16\x2e\0\0\0\1"),
    PACKET("\0\3\0\0database\0postgres\0"),
    PACKET("\0\3\0\0user\0\0"),
    BARE("\0\3\0\0user\0postgres\0"),
    BARE("\0\3\0\0user\0postgres\0\0x"),
    BARE("\0\3\0\0"),
    PACKET("\0\3\0\0user\0postgres\0foo\0001\0"),
    PACKET("\0\3\0\2user\0postgres\0foo\0001\0"),
    PACKET("\0\3\0\0user\0postgres\0options\0-c foo=1\0"),
    PACKET("\0\3\0\0user\0postgres\0options\0-c foo\\ bar=1\0"),
    PACKET("\0\3\0\0user\0postgres\0options\0--foo-bar=1\0"),
    PACKET("\0\3\0\0user\0postgres\0options\0-c geqo\0"),
    PACKET("\0\3\0\0user\0postgres\0options\0--geqo\0"),
    PACKET("\0\3\0\0user\0postgres\0options\0-cgeqo\0"),
    PACKET("\0\3\0\0user\0postgres\0options\0-c =1\0"),
    PACKET("\0\3\0\0user\0postgres\0options\0stray\0"),
};

Test(login_golden, first_words_are_answered_as_postgresql_answers_them)
{
    struct pg_server server;
    pg_server_start(&server, NULL);
    struct login_fixture *fixture = login_fixture_new(CONFIG_TLS_DISABLE);
    unsigned n_errors = 0;
    for (size_t i = 0; i < sizeof packets / sizeof *packets; i++) {
        unsigned char bytes[256] = {0};
        char theirs[400], ours[400];
        size_t length = packets[i].length + 4;
        bytes[3] = (unsigned char)length;
        memcpy(bytes + 4, packets[i].bytes, packets[i].length);
        ask_postgres(&server, bytes, length, theirs);
        ask_login(fixture, bytes, length, ours);
        cr_expect_str_eq(ours, theirs, "packet %zu: \"%s\", PostgreSQL \"%s\"", i, ours, theirs);
        n_errors += theirs[0] != '\0';
    }
    cr_expect_geq(n_errors, 10, "PostgreSQL did answer");
    login_fixture_free(fixture);
    pg_server_stop(&server);
}
