#ifndef TESTS_SUPPORT_ANALYST_H
#define TESTS_SUPPORT_ANALYST_H

/* An analyst who asks, pays and has what he paid for kept, without a server: what the ledger would
 * give back of public keys and of releases without keys. */
#include "tests/support/planning.h"

enum { ANALYST_KEPT_MAX = 64 };

struct analyst {
    const struct catalog *catalog;
    struct plan_settings settings;
    struct kept_answer kept[ANALYST_KEPT_MAX];
    size_t n;
    uint64_t spent; /* pico mu^2 */
};

struct analyst analyst_of(const struct catalog *catalog);
/* The plan with what is kept; planning_clear it. */
struct planning analyst_plan(const struct analyst *who, const char *sql);
/* Asks, pays and keeps; what it cost in pico mu^2. */
uint64_t analyst_ask(struct analyst *who, const char *sql);
/* What it would cost somebody who has nothing. */
uint64_t analyst_fresh_price(const struct analyst *who, const char *sql);
/* The only release of the plan. */
const struct release *analyst_release(const struct planning *planning);

#endif
