#ifndef TESTS_SUPPORT_ANALYST_H
#define TESTS_SUPPORT_ANALYST_H

/* An analyst who asks, pays and has what he paid for kept, without a server. */
#include "tests/support/planning.h"

enum { KEPT_MAX = 2048 };

/* An analyst's kept answers, as the ledger would give them back. */
struct analyst {
    const struct catalog *catalog;
    struct plan_settings settings;
    struct kept_answer kept[KEPT_MAX];
    size_t n;
    bool asks;      /* for other forms as well */
    uint64_t spent; /* pico mu^2 */
    dp_atto delta;
};

/* With planning_settings, and nothing kept. */
struct analyst analyst(const char *dataset);
/* The plan with what is kept; planning_clear it. */
struct planning planned(const struct analyst *who, const char *sql);
/* The release of a plan that has one. */
const struct release *only_release(const struct planning *planning);
/* Asks, pays and keeps; what it cost in pico mu^2. Private keys: as if these groups appeared, rows
 * of texts. */
uint64_t ask_groups(struct analyst *who, const char *sql, const char *const *groups,
                    size_t n_groups);
uint64_t ask(struct analyst *who, const char *sql);
/* What is drawn of the release's measures is kept from now on. */
void keep(struct analyst *who, const struct release *release, const char *const *groups,
          size_t n_groups);
/* What it would cost somebody who has nothing. */
uint64_t fresh_price(const struct analyst *who, const char *sql);

#endif
