#ifndef BUDGET_LEDGER_JSON_H
#define BUDGET_LEDGER_JSON_H

/* What the ledger is told of releases and their answers, as JSON text. Internal to budget/. The
 * caller frees the text. */
#include "budget/ledger_answers.h"

/* As pgveil.releases reads it. */
char *ledger_releases_json(const struct ledger_release *releases, size_t n);
/* Texts of JSON as one list. */
char *ledger_list_json(const char *const *texts, size_t n);
/* As pgveil.keep reads it; the answers of a release stand together. */
char *ledger_answers_json(const struct ledger_answer *answers, size_t n);

#endif
