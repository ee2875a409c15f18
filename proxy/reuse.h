#ifndef PROXY_REUSE_H
#define PROXY_REUSE_H

/*
 * Kept answers of one statement, between the ledger, which has them, the planner, which decides
 * what is used without seeing a value, and the releases, which use the values.
 */
#include <stdbool.h>
#include <stddef.h>

#include "budget/ledger_answers.h"
#include "parser/parser.h"
#include "proxy/release.h"

/* What the analyst has paid for. Zeroed: nothing. */
struct reuse {
    struct ledger_answers answers;
    size_t n;
    const struct kept_answer *kept; /* for the planner */
    const __int128 *const *values;  /* for release_begin, in the same order */
};

/* What to ask the ledger for all that could answer the plan; the array is in the arena. */
size_t reuse_questions(struct arena *arena, const struct plan *plan, const char *const **questions);
/* The result of ledger_kept_call; false where it makes no sense. */
bool reuse_read(struct reuse *reuse, struct arena *arena, const PGresult *result);
void reuse_clear(struct reuse *reuse);

/* The draws of a charge that took others' over: adopted has an entry for each release that is
 * charged, in order, not 0 where it is so. Gives them to the outputs and notes in skipped, by the
 * plan's relations, what is not to be measured. False where the answers are not those of the plan.
 */
bool reuse_adopt(const struct plan *plan, const struct ledger_answers *answers,
                 const uint64_t *adopted, struct release_output *const *outputs, bool *skipped);

/* What was drawn and is to be kept, after release_finish; the array is in the arena. */
size_t reuse_collect(struct arena *arena, const struct plan *plan, const bool *skipped,
                     struct release_output *const *outputs, const struct ledger_answer **answers);

/* May the draw of the release stand for another analyst's, and another's for it? */
bool reuse_is_shared(const struct release *release);

#endif
