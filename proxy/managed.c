#include "proxy/managed.h"

#include <errno.h>
#include <fcntl.h>
#include <libpq-fe.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "proxy/log.h"
#include "proxy/managed_cluster.h"
#include "proxy/managed_process.h"

enum {
    START_MOST_MS = 120000, /* crash recovery included */
    START_POLL_MS = 20,
    STOP_FAST_MS = 20000,
    STOP_IMMEDIATE_MS = 5000,
    RESTART_FIRST_MS = 100,
    RESTART_MOST_MS = 10000,
    STEADY_SECONDS = 60, /* a server that ran so long is restarted without a growing pause */
    CONNECTIONS_RESERVED = 5
};

struct managed {
    struct cluster cluster;
    uint64_t memory_bytes;
    pid_t pid; /* 0: not running */
    time_t started;
    unsigned restart_ms;
    struct event *on_child, *on_restart;
    char *conninfo;
};

static void __attribute__((format(printf, 2, 3)))
set_error(char error[512], const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error, 512, format, arguments);
    va_end(arguments);
}

static const char *kind_name(const struct managed *managed)
{
    return managed_kind_name(managed->cluster.kind);
}

int managed_lock(const char *state_directory, char error[512])
{
    char path[PATH_MAX];
    if (!folder_make(state_directory, error))
        return -1;
    if ((size_t)snprintf(path, sizeof path, "%s/lock", state_directory) >= sizeof path) {
        set_error(error, "state_directory is too long");
        return -1;
    }
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        set_error(error, "cannot open %.200s: %s", path, strerror(errno));
        return -1;
    }
    if (flock(fd, LOCK_EX | LOCK_NB) == 0)
        return fd;
    set_error(error,
              errno == EWOULDBLOCK ? "another pgveil is running on the state directory %.200s"
                                   : "cannot lock the state directory %.200s",
              state_directory);
    close(fd);
    return -1;
}

/* Starting */

static bool spawn(struct managed *managed)
{
    char program[PATH_MAX + 16];
    const char *const arguments[] = {"postgres", "-D", managed->cluster.data, NULL};
    snprintf(program, sizeof program, "%s/postgres", managed->cluster.bin);
    pid_t pid = process_start(program, arguments, managed->cluster.log, managed->memory_bytes);
    managed->pid = pid > 0 ? pid : 0;
    managed->started = time(NULL);
    return pid > 0;
}

/* host='...' with libpq's quoting. */
static char *make_conninfo(const char *folder)
{
    size_t size = 2 * strlen(folder) + 64, n = 0;
    char *text = malloc(size);
    if (text == NULL)
        return NULL;
    n = (size_t)snprintf(text, size, "user=pgveil_admin port=5432 host='");
    for (const char *at = folder; *at != '\0'; at++) {
        if (*at == '\'' || *at == '\\')
            text[n++] = '\\';
        text[n++] = *at;
    }
    text[n++] = '\'';
    text[n] = '\0';
    return text;
}

static PGconn *admin_connect(const struct managed *managed)
{
    static const char *const keywords[] = {"dbname", "dbname", "connect_timeout", NULL};
    const char *const values[] = {managed->conninfo, "postgres", "10", NULL};
    /* The first dbname is expanded as a connection string, the last one names the database. */
    return PQconnectdbParams(keywords, values, 1);
}

static bool wait_until_ready(struct managed *managed, char error[512])
{
    char line[256], last[256] = "";
    for (unsigned waited = 0; waited < START_MOST_MS; waited += START_POLL_MS) {
        PGconn *conn = admin_connect(managed);
        bool ready = PQstatus(conn) == CONNECTION_OK;
        snprintf(last, sizeof last, "%s", PQerrorMessage(conn));
        PQfinish(conn);
        if (ready)
            return true;
        int status = 0;
        if (process_wait(managed->pid, START_POLL_MS, &status)) {
            managed->pid = 0;
            cluster_last_log_line(&managed->cluster, line);
            set_error(error, "the %s server did not start: %s (see %.200s)", kind_name(managed),
                      line, managed->cluster.log);
            return false;
        }
    }
    set_error(error, "the %s server does not answer: %s", kind_name(managed), last);
    return false;
}

static bool has_database(PGconn *conn, const char *name)
{
    const char *values[] = {name};
    PGresult *result = PQexecParams(conn, "SELECT 1 FROM pg_catalog.pg_database WHERE datname = $1",
                                    1, NULL, values, NULL, NULL, 0);
    bool found = PQresultStatus(result) == PGRES_TUPLES_OK && PQntuples(result) == 1;
    PQclear(result);
    return found;
}

static bool create_ledger_database(struct managed *managed, char error[512])
{
    PGconn *conn = admin_connect(managed);
    bool there = has_database(conn, "ledger");
    if (!there) {
        PGresult *result = PQexec(conn, "CREATE DATABASE ledger");
        there = PQresultStatus(result) == PGRES_COMMAND_OK;
        if (!there)
            set_error(error, "cannot create the database ledger: %s", PQerrorMessage(conn));
        PQclear(result);
    }
    PQfinish(conn);
    return there;
}

/* Watching */

static void arm_restart(struct managed *managed)
{
    if (time(NULL) - managed->started >= STEADY_SECONDS)
        managed->restart_ms = 0;
    managed->restart_ms = managed->restart_ms == 0 ? RESTART_FIRST_MS : managed->restart_ms * 2;
    if (managed->restart_ms > RESTART_MOST_MS)
        managed->restart_ms = RESTART_MOST_MS;
    struct timeval delay = {.tv_sec = managed->restart_ms / 1000,
                            .tv_usec = (suseconds_t)(managed->restart_ms % 1000) * 1000};
    event_add(managed->on_restart, &delay);
}

static void handle_child(evutil_socket_t fd, short what, void *context)
{
    (void)fd;
    (void)what;
    struct managed *managed = context;
    int status = 0;
    if (managed->pid == 0 || !process_wait(managed->pid, 0, &status))
        return;
    if (WIFSIGNALED(status))
        log_error("the %s server was ended by signal %d; it is started again", kind_name(managed),
                  WTERMSIG(status));
    else
        log_error("the %s server ended with status %d; it is started again (see %s)",
                  kind_name(managed), WEXITSTATUS(status), managed->cluster.log);
    managed->pid = 0;
    arm_restart(managed);
}

/* Never waits: where processes of the killed postmaster still run, they are told to end and the
 * next try comes later. */
static void handle_restart(evutil_socket_t fd, short what, void *context)
{
    (void)fd;
    (void)what;
    struct managed *managed = context;
    if (managed->pid != 0)
        return;
    if (process_signal_folder(managed->cluster.data, SIGQUIT) > 0) {
        arm_restart(managed);
        return;
    }
    cluster_remove_locks(&managed->cluster);
    if (spawn(managed))
        log_info("the %s server was started again", kind_name(managed));
    else
        arm_restart(managed);
}

/* The interface */

struct managed *managed_start(struct event_base *base, enum managed_kind kind,
                              const char *directory, const char *postgres_bin,
                              uint64_t memory_bytes, uint64_t connections, char error[512])
{
    struct managed *managed = calloc(1, sizeof *managed);
    if (managed == NULL) {
        set_error(error, "out of memory");
        return NULL;
    }
    managed->memory_bytes = memory_bytes;
    if (!cluster_prepare(&managed->cluster, kind, directory, postgres_bin, error))
        goto failed;
    if (!process_clear_folder(managed->cluster.data)) {
        set_error(error, "processes of an earlier %s server do not end; end them and start again",
                  kind_name(managed));
        goto failed;
    }
    if (!cluster_fill(&managed->cluster, error) ||
        !cluster_configure(&managed->cluster, connections + CONNECTIONS_RESERVED, error))
        goto failed;
    managed->conninfo = make_conninfo(managed->cluster.socket);
    managed->on_child = evsignal_new(base, SIGCHLD, handle_child, managed);
    managed->on_restart = evtimer_new(base, handle_restart, managed);
    if (managed->conninfo == NULL || managed->on_child == NULL || managed->on_restart == NULL ||
        !spawn(managed)) {
        set_error(error, "cannot start the %s server: %s", kind_name(managed), strerror(errno));
        goto failed;
    }
    if (!wait_until_ready(managed, error) ||
        (kind == MANAGED_LEDGER && !create_ledger_database(managed, error)))
        goto failed;
    event_add(managed->on_child, NULL);
    event_active(managed->on_child, EV_SIGNAL, 1); /* it may have died before anybody watched */
    log_info("the %s server runs as process %d", kind_name(managed), (int)managed->pid);
    return managed;
failed:
    managed_stop(managed);
    return NULL;
}

const char *managed_socket_directory(const struct managed *managed)
{
    return managed->cluster.socket;
}

const char *managed_socket_path(const struct managed *managed)
{
    return managed->cluster.socket_path;
}

const char *managed_conninfo(const struct managed *managed)
{
    return managed->conninfo;
}

int managed_pid(const struct managed *managed)
{
    return (int)managed->pid;
}

void managed_stop(struct managed *managed)
{
    static const int signals[] = {SIGINT, SIGQUIT, SIGKILL};
    static const unsigned patience_ms[] = {STOP_FAST_MS, STOP_IMMEDIATE_MS, STOP_IMMEDIATE_MS};
    int status = 0;
    if (managed == NULL)
        return;
    if (managed->on_child != NULL)
        event_free(managed->on_child);
    if (managed->on_restart != NULL)
        event_free(managed->on_restart);
    for (size_t i = 0; i < sizeof signals / sizeof *signals && managed->pid > 0; i++) {
        kill(managed->pid, signals[i]);
        if (process_wait(managed->pid, patience_ms[i], &status))
            managed->pid = 0;
    }
    free(managed->conninfo);
    free(managed);
}
