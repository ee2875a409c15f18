#ifndef BUDGET_LEDGER_CALL_H
#define BUDGET_LEDGER_CALL_H

/* How the ledger's files fill a call and read a result. Internal to them. */
#include "budget/ledger.h"

/* sql has static lifetime and a $n for each parameter to be added, in order. */
void ledger_call_begin(struct ledger_call *call, const char *sql);
/* Borrowed; NULL is the SQL NULL. */
void ledger_call_text(struct ledger_call *call, const char *value);
/* A value that does not fit the ledger's integers is sent as it is: the server refuses it. */
void ledger_call_integer(struct ledger_call *call, uint64_t value);
void ledger_call_bool(struct ledger_call *call, bool value);
/* Text from malloc; the call owns it. */
void ledger_call_owned(struct ledger_call *call, char *value);

/* Whether the result has these columns and at least so many rows. */
bool ledger_has_rows(const PGresult *result, int columns, int rows_min);
/* One field each; false where it is NULL or has another form. read_text: without a NUL inside. */
bool ledger_read_text(const PGresult *result, int row, int column, char *out, size_t size);
bool ledger_read_unsigned(const PGresult *result, int row, int column, uint64_t *out);
bool ledger_read_bool(const PGresult *result, int row, int column, bool *out);

#endif
