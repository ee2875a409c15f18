#ifndef TESTS_SUPPORT_PLANNING_H
#define TESTS_SUPPORT_PLANNING_H

/* Planning a statement as proxy/statement.c does, with a catalogue of tests/support/catalogs.h in
 * the place of the twin: names are found in schema public, constants are canonical as written. */
#include <stdio.h>

#include "parser/parser.h"

enum planning_result { PLANNED, PLANNING_REFUSED, PLANNING_RELAYED, PLANNING_UNPARSABLE };

struct planning {
    enum planning_result result;
    struct parsed *parsed; /* owns the plan */
    const struct plan *plan;
    struct refusal refusal;
    int rounds; /* calls of parser_plan: 2 where the twin was asked for constants */
};

struct plan_settings planning_settings(void);
/* The first statement of the text; with NULL settings those of planning_settings. */
struct planning plan_statement(const struct catalog *catalog, const char *sql,
                               const struct plan_settings *settings);
/* With the client's parameters. */
struct planning plan_with(const struct catalog *catalog, const char *sql,
                          const struct plan_settings *settings, const struct sql_value *params,
                          size_t n_params);
/* With what the analyst has paid for; asks: what is kept will be asked for. */
struct planning plan_kept(const struct catalog *catalog, const char *sql,
                          const struct plan_settings *settings, const struct kept_answer *kept,
                          size_t n_kept, bool asks);
/* With what is known of the bounds of columns. */
struct planning plan_with_histograms(const struct catalog *catalog, const char *sql,
                                     const struct plan_settings *settings,
                                     const struct plan_histogram *histograms, size_t n);
/* With a request of one's own, but for the names, which are looked up in its catalogue. */
struct planning plan_requested(const char *sql, const struct plan_request *request);
/* Before kept answers are looked up. */
struct planning plan_before_lookup(const struct catalog *catalog, const char *sql,
                                   const struct plan_settings *settings);
void planning_clear(struct planning *planning);

/* Everything a reader wants to see of the plan, in lines. */
void planning_print(const struct planning *planning, FILE *out);

#endif
