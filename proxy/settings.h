#ifndef PROXY_SETTINGS_H
#define PROXY_SETTINGS_H

/* The analyst's dp.* settings: any text is accepted by PostgreSQL, so they are checked at use. */
#include <stdbool.h>

#include "budget/ledger.h"
#include "config/config.h"
#include "parser/parser.h"
#include "parser/refusal.h"
#include "proxy/flight.h"

/* Fills the plan's settings; false with a refusal (22023 and the accepted range). */
bool settings_read(const struct flight *flight, const struct config *config,
                   const struct config_dataset *dataset, const struct ledger_account *account,
                   struct plan_settings *settings, struct refusal *refusal);
/* May answers that were paid for be given again? False with a refusal. */
bool settings_read_reuse(const struct flight *flight, bool *reuse, struct refusal *refusal);
/* Does the analyst want to read what a statement cost? */
bool settings_want_notice(const struct flight *flight);

#endif
