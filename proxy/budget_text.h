#ifndef PROXY_BUDGET_TEXT_H
#define PROXY_BUDGET_TEXT_H

/* The budget in words: notices, refusals, the lines of EXPLAIN and the rows of dp.budget. Numbers
 * come from the ledger alone. */
#include <stddef.h>

#include "budget/ledger.h"
#include "parser/arena.h"
#include "parser/parser.h"
#include "parser/refusal.h"

enum { BUDGET_COLUMNS = 9, HISTORY_COLUMNS = 7 };

/* "cost 0.53 % of the budget (mu^2 0.000299); 98.20 % remains": after a charge. */
const char *budget_notice(struct arena *arena, const struct dp_charge *charge,
                          const struct ledger_account *after);
/* 53400, with the price and what remains. */
void budget_refusal(struct arena *arena, const struct dp_charge *charge,
                    const struct ledger_account *account, enum ledger_outcome outcome,
                    struct refusal *refusal);
/* Two lines for EXPLAIN: the price as a share, and the budget before and after. */
void budget_explain(struct arena *arena, const struct dp_charge *charge,
                    const struct ledger_account *account, const char *lines[2]);
const char *budget_explain_json(struct arena *arena, const struct dp_charge *charge,
                                const struct ledger_account *account);
/* One row of dp.budget as text cells, in the order of its columns. The number of queries left is
 * that of ungrouped counts with the settings' epsilon and mechanism. */
void budget_row(struct arena *arena, const struct ledger_account *account,
                const struct plan_settings *settings, const char *cells[BUDGET_COLUMNS]);

#endif
