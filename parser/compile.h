#ifndef PARSER_COMPILE_H
#define PARSER_COMPILE_H

/* One candidate statement, compiled: levels over private rows become releases, the rest of the tree
 * stays as the analyst wrote it. */
#include <pg_query/pg_query.pb-c.h>
#include <stddef.h>

#include "parser/arena.h"
#include "parser/parser.h"

struct compile_input {
    struct arena *arena; /* of the plan */
    const struct plan_request *request;
    const struct statement_name *names; /* as resolved by request->resolved_oids */
    size_t n_names;
    const char *source;          /* whole text, for positions */
    PgQuery__RawStmt *statement; /* is changed */
};

struct compile_output {
    enum plan_result result;
    const struct plan *plan;
    struct refusal refusal;
    const struct sql_constant *wanted;
    size_t n_wanted;
};

void compile_statement(const struct compile_input *input, struct compile_output *output);

#endif
