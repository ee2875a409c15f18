#include "proxy/ledger_head.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proxy/log.h"

static bool parse_note(const char *line, struct ledger_head *head)
{
    char *colon = NULL;
    errno = 0;
    head->seq = strtoull(line, &colon, 10);
    if (errno != 0 || colon == line || *colon != ':')
        return false;
    size_t digits = strspn(colon + 1, "0123456789abcdef");
    if (digits != sizeof head->hash - 1 || (colon[1 + digits] != '\n' && colon[1 + digits] != '\0'))
        return false;
    memcpy(head->hash, colon + 1, digits);
    head->hash[digits] = '\0';
    return true;
}

/* False where there is a file that is no note. *found: there is one. */
static bool read_note(const char *path, struct ledger_head *head, bool *found, char error[512])
{
    char line[128] = "";
    FILE *file = fopen(path, "re");
    *found = file != NULL;
    if (file == NULL && errno == ENOENT)
        return true;
    bool ok = file != NULL && fgets(line, sizeof line, file) != NULL && parse_note(line, head);
    if (file != NULL)
        fclose(file);
    if (!ok)
        snprintf(error, 512, "%.300s cannot be read: it should hold SEQ:HASH of the journal", path);
    return ok;
}

/* Written beside and renamed: a killed write leaves the old note. */
static bool write_note(const char *path, const struct ledger_head *head)
{
    char *fresh = NULL;
    if (asprintf(&fresh, "%s.new", path) < 0)
        return false;
    bool ok = false;
    int fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd >= 0) {
        ok = dprintf(fd, "%" PRIu64 ":%s\n", head->seq, head->hash) > 0 && fsync(fd) == 0;
        ok = close(fd) == 0 && ok && rename(fresh, path) == 0;
    }
    free(fresh);
    return ok;
}

void ledger_note_update(struct ledger_note *note, const struct ledger_head *head)
{
    if (head->seq <= note->head.seq)
        return;
    if (write_note(note->path, head))
        note->head = *head;
    else
        log_warning("cannot write %s: %s", note->path, strerror(errno));
}

static PGresult *ask(PGconn *connection, const struct ledger_call *call)
{
    return PQexecParams(connection, call->sql, call->n_params, NULL, call->values, NULL, NULL, 0);
}

static bool check_note(const struct ledger_note *note, const struct ledger_head *noted,
                       PGconn *connection, char error[512])
{
    struct ledger_call call;
    bool continues = false;
    ledger_continues_call(&call, noted);
    PGresult *result = ask(connection, &call);
    bool answered = ledger_continues_result(result, &continues) == LEDGER_OK;
    PQclear(result);
    if (!answered)
        snprintf(error, 512, "the ledger does not say whether it holds entry %" PRIu64, noted->seq);
    else if (!continues)
        snprintf(error, 512,
                 "the ledger no longer holds entry %" PRIu64
                 " of its journal: was it restored from "
                 "an older backup? What was spent since is forgotten there. Look at it with "
                 "\"pgveilctl ledger verify\"; to go on all the same, remove %.200s",
                 noted->seq, note->path);
    return answered && continues;
}

bool ledger_note_open(struct ledger_note *note, const char *state_directory, PGconn *connection,
                      char error[512])
{
    struct ledger_head noted = {0}, now = {0};
    bool found;
    if (asprintf(&note->path, "%s/ledger-head", state_directory) < 0) {
        note->path = NULL;
        snprintf(error, 512, "out of memory");
        return false;
    }
    if (!read_note(note->path, &noted, &found, error) ||
        (found && noted.seq > 0 && !check_note(note, &noted, connection, error)))
        return false;
    struct ledger_call call;
    ledger_head_call(&call);
    PGresult *result = ask(connection, &call);
    enum ledger_outcome outcome = ledger_head_result(result, &now);
    PQclear(result);
    if (outcome != LEDGER_OK) {
        snprintf(error, 512, "the ledger does not tell its newest entry");
        return false;
    }
    note->head.seq = noted.seq;
    ledger_note_update(note, &now);
    return true;
}

void ledger_note_clear(struct ledger_note *note)
{
    free(note->path);
    note->path = NULL;
}
