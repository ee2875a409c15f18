#ifndef BUDGET_LEDGER_NOTE_H
#define BUDGET_LEDGER_NOTE_H

/*
 * The note of the journal's newest entry, <state directory>/ledger-head: SEQ:HASH. pgveil keeps it
 * up to date outside the ledger, so that a ledger which was set back is noticed; pgveilctl reads
 * it, and rewrites it by the DBA's word.
 */
#include <stdbool.h>

#include "budget/ledger.h"

/* Allocated; NULL without memory. */
char *ledger_note_path(const char *state_directory);
/* False with text in error where there is a file that is no note, or that cannot be read. *found:
 * there is one. */
bool ledger_note_read(const char *path, struct ledger_head *head, bool *found, char error[512]);
/* Written beside and renamed: a killed write leaves the old note. The owner stays who owned the old
 * one, where that can be done: root writes it for pgveil's user. False with errno set. */
bool ledger_note_write(const char *path, const struct ledger_head *head);

#endif
