#ifndef TESTS_SUPPORT_EXPR_RANDOM_H
#define TESTS_SUPPORT_EXPR_RANDOM_H

/* Random expressions over the columns of tests/support/expr_fixture.h: the same in every run of one
 * seed. */
#include <stddef.h>

enum { EXPR_SOURCE_MAX = 40000 };

struct expr_source {
    char text[EXPR_SOURCE_MAX];
    size_t used;
};

void expr_random_seed(unsigned long long seed);
/* Below n. */
unsigned expr_random_pick(unsigned n);
/* What has no room is left out. */
void expr_source_put(struct expr_source *out, const char *piece);
/* Appends an expression of any type. */
void expr_random(struct expr_source *out);

#endif
