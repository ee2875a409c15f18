/*
 * Subqueries in FROM that keep private rows as rows: they filter, project, rename and compute, and
 * can therefore be read as part of the query round them. Their conditions join its conditions, and
 * their columns stand for the expressions that they are. What would choose rows by position or put
 * rows together is refused.
 */
#include <string.h>

#include "parser/compile_internal.h"
#include "parser/expr_internal.h"
#include "parser/node.h"
#include "parser/walk.h"

/* ORDER BY without LIMIT changes nothing. */
static const char *const rows_fields[] = {
    "target_list", "from_clause", "where_clause", "sort_clause", "limit_option", "op", NULL};

static bool refuse_subquery(struct level *level, int location, const char *what)
{
    struct compile *c = level->compile;
    return compile_refuse(
        c, location, "0A000",
        arena_printf(c->arena, "%s in a subquery over private rows is not supported", what),
        "The subquery keeps rows of individual people, and may only filter and "
        "compute.",
        "Aggregate in the subquery, or leave this out of it.");
}

static const char *field_words(const char *field)
{
    if (strncmp(field, "limit", 5) == 0)
        return "LIMIT or OFFSET";
    if (strcmp(field, "with_clause") == 0)
        return "WITH";
    if (strcmp(field, "window_clause") == 0)
        return "WINDOW";
    return field;
}

/* Constants get the type that they have as a column of a subquery. */
PgQuery__Node *derived_typed_constant(struct arena *arena, PgQuery__Node *node)
{
    if (node->node_case != PG_QUERY__NODE__NODE_A_CONST || node->a_const->isnull)
        return node;
    const char *type = node->a_const->val_case == PG_QUERY__A__CONST__VAL_SVAL   ? "text"
                       : node->a_const->val_case == PG_QUERY__A__CONST__VAL_IVAL ? "int4"
                                                                                 : NULL;
    if (type == NULL)
        return node;
    PgQuery__TypeName *name = arena_alloc(arena, sizeof *name);
    pg_query__type_name__init(name);
    name->n_names = 2;
    name->names = arena_alloc(arena, 2 * sizeof *name->names);
    name->names[0] = node_new_string(arena, "pg_catalog");
    name->names[1] = node_new_string(arena, type);
    name->typemod = -1;
    name->location = -1;
    PgQuery__TypeCast *cast = arena_alloc(arena, sizeof *cast);
    pg_query__type_cast__init(cast);
    cast->arg = node;
    cast->type_name = name;
    cast->location = node->a_const->location;
    return node_new(arena, PG_QUERY__NODE__NODE_TYPE_CAST, cast);
}

/* Functions of PostgreSQL that make one value of a row, beside those of expr_functions.c. Nothing
 * can be measured of them; views have columns of them that nobody asks for. */
static const char *const row_functions[] = {"acos",
                                            "age",
                                            "array_append",
                                            "array_cat",
                                            "array_length",
                                            "array_position",
                                            "array_to_string",
                                            "ascii",
                                            "asin",
                                            "atan",
                                            "atan2",
                                            "cardinality",
                                            "cbrt",
                                            "chr",
                                            "clock_timestamp",
                                            "concat",
                                            "concat_ws",
                                            "convert_from",
                                            "convert_to",
                                            "cos",
                                            "cot",
                                            "date_bin",
                                            "decode",
                                            "degrees",
                                            "encode",
                                            "exp",
                                            "format",
                                            "gen_random_uuid",
                                            "json_array_length",
                                            "json_build_array",
                                            "json_build_object",
                                            "json_extract_path",
                                            "json_extract_path_text",
                                            "json_typeof",
                                            "jsonb_array_length",
                                            "jsonb_build_array",
                                            "jsonb_build_object",
                                            "jsonb_extract_path",
                                            "jsonb_extract_path_text",
                                            "jsonb_typeof",
                                            "justify_days",
                                            "justify_hours",
                                            "justify_interval",
                                            "ln",
                                            "log",
                                            "lpad",
                                            "make_date",
                                            "make_interval",
                                            "make_time",
                                            "make_timestamp",
                                            "make_timestamptz",
                                            "md5",
                                            "now",
                                            "num_nonnulls",
                                            "num_nulls",
                                            "overlay",
                                            "pi",
                                            "power",
                                            "quote_ident",
                                            "quote_literal",
                                            "radians",
                                            "random",
                                            "regexp_count",
                                            "regexp_like",
                                            "regexp_match",
                                            "regexp_replace",
                                            "regexp_split_to_array",
                                            "regexp_substr",
                                            "repeat",
                                            "replace",
                                            "rpad",
                                            "sha256",
                                            "sha512",
                                            "sin",
                                            "sqrt",
                                            "statement_timestamp",
                                            "string_to_array",
                                            "tan",
                                            "to_char",
                                            "to_date",
                                            "to_hex",
                                            "to_json",
                                            "to_jsonb",
                                            "to_number",
                                            "to_timestamp",
                                            "transaction_timestamp",
                                            "translate",
                                            "trim_scale",
                                            "width_bucket"};

static bool makes_one_value(const char *name)
{
    for (size_t i = 0; i < sizeof row_functions / sizeof *row_functions; i++)
        if (strcmp(row_functions[i], name) == 0)
            return true;
    return expr_function_exists(name);
}

/* A column that nobody asks for is not compiled, but a function that returns sets would repeat its
 * row, and an unknown aggregate would put rows together. */
static bool check_calls(void *context, const ProtobufCFieldDescriptor *field,
                        ProtobufCMessage **child)
{
    struct level *level = context;
    (void)field;
    if ((*child)->descriptor == &pg_query__node__descriptor) {
        PgQuery__Node *node = (PgQuery__Node *)*child;
        bool builtin = false;
        const char *name = node->node_case == PG_QUERY__NODE__NODE_FUNC_CALL
                               ? node_function_name(node->func_call, &builtin)
                               : NULL;
        if (name != NULL && !aggregate_is(node) && node->func_call->over == NULL &&
            !(builtin && makes_one_value(name)))
            return refuse_subquery(level, node_location(node),
                                   arena_printf(level->compile->arena, "function %s", name));
    }
    return walk_children(*child, check_calls, level);
}

bool derived_check_calls(struct level *level, PgQuery__Node *node)
{
    ProtobufCMessage *message = &node->base;
    return check_calls(level, NULL, &message);
}

static bool is_star(const PgQuery__Node *node)
{
    return node->node_case == PG_QUERY__NODE__NODE_COLUMN_REF && node->column_ref->n_fields > 0 &&
           node->column_ref->fields[node->column_ref->n_fields - 1]->node_case ==
               PG_QUERY__NODE__NODE_A_STAR;
}

static bool add_star(struct level *level, struct join *derived, const PgQuery__ColumnRef *ref)
{
    const struct join *from =
        ref->n_fields == 1 ? derived->left : from_named(level, derived->left, ref);
    if (from == NULL)
        return refuse_subquery(level, ref->location, "such a *");
    from_all_columns(level, from, NULL, &derived->columns);
    return true;
}

static bool add_columns(struct level *level, struct join *derived, PgQuery__SelectStmt *select)
{
    struct arena *arena = level->compile->arena;
    for (size_t i = 0; i < select->n_target_list; i++) {
        PgQuery__ResTarget *target = select->target_list[i]->res_target;
        if (is_star(target->val)) {
            if (!add_star(level, derived, target->val->column_ref))
                return false;
            continue;
        }
        bool named = target->name != NULL && target->name[0] != '\0';
        struct named_node column = {
            named ? target->name : arena_strdup(arena, node_column_name(target->val)), NULL};
        if (!derived_check_calls(level, target->val) ||
            !from_qualify(level, derived->left, &target->val))
            return false;
        column.node = derived_typed_constant(arena, target->val);
        VECTOR_PUSH(arena, &derived->columns, column);
    }
    return true;
}

/* AS t(a, b) or WITH t(a, b): new names for the first columns. */
static bool rename_columns(struct level *level, struct join *derived, PgQuery__Node **names,
                           size_t n)
{
    if (n > derived->columns.n)
        return refuse_subquery(level, derived->location, "a list of too many column names");
    for (size_t i = 0; i < n; i++)
        if (node_string(names[i]) != NULL)
            derived->columns.items[i].name = node_string(names[i]);
    return true;
}

static struct join *build(struct level *level, PgQuery__SelectStmt *select, const char *alias,
                          int location)
{
    if (per_unit_is(level->compile, level->ctes, select))
        return per_unit_build(level, select, alias, location);
    const char *unexpected = walk_unexpected_field(&select->base, rows_fields);
    if (unexpected != NULL || !compile_is_rows(level->compile, level->ctes, select)) {
        refuse_subquery(level, location,
                        unexpected != NULL ? field_words(unexpected)
                                           : "what is not a plain SELECT");
        return NULL;
    }
    semi_joins_rewrite(level->compile, level->ctes, select);
    struct join *derived = from_new_join(level, JOIN_DERIVED, location);
    derived->alias = alias;
    derived->left = from_build_list(level, select->from_clause, select->n_from_clause);
    if (derived->left == NULL)
        return NULL;
    derived->filters = derived->left->filters;
    if (select->where_clause != NULL) {
        if (!from_qualify(level, derived->left, &select->where_clause))
            return NULL;
        from_split_and(level, select->where_clause, &derived->filters);
    }
    return add_columns(level, derived, select) ? derived : NULL;
}

struct join *derived_build(struct level *level, PgQuery__RangeSubselect *range)
{
    int location = node_location(range->subquery);
    PgQuery__Node *query = range->subquery;
    const char *alias = range->alias != NULL ? range->alias->aliasname : "";
    if (range->lateral || query == NULL || query->node_case != PG_QUERY__NODE__NODE_SELECT_STMT ||
        !compile_is_rows(level->compile, level->ctes, query->select_stmt)) {
        compile_refuse(level->compile, location, "0A000",
                       "a subquery beside a private table is not supported",
                       "FROM joins private rows with the result of a subquery.",
                       "Aggregate the private table in a subquery of its own and join its result.");
        return NULL;
    }
    struct join *derived = build(level, query->select_stmt, alias, location);
    if (derived != NULL && range->alias != NULL &&
        !rename_columns(level, derived, range->alias->colnames, range->alias->n_colnames))
        return NULL;
    return derived;
}

struct join *derived_build_cte(struct level *level, const PgQuery__RangeVar *range,
                               const struct cte_scope *cte)
{
    /* The query sees what was in scope where it was written, and every reference its own copy. */
    const struct cte_scope *here = level->ctes;
    PgQuery__SelectStmt *copy =
        (PgQuery__SelectStmt *)walk_copy(level->compile->arena, &cte->rows->base);
    level->ctes = cte->outer;
    const char *alias = range->alias != NULL ? range->alias->aliasname : range->relname;
    struct join *derived = build(level, copy, alias, range->location);
    level->ctes = here;
    if (derived == NULL || !rename_columns(level, derived, cte->columns, cte->n_columns) ||
        (range->alias != NULL &&
         !rename_columns(level, derived, range->alias->colnames, range->alias->n_colnames)))
        return NULL;
    return derived;
}

bool derived_is_plain(const struct join *join)
{
    if (join->kind == JOIN_NONE)
        return true;
    for (size_t i = 0; join->kind == JOIN_DERIVED && i < join->columns.n; i++)
        if (join->columns.items[i].node->node_case != PG_QUERY__NODE__NODE_COLUMN_REF)
            return false;
    return derived_is_plain(join->left) && (join->right == NULL || derived_is_plain(join->right));
}
