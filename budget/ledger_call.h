#ifndef BUDGET_LEDGER_CALL_H
#define BUDGET_LEDGER_CALL_H

/* How ledger.c and ledger_admin.c fill a call. Internal to them. */
#include "budget/ledger.h"

/* sql has static lifetime and a $n for each parameter to be added, in order. */
void ledger_call_begin(struct ledger_call *call, const char *sql);
/* Borrowed; NULL is the SQL NULL. */
void ledger_call_text(struct ledger_call *call, const char *value);
/* A value that does not fit the ledger's integers is sent as it is: the server refuses it. */
void ledger_call_integer(struct ledger_call *call, uint64_t value);
void ledger_call_bool(struct ledger_call *call, bool value);

#endif
