/* Function calls, and what to say about the nodes that are not on the allow-list. */
#include <string.h>

#include "parser/expr_nodes.h"
#include "parser/node.h"

#define TEST(sql)                                                                                  \
    {                                                                                              \
        sql, 1, {TYPE_BOOL}, TYPE_BOOL, RULE_NONE, OP_NEVER_NULL, "(%1 " sql ")"                   \
    }

const struct expr_operation *expr_boolean_test(int number)
{
    static const struct expr_operation is_true = TEST("IS TRUE"), is_not_true = TEST("IS NOT TRUE"),
                                       is_false = TEST("IS FALSE"),
                                       is_not_false = TEST("IS NOT FALSE"),
                                       is_unknown = TEST("IS UNKNOWN"),
                                       is_not_unknown = TEST("IS NOT UNKNOWN");
    switch (number) {
    case PG_QUERY__BOOL_TEST_TYPE__IS_TRUE:
        return &is_true;
    case PG_QUERY__BOOL_TEST_TYPE__IS_NOT_TRUE:
        return &is_not_true;
    case PG_QUERY__BOOL_TEST_TYPE__IS_FALSE:
        return &is_false;
    case PG_QUERY__BOOL_TEST_TYPE__IS_NOT_FALSE:
        return &is_not_false;
    case PG_QUERY__BOOL_TEST_TYPE__IS_UNKNOWN:
        return &is_unknown;
    case PG_QUERY__BOOL_TEST_TYPE__IS_NOT_UNKNOWN:
        return &is_not_unknown;
    default:
        return NULL;
    }
}

/* Forms that work where a function does not. */
static const char *function_hint(const char *name)
{
    static const struct {
        const char *name, *hint;
    } hints[] = {
        {"now", "Write the date or time stamp as a literal."},
        {"current_date", "Write the date as a literal."},
        {"clock_timestamp", "Write the time stamp as a literal."},
        {"statement_timestamp", "Write the time stamp as a literal."},
        {"transaction_timestamp", "Write the time stamp as a literal."},
        {"age", "Subtract the dates, or extract years from both."},
        {"to_char", "Group by date_trunc or extract, and format the result outside."},
        {"to_date", "Write the date as a literal."},
        {"to_timestamp", "Write the time stamp as a literal."},
        {"regexp_replace", "Use LIKE, strpos, left, right or substring."},
        {"regexp_match", "Use LIKE, strpos, left, right or substring."},
        {"regexp_matches", "Use LIKE, strpos, left, right or substring."},
        {"replace", "Use split_part, left, right or substring."},
        {"concat", "Use || with COALESCE."},
        {"random", "Noise is added by pgveil; rows cannot be sampled."},
        {"count", "Aggregates stand in the select list, HAVING or ORDER BY."},
        {"sum", "Aggregates stand in the select list, HAVING or ORDER BY."},
        {"avg", "Aggregates stand in the select list, HAVING or ORDER BY."},
        {"min", "Use least for the smaller of two values."},
        {"max", "Use greatest for the larger of two values."},
    };
    for (size_t i = 0; i < sizeof hints / sizeof *hints; i++)
        if (strcmp(hints[i].name, name) == 0)
            return hints[i].hint;
    return "Functions on numbers (abs, round, floor, ceil, trunc, sign, mod, div), texts (lower, "
           "upper, length, trim, left, right, substring, strpos, split_part, starts_with) and "
           "dates (date_trunc, extract, date_part) are allowed.";
}

static const struct expr *refuse_function(struct scope *scope, const char *name, int location)
{
    return expr_unsupported(scope, location,
                            arena_printf(scope->arena, "function %s", name ? name : "of this form"),
                            name ? function_hint(name) : NULL);
}

static bool is_plain_call(const PgQuery__FuncCall *node)
{
    bool form = node->funcformat == PG_QUERY__COERCION_FORM__COERCE_EXPLICIT_CALL ||
                node->funcformat == PG_QUERY__COERCION_FORM__COERCE_SQL_SYNTAX;
    return form && node->n_agg_order == 0 && !node->agg_filter && !node->over &&
           !node->agg_within_group && !node->agg_star && !node->agg_distinct &&
           !node->func_variadic;
}

const struct expr *expr_function_node(struct scope *scope, const PgQuery__FuncCall *node)
{
    bool builtin = false;
    const char *name = node->n_funcname <= 2 ? node_function_name(node, &builtin) : NULL;
    const struct expr *args[EXPR_ARGS_MAX];

    if (!name || !builtin || !is_plain_call(node) || !expr_function_exists(name))
        return refuse_function(scope, name, node->location);
    if (node->n_args == 0 || node->n_args > EXPR_ARGS_MAX)
        return refuse_function(scope, name, node->location);
    for (size_t i = 0; i < node->n_args; i++) {
        args[i] = expr_node(scope, node->args[i]);
        if (!args[i] || !expr_usable(scope, args[i]))
            return NULL;
    }
    const struct expr_operation *op = expr_resolve_function(name, args, node->n_args);
    if (!op) {
        struct text types = text_new(scope->arena);
        for (size_t i = 0; i < node->n_args; i++)
            text_printf(&types, "%s%s", i ? ", " : "", expr_type_name(&args[i]->type));
        return expr_unsupported(scope, node->location,
                                arena_printf(scope->arena, "function %s(%s)", name, types.data),
                                "Cast the arguments to the types that the function takes.");
    }
    return expr_apply_coerced(scope, op, args, node->n_args, node->location);
}

const struct expr *expr_refuse_node(struct scope *scope, const PgQuery__Node *node)
{
    static const struct {
        PgQuery__Node__NodeCase node;
        const char *construct, *hint;
    } known[] = {
        {PG_QUERY__NODE__NODE_SQLVALUE_FUNCTION, "the current date, time or user",
         "Write the date or time stamp as a literal."},
        {PG_QUERY__NODE__NODE_SUB_LINK, "a subquery in an expression",
         "Join the table, or aggregate in a subquery of FROM."},
        {PG_QUERY__NODE__NODE_A_ARRAY_EXPR, "an array", "Use IN with a list of values."},
        {PG_QUERY__NODE__NODE_ROW_EXPR, "a row", "Compare the columns one by one."},
        {PG_QUERY__NODE__NODE_COLLATE_CLAUSE, "COLLATE",
         "Sort and compare the result outside of the aggregation."},
        {PG_QUERY__NODE__NODE_A_INDIRECTION, "a subscript or field of a value",
         "Use plain columns."},
        {PG_QUERY__NODE__NODE_NAMED_ARG_EXPR, "a named argument", "Pass arguments by position."},
        {PG_QUERY__NODE__NODE_GROUPING_FUNC, "GROUPING", NULL},
        {PG_QUERY__NODE__NODE_SET_TO_DEFAULT, "DEFAULT", NULL},
        {PG_QUERY__NODE__NODE_XML_EXPR, "XML", NULL},
    };
    /* The walk reads only. */
    int location = node_location((PgQuery__Node *)(uintptr_t)node);
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (known[i].node == node->node_case)
            return expr_unsupported(scope, location, known[i].construct, known[i].hint);
    return expr_unsupported(scope, location, "this expression",
                            "Use arithmetic, comparisons, CASE "
                            "and the functions allowed.");
}
