/*
 * pgveilctl and the running pgveil: the control socket below its state directory, and the commands
 * that are one line of its console.
 */
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "budget/ctl.h"
#include "config/config.h"

/* Agreed with proxy/control.h and proxy/console.h. */
static const char control_below_state[] = "/control";
static const char console_database[] = "pgveil";

enum { CONNECT_SECONDS = 30 };

/* NULL with the reason printed. */
static char *control_folder(const struct ctl *ctl)
{
    struct config *config = ctl_read_config(ctl);
    char *folder = NULL;
    if (!config) {
        return NULL;
    }
    size_t size = strlen(config->state_directory) + sizeof(control_below_state);
    folder = malloc(size);
    if (folder) {
        snprintf(folder, size, "%s%s", config->state_directory, control_below_state);
    } else {
        ctl_error("out of memory");
    }
    config_free(config);
    return folder;
}

/* What pgveil says while it works, as a progress bar: "copying public rows 3/7". */
static void show_progress(void *unused, const PGresult *notice)
{
    const char *text = PQresultErrorField(notice, PG_DIAG_MESSAGE_PRIMARY);
    const char *space = text ? strrchr(text, ' ') : NULL;
    unsigned long long done;
    unsigned long long total;
    char what[64];
    (void)unused;
    if (space && sscanf(space, " %llu/%llu", &done, &total) == 2 && total > 0 && done <= total) {
        snprintf(what, sizeof(what), "%.*s", (int)(space - text), text);
        ctl_progress(what, done, total);
    }
}

/* Like PQconnectdbParams, with SQLSTATEs in what it says: libpq has no other way to tell why a
 * connection was refused. Not connected in time: as it is then. */
static PGconn *connect_verbosely(const char *const keys[], const char *const values[])
{
    PGconn *connection = PQconnectStartParams(keys, values, 0);
    PostgresPollingStatusType state = PGRES_POLLING_WRITING;
    time_t end = time(NULL) + CONNECT_SECONDS;
    PQsetErrorVerbosity(connection, PQERRORS_VERBOSE);
    while (connection && PQstatus(connection) != CONNECTION_BAD && state != PGRES_POLLING_OK &&
           state != PGRES_POLLING_FAILED && time(NULL) < end) {
        struct pollfd socket = {.fd = PQsocket(connection),
                                .events = state == PGRES_POLLING_READING ? POLLIN : POLLOUT};
        if (poll(&socket, 1, 1000) > 0) {
            state = PQconnectPoll(connection);
        }
    }
    PQsetErrorVerbosity(connection, PQERRORS_DEFAULT);
    return connection;
}

/* Class 53: no connection to spare; 57P03: cannot connect now. */
static bool may_be_tried_again(const char *sqlstate)
{
    return strncmp(sqlstate, "53", 2) == 0 || strncmp(sqlstate, "57P03", 5) == 0;
}

/* A refusal of pgveil's own, or nobody there to refuse. */
static enum ctl_exit tell_failure(const PGconn *connection, const char *folder)
{
    static const char sign[] = "FATAL:  ", state[] = "XXXXX: ";
    const char *said = PQerrorMessage(connection);
    const char *fatal = strstr(said, sign);
    if (fatal && strlen(fatal) > sizeof(sign) + sizeof(state)) {
        fatal += strlen(sign);
        bool again = may_be_tried_again(fatal);
        fatal += strlen(state);
        ctl_error("%.*s%s", (int)strcspn(fatal, "\n"), fatal, again ? "; try again later" : "");
        return again ? CTL_UNREACHABLE : CTL_REFUSED;
    }
    if (strstr(said, "Permission denied")) {
        ctl_error(
            "%s is open to root and to the user that runs pgveil: run pgveilctl as one of them",
            folder);
    } else {
        ctl_error("pgveil does not run: nobody answers in %s; start it, or name its configuration "
                  "file with --config",
                  folder);
    }
    return CTL_UNREACHABLE;
}

enum ctl_exit ctl_control(struct ctl *ctl, const char *analyst, const char *dataset)
{
    char *folder = control_folder(ctl);
    enum ctl_exit exit_code = CTL_OK;
    if (!folder) {
        return CTL_REFUSED;
    }
    const char *keys[] = {"host", "port", "user", "dbname", "client_encoding", "application_name",
                          NULL};
    const char *values[] = {folder,
                            "5432",
                            analyst ? analyst : "admin",
                            analyst ? dataset : console_database,
                            "UTF8",
                            "pgveilctl",
                            NULL};
    ctl->control = connect_verbosely(keys, values);
    if (PQstatus(ctl->control) == CONNECTION_OK) {
        PQsetNoticeReceiver(ctl->control, show_progress, NULL);
    } else {
        exit_code = tell_failure(ctl->control, folder);
        PQfinish(ctl->control);
        ctl->control = NULL;
    }
    free(folder);
    return exit_code;
}

static void tell_error(const struct ctl *ctl, const PGresult *result)
{
    const char *message = result ? PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY) : NULL;
    const char *detail = message ? PQresultErrorField(result, PG_DIAG_MESSAGE_DETAIL) : NULL;
    const char *hint = message ? PQresultErrorField(result, PG_DIAG_MESSAGE_HINT) : NULL;
    const char *position = message ? PQresultErrorField(result, PG_DIAG_STATEMENT_POSITION) : NULL;
    if (!message) {
        ctl_error("%s", PQerrorMessage(ctl->control));
        return;
    }
    int at = position ? atoi(position) - ctl->n_before : 0;
    if (at > 0) {
        ctl_error("%s, at character %d", message, at);
    } else {
        ctl_error("%s", message);
    }
    if (detail) {
        fprintf(stderr, "Detail: %s\n", detail);
    }
    if (hint) {
        fprintf(stderr, "Hint: %s\n", hint);
    }
}

PGresult *ctl_control_run(struct ctl *ctl, const char *statement)
{
    /* The console takes simple queries only; a dataset's session is sent one statement and no
     * more. */
    bool is_console = strcmp(PQdb(ctl->control), console_database) == 0;
    int sent = is_console
                   ? PQsendQuery(ctl->control, statement)
                   : PQsendQueryParams(ctl->control, statement, 0, NULL, NULL, NULL, NULL, 0);
    PGresult *result = sent ? ctl_await(ctl->control, ctl->command->name) : NULL;
    ExecStatusType status = PQresultStatus(result);
    ctl_progress(NULL, 0, 0);
    if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK || status == PGRES_EMPTY_QUERY) {
        return result;
    }
    tell_error(ctl, result);
    PQclear(result);
    return NULL;
}

/* 'name' with quotes doubled. NULL without memory. */
static char *with_name(const char *command, const char *name)
{
    char *text = malloc(strlen(command) + 2 * strlen(name) + 4);
    char *at = text;
    if (!text) {
        return NULL;
    }
    at += sprintf(at, "%s '", command);
    for (; *name; name++) {
        if (*name == '\'') {
            *at++ = '\'';
        }
        *at++ = *name;
    }
    strcpy(at, "'");
    return text;
}

PGresult *ctl_console_run(struct ctl *ctl, const char *command, const char *name,
                          enum ctl_exit *exit_code)
{
    char *text = name ? with_name(command, name) : strdup(command);
    PGresult *result = NULL;
    *exit_code = ctl_control(ctl, NULL, NULL);
    if (*exit_code == CTL_OK) {
        result = text ? ctl_control_run(ctl, text) : NULL;
        *exit_code = result ? CTL_OK : CTL_REFUSED;
    }
    free(text);
    return result;
}

/* --- commands of one line -------------------------------------------------------------------- */

static enum ctl_exit show(struct ctl *ctl, const char *command)
{
    enum ctl_exit exit_code;
    PGresult *result = ctl_console_run(ctl, command, NULL, &exit_code);
    if (result && !ctl_print_result(ctl, result, false)) {
        exit_code = CTL_REFUSED;
    }
    PQclear(result);
    return exit_code;
}

/* A command that answers with its tag alone. */
static enum ctl_exit act(struct ctl *ctl, const char *command, const char *what, const char *done)
{
    enum ctl_exit exit_code;
    PGresult *result = ctl_console_run(ctl, command, ctl->arguments[0], &exit_code);
    if (result) {
        fprintf(stderr, "%s %s: %s\n", what, ctl->arguments[0], done);
    }
    PQclear(result);
    return exit_code;
}

enum ctl_exit ctl_dataset_sync(struct ctl *ctl)
{
    return act(ctl, "SYNC", "dataset", "new sessions have the new twin");
}

enum ctl_exit ctl_dataset_pause(struct ctl *ctl)
{
    return act(ctl, "PAUSE", "dataset", "paused, until `dataset resume` or a restart of pgveil");
}

enum ctl_exit ctl_dataset_resume(struct ctl *ctl)
{
    return act(ctl, "RESUME", "dataset", "resumed");
}

enum ctl_exit ctl_session_kill(struct ctl *ctl)
{
    return act(ctl, "KILL", "session", "ended");
}

enum ctl_exit ctl_session_list(struct ctl *ctl)
{
    return show(ctl, "SHOW SESSIONS");
}

enum ctl_exit ctl_reload(struct ctl *ctl)
{
    return show(ctl, "RELOAD");
}

enum ctl_exit ctl_dataset_test(struct ctl *ctl)
{
    enum { RESULT = 1 };
    enum ctl_exit exit_code;
    PGresult *result = ctl_console_run(ctl, "TEST", ctl->arguments[0], &exit_code);
    if (result && !ctl_print_result(ctl, result, false)) {
        exit_code = CTL_REFUSED;
    }
    for (int row = 0; result && row < PQntuples(result); row++) {
        if (strcmp(PQgetvalue(result, row, RESULT), "failed") == 0) {
            exit_code = CTL_REFUSED;
        }
    }
    PQclear(result);
    return exit_code;
}
