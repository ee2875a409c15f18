#include <criterion/criterion.h>
#include <event2/buffer.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "proxy/twin_login.h"
#include "proxy/wire.h"
#include "tests/support/pg_server.h"

/* How one login ended. */
struct outcome {
    unsigned n_done;
    struct stream *stream;
    struct evbuffer *greeting;
    uint32_t pid, key;
};

static void on_done(void *context, struct stream *stream, struct evbuffer *greeting, uint32_t pid,
                    uint32_t key)
{
    struct outcome *outcome = context;
    *outcome = (struct outcome){outcome->n_done + 1, stream, greeting, pid, key};
}

static void run_until(struct event_base *base, const unsigned *counter, unsigned timeout_ms)
{
    for (unsigned i = 0; i < timeout_ms && *counter == 0; i++) {
        event_base_loop(base, EVLOOP_NONBLOCK);
        usleep(1000);
    }
}

static void clear(struct event_base *base, struct outcome *outcome)
{
    stream_free(outcome->stream);
    if (outcome->greeting != NULL)
        evbuffer_free(outcome->greeting);
    for (int i = 0; i < 5; i++)
        event_base_loop(base, EVLOOP_NONBLOCK);
}

/* A server with one way of logging in for each user. */
static struct pg_server server;
static char hba_path[64], socket_path[128];

static void start_server(void)
{
    static const char hba[] = "local all postgres trust\n"
                              "local all trusted trust\n"
                              "local all scram scram-sha-256\n"
                              "local all clear password\n";
    char setting[128];
    snprintf(hba_path, sizeof hba_path, "/tmp/test-twin-login-XXXXXX");
    int fd = mkstemp(hba_path);
    if (fd < 0 || write(fd, hba, sizeof hba - 1) != sizeof hba - 1 || fchmod(fd, 0644) != 0)
        abort();
    close(fd);
    snprintf(setting, sizeof setting, "hba_file = '%s'", hba_path);
    const char *const settings[] = {setting, NULL};
    pg_server_start(&server, settings);
    snprintf(socket_path, sizeof socket_path, "%s/.s.PGSQL.5432", server.directory);
    pg_server_run(&server, "postgres",
                  "CREATE ROLE trusted LOGIN; CREATE ROLE scram LOGIN PASSWORD 'right';"
                  "CREATE ROLE clear LOGIN PASSWORD 'right'");
}

static void stop_server(void)
{
    pg_server_stop(&server);
    unlink(hba_path);
}

static struct twin_login *start_login(struct event_base *base, const char *path,
                                      const struct startup *startup, const char *password,
                                      unsigned timeout_ms, struct outcome *outcome)
{
    struct twin_target target;
    cr_assert(twin_target_unix(&target, path));
    return twin_login_start(base, &target, startup, startup->database, password, timeout_ms,
                            on_done, outcome);
}

static void cancel(struct event_base *base, const char *path, uint32_t pid, uint32_t key)
{
    struct twin_target target;
    cr_assert(twin_target_unix(&target, path));
    twin_cancel(base, &target, pid, key);
}

static struct outcome log_in(struct event_base *base, char *user, char *database,
                             const char *password, struct startup_parameter *parameters, size_t n)
{
    struct outcome outcome = {0};
    const struct startup startup = {user, database, n, parameters};
    struct twin_login *login = start_login(base, socket_path, &startup, password, 5000, &outcome);
    cr_assert_not_null(login);
    cr_expect_eq(outcome.n_done, 0);
    run_until(base, &outcome.n_done, 6000);
    cr_assert_eq(outcome.n_done, 1);
    return outcome;
}

/* The value of a ParameterStatus in the greeting; "" where it is not there. */
static const char *status_of(struct outcome *outcome, const char *name)
{
    static char value[64];
    struct wire_message message;
    struct evbuffer *copy = evbuffer_new();
    evbuffer_add_buffer_reference(copy, outcome->greeting);
    value[0] = '\0';
    while (wire_peek(copy, false, 0, &message) == WIRE_READY) {
        struct wire_reader reader = wire_read(&message);
        if (message.type == 'S' && strcmp(wire_read_string(&reader), name) == 0)
            snprintf(value, sizeof value, "%s", wire_read_string(&reader));
        wire_consume(copy, &message);
    }
    evbuffer_free(copy);
    return value;
}

static void expect_error(struct outcome *outcome, const char *sqlstate)
{
    struct wire_message message;
    cr_expect_null(outcome->stream);
    cr_assert_eq(wire_peek(outcome->greeting, false, 0, &message), WIRE_READY);
    cr_expect_eq(message.type, 'E');
    cr_expect_str_eq(wire_report_field(&message, 'C'), sqlstate);
    wire_consume(outcome->greeting, &message);
    cr_expect_eq(evbuffer_get_length(outcome->greeting), 0);
}

static void expect_nothing(struct outcome *outcome)
{
    cr_expect_null(outcome->stream);
    cr_expect_eq(evbuffer_get_length(outcome->greeting), 0);
}

static void count_event(void *context, struct stream *stream, enum stream_event event)
{
    unsigned *n_data = context;
    (void)stream;
    if (event == STREAM_DATA)
        ++*n_data;
}

/* The types of all messages up to ReadyForQuery, and the last SQLSTATE. */
static void read_replies(struct event_base *base, struct stream *stream, char types[32],
                         char sqlstate[6])
{
    unsigned n_data = 0;
    size_t n = 0;
    stream_set_callback(stream, count_event, &n_data);
    for (int turn = 0; turn < 100 && (n == 0 || types[n - 1] != 'Z'); turn++) {
        struct wire_message message;
        n_data = 0;
        run_until(base, &n_data, 100);
        while (n < 31 && wire_peek(stream_input(stream), false, 0, &message) == WIRE_READY) {
            types[n++] = message.type;
            if (message.type == 'E')
                snprintf(sqlstate, 6, "%s", wire_report_field(&message, 'C'));
            wire_consume(stream_input(stream), &message);
        }
    }
    types[n] = '\0';
}

Test(twin_login, a_trusted_role_gets_a_session_with_its_settings, .init = start_server,
     .fini = stop_server)
{
    struct event_base *base = event_base_new();
    char names[2][20] = {"application_name", "TimeZone"}, values[2][20] = {"report", "Asia/Tokyo"};
    struct startup_parameter parameters[] = {{names[0], values[0]}, {names[1], values[1]}};
    char user[] = "trusted", database[] = "postgres", types[32], sqlstate[6] = "";
    struct outcome outcome = log_in(base, user, database, NULL, parameters, 2);
    cr_assert_not_null(outcome.stream);
    cr_expect_str_eq(status_of(&outcome, "application_name"), "report");
    cr_expect_str_eq(status_of(&outcome, "TimeZone"), "Asia/Tokyo");
    cr_expect_str_eq(status_of(&outcome, "session_authorization"), "trusted");
    cr_expect_neq(outcome.pid, 0);
    wire_query(stream_output(outcome.stream), "SELECT 1");
    read_replies(base, outcome.stream, types, sqlstate);
    cr_expect_str_eq(types, "TDCZ");

    /* A cancel request stops what runs. */
    wire_query(stream_output(outcome.stream), "SELECT pg_sleep(30)");
    for (int i = 0; i < 100; i++) {
        event_base_loop(base, EVLOOP_NONBLOCK);
        usleep(1000);
    }
    cancel(base, socket_path, outcome.pid, outcome.key);
    read_replies(base, outcome.stream, types, sqlstate);
    cr_expect_str_eq(types, "TEZ");
    cr_expect_str_eq(sqlstate, "57014");
    const unsigned never = 0;
    run_until(base, &never, 200); /* the server closes the cancel request's connection */
    clear(base, &outcome);
    event_base_free(base);
}

Test(twin_login, a_refusal_is_handed_on_in_the_servers_words, .init = start_server,
     .fini = stop_server)
{
    struct event_base *base = event_base_new();
    char name[] = "statement_timeout", value[] = "soon", user[] = "trusted";
    char database[] = "postgres", none[] = "none";
    struct startup_parameter parameter = {name, value};
    struct outcome outcome = log_in(base, user, database, NULL, &parameter, 1);
    expect_error(&outcome, "22023");
    clear(base, &outcome);
    outcome = log_in(base, user, none, NULL, NULL, 0);
    expect_error(&outcome, "3D000");
    clear(base, &outcome);
    outcome = log_in(base, none, database, NULL, NULL, 0);
    expect_error(&outcome, "28000");
    clear(base, &outcome);
    event_base_free(base);
}

Test(twin_login, scram_needs_the_right_password_and_no_other_way_is_taken, .init = start_server,
     .fini = stop_server)
{
    struct event_base *base = event_base_new();
    char user[] = "scram", other[] = "clear", database[] = "postgres";
    struct outcome outcome = log_in(base, user, database, "right", NULL, 0);
    cr_expect_not_null(outcome.stream);
    cr_expect_str_eq(status_of(&outcome, "session_authorization"), "scram");
    clear(base, &outcome);
    outcome = log_in(base, user, database, "wrong", NULL, 0);
    expect_error(&outcome, "28P01");
    clear(base, &outcome);
    outcome = log_in(base, user, database, NULL, NULL, 0);
    expect_nothing(&outcome);
    clear(base, &outcome);
    outcome = log_in(base, other, database, "right", NULL, 0);
    expect_nothing(&outcome);
    clear(base, &outcome);
    event_base_free(base);
}

/* A server of the test's own that gives prepared answers, one for each message it receives. */
struct impostor {
    int listener, fd;
    char path[64];
};

static struct impostor make_impostor(void)
{
    struct impostor impostor = {.fd = -1};
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(impostor.path, sizeof impostor.path, "/tmp/test-impostor-%d", (int)getpid());
    strcpy(address.sun_path, impostor.path);
    unlink(impostor.path);
    impostor.listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    cr_assert_eq(bind(impostor.listener, (struct sockaddr *)&address, sizeof address), 0);
    cr_assert_eq(listen(impostor.listener, 4), 0);
    return impostor;
}

struct answer {
    const char *bytes;
    size_t length;
};

/* The login must fail without a word for the client. */
static void expect_found_out(const struct answer *answers, size_t n, unsigned timeout_ms)
{
    struct event_base *base = event_base_new();
    struct impostor impostor = make_impostor();
    struct outcome outcome = {0};
    char user[] = "alice", got[512];
    const struct startup startup = {user, user, 0, NULL};
    struct twin_login *login =
        start_login(base, impostor.path, &startup, "secret", timeout_ms, &outcome);
    cr_assert_not_null(login);
    size_t given = 0;
    for (unsigned i = 0; i < 3000 && outcome.n_done == 0; i++) {
        event_base_loop(base, EVLOOP_NONBLOCK);
        if (impostor.fd < 0)
            impostor.fd = accept(impostor.listener, NULL, NULL);
        else if (given < n && recv(impostor.fd, got, sizeof got, MSG_DONTWAIT) > 0) {
            cr_assert_gt(send(impostor.fd, answers[given].bytes, answers[given].length, 0), 0);
            given++;
        }
        usleep(1000);
    }
    cr_assert_eq(outcome.n_done, 1);
    expect_nothing(&outcome);
    clear(base, &outcome);
    close(impostor.fd);
    close(impostor.listener);
    unlink(impostor.path);
    event_base_free(base);
}

#define ANSWER(text)                                                                               \
    {                                                                                              \
        text, sizeof(text) - 1                                                                     \
    }

static const char sasl_offer[] = "R\0\0\0\x17\0\0\0\x0aSCRAM-SHA-256\0";

Test(twin_login, a_server_that_skips_its_proof_is_found_out)
{
    const struct answer answers[] = {{sasl_offer, sizeof sasl_offer},
                                     ANSWER("R\0\0\0\x08\0\0\0\0Z\0\0\0\5I")};
    expect_found_out(answers, 2, 2000);
}

Test(twin_login, messages_out_of_place_are_found_out)
{
    static const struct answer answers[] = {
        ANSWER("Z\0\0\0\5I"), /* ready before the authentication */
        ANSWER("S\0\0\0\x08"
               "a\0b\0"),
        ANSWER("K\0\0\0\x0c\0\0\0\1\0\0\0\1"),
        ANSWER("R\0\0\0\x08\0\0\0\3"),     /* a clear-text password */
        ANSWER("R\0\0\0\x0c\0\0\0\5salt"), /* MD5 */
        ANSWER("R\0\0\0\6\0\0"),
        ANSWER("R\0\0\0\x08\0\0\0\x0b"), /* a challenge nobody asked for */
        ANSWER("R\0\0\0\x0b\0\0\0\x0a"
               "XY\0"), /* a list without its end */
        ANSWER("T\0\0\0\6\0\0"),
        ANSWER("R\0\0\0\3"),
        ANSWER("R\x7f\xff\xff\xff"),
        ANSWER("R\0\0\0\x08\0\0\0\0K\0\0\0\x08\0\0\0\1"), /* half a key */
        ANSWER("R\0\0\0\x08\0\0\0\0R\0\0\0\x08\0\0\0\0"), /* twice authenticated */
    };
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++)
        expect_found_out(&answers[i], 1, 2000);
}

Test(twin_login, a_server_that_says_nothing_is_given_up_in_time)
{
    expect_found_out(NULL, 0, 100);
}

Test(twin_login, a_server_that_is_not_there_is_reported_later)
{
    struct event_base *base = event_base_new();
    snprintf(socket_path, sizeof socket_path, "/nonexistent/socket");
    char user[] = "alice";
    struct outcome outcome = log_in(base, user, user, NULL, NULL, 0);
    expect_nothing(&outcome);
    clear(base, &outcome);
    cancel(base, "/nonexistent/socket", 1, 2);
    clear(base, &(struct outcome){0});
    event_base_free(base);
}

Test(twin_login, an_abandoned_login_does_not_call_back)
{
    struct event_base *base = event_base_new();
    struct outcome outcome = {0};
    char user[] = "alice";
    const struct startup startup = {user, user, 0, NULL};
    struct twin_login *login =
        start_login(base, "/nonexistent/socket", &startup, NULL, 1000, &outcome);
    twin_login_abandon(login);
    run_until(base, &outcome.n_done, 50);
    cr_expect_eq(outcome.n_done, 0);
    event_base_free(base);
}
