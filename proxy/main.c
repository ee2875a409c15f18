/*
 * pgveil: reads its file, opens the servers, listens, runs the loop until told to stop. One
 * process, one thread for everything that is answered.
 */
#include <event2/event.h>
#include <getopt.h>
#include <inttypes.h>
#include <libpq-fe.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "budget/ledger.h"
#include "config/version.h"
#include "proxy/control.h"
#include "proxy/listener.h"
#include "proxy/log.h"
#include "proxy/login.h"
#include "proxy/server_open.h"
#include "proxy/session.h"
#include "proxy/stream.h"
#include "proxy/twin_login.h"

enum {
    NOISE_BUSY_MS = 1,
    NOISE_IDLE_MS = 100,
    LEDGER_LOGIN_MS = 10000,
    FAREWELL_MS = 500,
    NOTE_SECONDS = 5
};

/* --- logins ------------------------------------------------------------------------------------
 */

static void on_verifier(void *context, const PGresult *result)
{
    struct ledger_login login;
    enum ledger_outcome outcome = result ? ledger_login_result(result, &login) : LEDGER_FAILED;
    bool known = outcome == LEDGER_OK && login.known && login.enabled;
    login_verifier(context, known ? login.verifier : NULL, outcome == LEDGER_FAILED);
    explicit_bzero(&login, sizeof login);
}

static void find_verifier(void *owner, void *login, const char *user)
{
    struct server *server = owner;
    struct ledger_call call;
    ledger_login_call(&call, user);
    pg_client_send(server_ledger(server), call.sql, call.n_params, NULL, call.values,
                   LEDGER_LOGIN_MS, on_verifier, login);
}

static void on_login(void *owner, struct stream *stream, struct startup *startup)
{
    struct server *server = owner;
    session_start(server, server->listener, stream, startup);
}

static void on_login_ended(void *owner)
{
    struct server *server = owner;
    listener_release(server->listener);
}

static void on_cancel(void *owner, uint32_t pid, uint32_t key)
{
    struct server *server = owner;
    listener_release(server->listener);
    session_cancel(server, pid, key);
}

static void on_accepted(void *context, int fd)
{
    struct server *server = context;
    struct login_context login = {.base = server->base,
                                  .config = server->config,
                                  .tls = server->tls,
                                  .find_verifier = find_verifier,
                                  .accepted = on_login,
                                  .cancel = on_cancel,
                                  .ended = on_login_ended,
                                  .owner = server};
    login_start(&login, fd);
}

/* --- the loop -----------------------------------------------------------------------------------
 */

struct program {
    struct server server;
    struct server_managed managed;
    struct control *control;
    struct event *noise_timer, *note_timer, *terminate, *interrupt;
    bool stopping, failed;
};

static void on_noise_timer(evutil_socket_t fd, short what, void *context)
{
    struct program *program = context;
    struct dp_noise *noise = program->server.noise;
    (void)fd, (void)what;
    if (dp_noise_wants_refill(noise) && !dp_noise_refill(noise))
        log_error("no entropy: private statements fail until there is some");
    long wait_ms = dp_noise_wants_refill(noise) ? NOISE_BUSY_MS : NOISE_IDLE_MS;
    struct timeval wait = {0, wait_ms * 1000};
    event_add(program->noise_timer, &wait);
}

static void on_ledger_head(void *context, const PGresult *result)
{
    struct program *program = context;
    struct ledger_head head;
    if (result != NULL && ledger_head_result(result, &head) == LEDGER_OK)
        ledger_note_update(&program->server.note, &head);
}

static void stop(struct program *program)
{
    struct timeval farewell = {0, FAREWELL_MS * 1000L};
    program->stopping = true;
    if (program->server.listener)
        listener_stop(program->server.listener);
    if (program->control)
        control_stop(program->control);
    session_shutdown_all(&program->server);
    event_base_loopexit(program->server.base, &farewell);
}

/* A ledger that was set back while pgveil runs gives budget back. */
static void on_continues(void *context, const PGresult *result)
{
    struct program *program = context;
    bool continues = true;
    if (result == NULL || ledger_continues_result(result, &continues) != LEDGER_OK || continues ||
        program->stopping)
        return;
    log_error("the ledger no longer holds entry %" PRIu64 " of its journal: it was set back while "
              "pgveil runs on it",
              program->server.note.head.seq);
    program->failed = true;
    stop(program);
}

/* Nor may it begin to confirm what it could lose. */
static void on_durability(void *context, const PGresult *result)
{
    struct program *program = context;
    char error[512];
    if (result == NULL || PQresultStatus(result) != PGRES_TUPLES_OK || program->stopping ||
        server_ledger_is_durable(program->server.config, result, error))
        return;
    log_error("%s", error);
    program->failed = true;
    stop(program);
}

static void on_note_timer(evutil_socket_t fd, short what, void *context)
{
    struct program *program = context;
    struct ledger_call call;
    (void)fd, (void)what;
    if (program->server.note.head.seq > 0) {
        ledger_continues_call(&call, &program->server.note.head);
        pg_client_send(server_ledger(&program->server), call.sql, call.n_params, NULL, call.values,
                       LEDGER_LOGIN_MS, on_continues, program);
    }
    ledger_not_durable_call(&call);
    pg_client_send(server_ledger(&program->server), call.sql, call.n_params, NULL, call.values,
                   LEDGER_LOGIN_MS, on_durability, program);
    ledger_head_call(&call);
    pg_client_send(server_ledger(&program->server), call.sql, call.n_params, NULL, call.values,
                   LEDGER_LOGIN_MS, on_ledger_head, program);
}

static void on_signal(evutil_socket_t signal_number, short what, void *context)
{
    struct program *program = context;
    (void)what;
    if (program->stopping) {
        event_base_loopbreak(program->server.base);
        return;
    }
    log_info("stopping on signal %d", (int)signal_number);
    stop(program);
}

static bool start_events(struct program *program)
{
    struct event_base *base = program->server.base;
    struct timeval soon = {0, 0};
    program->noise_timer = evtimer_new(base, on_noise_timer, program);
    program->note_timer = event_new(base, -1, EV_PERSIST, on_note_timer, program);
    program->terminate = evsignal_new(base, SIGTERM, on_signal, program);
    program->interrupt = evsignal_new(base, SIGINT, on_signal, program);
    if (!program->noise_timer || !program->note_timer || !program->terminate || !program->interrupt)
        return false;
    return event_add(program->noise_timer, &soon) == 0 &&
           event_add(program->terminate, NULL) == 0 && event_add(program->interrupt, NULL) == 0;
}

static void free_events(struct program *program)
{
    if (program->noise_timer)
        event_free(program->noise_timer);
    if (program->note_timer)
        event_free(program->note_timer);
    if (program->terminate)
        event_free(program->terminate);
    if (program->interrupt)
        event_free(program->interrupt);
}

static bool serve(struct program *program, char error[512])
{
    struct server *server = &program->server;
    const struct config *config = server->config;
    struct timeval soon = {0, 0}, often = {NOTE_SECONDS, 0};
    if (!server_open(server, &program->managed, error))
        return false;
    server->listener = listener_new(server->base, config->listen_address, config->listen_port,
                                    config->connections_max, on_accepted, server, error);
    if (server->listener == NULL)
        return false;
    program->control = control_new(server, error);
    if (program->control == NULL)
        return false;
    event_add(program->noise_timer, &soon);
    event_add(program->note_timer, &often);
    log_info("listening on %s:%u", config->listen_address,
             (unsigned)listener_port(server->listener));
    return true;
}

/* For the DBA: nobody is served. */
static bool run_ledger(struct program *program, char error[512])
{
    if (!server_open_ledger(&program->server, &program->managed, error))
        return false;
    log_info("the ledger runs for pgveilctl; no analyst is served");
    return true;
}

static int run(struct config *config, bool ledger_only)
{
    char error[512] = "";
    struct program program = {.managed.lock = -1};
    struct server *server = &program.server;
    bool opened = false;
    int status = EXIT_FAILURE;
    server->config = config;
    server->started_at = time(NULL);
    server->base = event_base_new();
    listener_raise_descriptors(2 * config->connections_max + 256);
    if (server->base == NULL || !start_events(&program)) {
        snprintf(error, sizeof error, "the event loop cannot be set up");
        goto cleanup;
    }
    event_del(program.noise_timer); /* there is no noise yet */
    opened = ledger_only ? run_ledger(&program, error) : serve(&program, error);
    if (!opened)
        goto cleanup;
    event_base_dispatch(server->base);
    status = program.failed ? EXIT_FAILURE : EXIT_SUCCESS;
cleanup:
    if (!opened)
        log_error("%s", error);
    free_events(&program);
    twin_cancel_drop_all();
    stream_drop_flushed();
    server_close(server, &program.managed);
    control_free(program.control);
    listener_free(server->listener);
    if (server->base)
        event_base_free(server->base);
    if (program.managed.lock >= 0)
        close(program.managed.lock);
    return status;
}

/* --- arguments -----------------------------------------------------------------------------------
 */

static const char usage[] =
    "Usage: pgveil [-c FILE] [--check | --ledger]\n"
    "Opens a PostgreSQL database to analysts under differential privacy.\n\n"
    "  -c, --config FILE  configuration (default /etc/pgveil/pgveil.json)\n"
    "      --check        read the configuration and say what is wrong with it\n"
    "      --ledger       run the managed ledger alone, for pgveilctl; no analyst is served\n"
    "      --version      print the version\n"
    "      --help         this text\n";

/* libpq's own words would repeat a part of the text, which may be a password. */
static bool is_conninfo(const char *file, const char *dataset, const char *key, const char *text)
{
    PQconninfoOption *options = text != NULL ? PQconninfoParse(text, NULL) : NULL;
    if (text != NULL && options == NULL)
        fprintf(stderr,
                "pgveil: %s: %s%s%s%s: is no connection string; accepted: libpq's, with values "
                "that hold spaces in single quotes\n",
                file, dataset != NULL ? "datasets." : "", dataset != NULL ? dataset : "",
                dataset != NULL ? "." : "", key);
    PQconninfoFree(options);
    return text == NULL || options != NULL;
}

static bool are_conninfos(const struct config *config)
{
    bool good = is_conninfo(config->file, NULL, "ledger_server", config->ledger_server) &&
                is_conninfo(config->file, NULL, "twin_server", config->twin_server);
    for (size_t i = 0; good && i < config->n_datasets; i++)
        good = is_conninfo(config->file, config->datasets[i].name, "server",
                           config->datasets[i].server);
    return good;
}

int main(int argc, char **argv)
{
    enum { OPTION_CHECK = 256, OPTION_LEDGER, OPTION_VERSION, OPTION_HELP };
    static const struct option options[] = {{"config", required_argument, NULL, 'c'},
                                            {"check", no_argument, NULL, OPTION_CHECK},
                                            {"ledger", no_argument, NULL, OPTION_LEDGER},
                                            {"version", no_argument, NULL, OPTION_VERSION},
                                            {"help", no_argument, NULL, OPTION_HELP},
                                            {NULL, 0, NULL, 0}};
    const char *file = "/etc/pgveil/pgveil.json";
    bool check = false, ledger_only = false;
    for (int option; (option = getopt_long(argc, argv, "c:", options, NULL)) != -1;) {
        switch (option) {
        case 'c':
            file = optarg;
            break;
        case OPTION_CHECK:
            check = true;
            break;
        case OPTION_LEDGER:
            ledger_only = true;
            break;
        case OPTION_VERSION:
            puts("pgveil " PGVEIL_VERSION);
            return EXIT_SUCCESS;
        case OPTION_HELP:
            fputs(usage, stdout);
            return EXIT_SUCCESS;
        default:
            fputs(usage, stderr);
            return 2;
        }
    }
    if (optind < argc) {
        fputs(usage, stderr);
        return 2;
    }
    struct config_error error;
    struct config *config = config_read(file, &error);
    if (config == NULL) {
        fprintf(stderr, "pgveil: %s: %s%s%s\n", error.file, error.key, error.key[0] ? ": " : "",
                error.text);
        return EXIT_FAILURE;
    }
    if (!are_conninfos(config)) {
        config_free(config);
        return EXIT_FAILURE;
    }
    signal(SIGPIPE, SIG_IGN);
    if (!log_set_level(config->log_level)) {
        fprintf(stderr, "pgveil: %s: log_level: no such level\n", file);
        config_free(config);
        return EXIT_FAILURE;
    }
    int status = check ? EXIT_SUCCESS : run(config, ledger_only);
    config_free(config);
    return status;
}
