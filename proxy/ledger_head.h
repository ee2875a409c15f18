#ifndef PROXY_LEDGER_HEAD_H
#define PROXY_LEDGER_HEAD_H

/*
 * The newest entry of the ledger's journal, noted in the state directory. A ledger that was set
 * back (restored from an older backup) no longer holds it and would give budget back silently:
 * pgveil refuses to start on it, and stops where it happens while it runs, until the DBA accepts it
 * (pgveilctl ledger accept).
 */
#include <libpq-fe.h>
#include <stdbool.h>

#include "budget/ledger.h"

/* <state directory>/ledger-head */
struct ledger_note {
    char *path; /* owned */
    struct ledger_head head;
};

/* Reads the note, asks the ledger whether it continues it, and notes its head of now. False with
 * text in error. Synchronous. */
bool ledger_note_open(struct ledger_note *note, const char *state_directory, PGconn *connection,
                      char error[512]);
/* Writes the head down where it is newer. A note that cannot be written is logged; the older one
 * stays valid. */
void ledger_note_update(struct ledger_note *note, const struct ledger_head *head);
void ledger_note_clear(struct ledger_note *note);

#endif
