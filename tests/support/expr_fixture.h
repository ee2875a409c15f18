#ifndef TESTS_SUPPORT_EXPR_FIXTURE_H
#define TESTS_SUPPORT_EXPR_FIXTURE_H

/* A scope over one made-up table t with columns of every supported type, and text -> expression. */
#include "parser/expr.h"

struct expr_fixture {
    struct arena *arena;
    struct scope scope;
    struct refusal refusal;
    struct plan_request request;
};

/* The columns of t: name, type as declared, and bounds (NULL: none; dates and time stamps in ISO
 * text). The list ends with a NULL name. */
struct expr_fixture_column {
    const char *name, *declared, *low, *high;
    bool not_null;
};
extern const struct expr_fixture_column expr_fixture_columns[];

struct expr_fixture *expr_fixture_new(void);
void expr_fixture_free(struct expr_fixture *fixture);
/* A second relation "o" over the same table, null-extended. */
void expr_fixture_join(struct expr_fixture *fixture);
/* Canonical form of a literal, as the twin would give it. */
void expr_fixture_constant(struct expr_fixture *fixture, uint32_t type, const char *literal,
                           const char *canonical);
void expr_fixture_param(struct expr_fixture *fixture, uint32_t type, const char *text);

/* Compiles an expression over t; parameters, wishes and refusal of an earlier one are forgotten. */
const struct expr *expr_fixture_compile(struct expr_fixture *fixture, const char *text);
const struct expr *expr_fixture_condition(struct expr_fixture *fixture, const char *text);
/* Its SQL, "" where it is refused. */
const char *expr_fixture_sql(struct expr_fixture *fixture, const char *text);

#endif
