#ifndef TESTS_SUPPORT_CHARGE_H
#define TESTS_SUPPORT_CHARGE_H

#include "budget/ledger.h"

/* A charge in a batch of its own, on a connection that waits. Its answer, for ledger_charge_result,
 * or the server's error. PQclear */
PGresult *charge_alone(PGconn *ledger, const char *dataset, const struct ledger_charge *charge);

#endif
