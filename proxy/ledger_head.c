#include "proxy/ledger_head.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "budget/ledger_note.h"
#include "proxy/log.h"

void ledger_note_update(struct ledger_note *note, const struct ledger_head *head)
{
    if (head->seq <= note->head.seq)
        return;
    if (ledger_note_write(note->path, head))
        note->head = *head;
    else
        log_warning("cannot write %s: %s", note->path, strerror(errno));
}

static PGresult *ask(PGconn *connection, const struct ledger_call *call)
{
    return PQexecParams(connection, call->sql, call->n_params, NULL, call->values, NULL, NULL, 0);
}

static bool check_note(const struct ledger_head *noted, PGconn *connection, char error[512])
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
                 "\"pgveilctl ledger verify\" (the managed ledger runs alone with \"pgveil "
                 "--ledger\"); to go on all the same: \"pgveilctl ledger accept\"",
                 noted->seq);
    return answered && continues;
}

bool ledger_note_open(struct ledger_note *note, const char *state_directory, PGconn *connection,
                      char error[512])
{
    struct ledger_head noted = {0}, now = {0};
    bool found;
    note->path = ledger_note_path(state_directory);
    if (note->path == NULL) {
        snprintf(error, 512, "out of memory");
        return false;
    }
    if (!ledger_note_read(note->path, &noted, &found, error) ||
        (found && noted.seq > 0 && !check_note(&noted, connection, error)))
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
    note->head = noted;
    ledger_note_update(note, &now);
    return true;
}

void ledger_note_clear(struct ledger_note *note)
{
    free(note->path);
    note->path = NULL;
}
