/*
 * Classifying a statement. A query that names no private table is the twin's business, and so are
 * the analyst's own temporary tables: his role may not write anything else there. Whatever is not
 * listed here is refused.
 */
#include "parser/classify.h"

#include <ctype.h>
#include <string.h>

#include "parser/names.h"
#include "parser/node.h"
#include "parser/refuse.h"
#include "parser/settings.h"
#include "parser/walk.h"

struct classifier {
    struct arena *arena;
    const struct catalog *catalog;
    const char *source;
    struct statement *out;
    bool candidate; /* names what may be private */
    int location;   /* of the statement */
};

static void refused(struct classifier *c, int location, const char *sqlstate, const char *message,
                    const char *detail, const char *hint)
{
    struct refusal_text text = {message, detail, hint};
    c->out->class = STATEMENT_REFUSED;
    refuse(&c->out->refusal, c->source, location, sqlstate, &text);
}

static bool is_set(const char *text)
{
    return text != NULL && text[0] != '\0';
}

static bool may_be_private(const struct catalog *catalog, const struct statement_name *name)
{
    if (name->schema != NULL && strcmp(name->schema, "dp") == 0 &&
        (strcmp(name->name, "budget") == 0 || strcmp(name->name, "history") == 0))
        return true;
    for (size_t i = 0; i < catalog->n_tables; i++) {
        const struct catalog_table *table = &catalog->tables[i];
        if (!table->is_public && !table->hidden && strcmp(table->name, name->name) == 0)
            return true;
    }
    return false;
}

/* "create_function_stmt" as "CREATE FUNCTION". */
static const char *kind_name(struct arena *arena, const PgQuery__Node *node)
{
    const ProtobufCMessageDescriptor *type = &pg_query__node__descriptor;
    for (unsigned i = 0; i < type->n_fields; i++) {
        if (type->fields[i].id != (uint32_t)node->node_case)
            continue;
        char *name = arena_strdup(arena, type->fields[i].name);
        size_t length = strlen(name);
        if (length > 5 && strcmp(name + length - 5, "_stmt") == 0)
            name[length - 5] = '\0';
        for (char *p = name; *p != '\0'; p++)
            *p = *p == '_' ? ' ' : (char)toupper((unsigned char)*p);
        return name;
    }
    return "this statement";
}

static void refuse_kind(struct classifier *c, const PgQuery__Node *node)
{
    const char *kind = kind_name(c->arena, node);
    refused(c, c->location, "42501",
            arena_printf(c->arena, "permission denied for statement %s", kind),
            arena_printf(c->arena, "%s is not among the statements that analysts may run.", kind),
            "Queries, transactions, cursors, prepared statements, settings and temporary tables "
            "are possible.");
}

static void refuse_private(struct classifier *c, const char *construct, const char *hint)
{
    refused(c, c->location, "0A000",
            arena_printf(c->arena, "%s over a private table is not supported", construct),
            arena_printf(c->arena, "The statement is %s and names a private table.", construct),
            hint);
}

static bool is_temporary(const PgQuery__RangeVar *range)
{
    return (is_set(range->relpersistence) && strcmp(range->relpersistence, "t") == 0) ||
           (is_set(range->schemaname) && strcmp(range->schemaname, "pg_temp") == 0);
}

static void check_created(struct classifier *c, const PgQuery__RangeVar *range)
{
    if (range == NULL || !is_temporary(range))
        refused(c, range == NULL ? c->location : range->location, "42501",
                "only temporary tables can be created", "The table would be permanent.",
                "Write CREATE TEMP TABLE or SELECT ... INTO TEMP.");
}

/* Error statements about aggregates: compiled, or refused by the twin where nothing is private. */
static bool is_interval(const PgQuery__FuncCall *call)
{
    const char *name = node_string(call->funcname[call->n_funcname - 1]);
    return name != NULL && (strcmp(name, "interval_low") == 0 ||
                            strcmp(name, "interval_high") == 0 || strcmp(name, "stddev") == 0);
}

/* What a query must not hold, wherever it stands in the statement. */
static bool check_below(void *context, const ProtobufCFieldDescriptor *field,
                        ProtobufCMessage **child)
{
    struct classifier *c = context;
    (void)field;
    const ProtobufCMessageDescriptor *type = (*child)->descriptor;
    if (type == &pg_query__into_clause__descriptor) {
        check_created(c, ((PgQuery__IntoClause *)*child)->rel);
    } else if (type == &pg_query__func_call__descriptor) {
        const PgQuery__FuncCall *call = (const PgQuery__FuncCall *)*child;
        if (node_function_in_schema(call, "dp") && !is_interval(call))
            refused(c, call->location, "0A000", "this function of schema dp cannot be called",
                    "The statement calls a function of schema dp that pgveil itself needs.",
                    "dp.interval_low, dp.interval_high and dp.stddev of an aggregate can be.");
    } else if (c->candidate && type == &pg_query__locking_clause__descriptor) {
        refused(c, c->location, "42501", "rows of private tables cannot be locked",
                "The query has FOR UPDATE or FOR SHARE.", "Leave the locking clause out.");
    } else if (c->candidate && (type == &pg_query__insert_stmt__descriptor ||
                                type == &pg_query__update_stmt__descriptor ||
                                type == &pg_query__delete_stmt__descriptor ||
                                type == &pg_query__merge_stmt__descriptor)) {
        refused(c, c->location, "42501", "a statement that writes cannot name a private table",
                "Private tables are read-only, and their rows cannot be copied.",
                "Keep a private result with CREATE TEMP TABLE ... AS SELECT ...");
    }
    return walk_children(*child, check_below, c);
}

static void classify_set(struct classifier *c, const PgQuery__VariableSetStmt *set)
{
    bool resets = set->kind == PG_QUERY__VARIABLE_SET_KIND__VAR_RESET_ALL ||
                  set->kind == PG_QUERY__VARIABLE_SET_KIND__VAR_RESET ||
                  set->kind == PG_QUERY__VARIABLE_SET_KIND__VAR_SET_DEFAULT;
    bool transaction = set->kind == PG_QUERY__VARIABLE_SET_KIND__VAR_SET_MULTI &&
                       (strcmp(set->name, "TRANSACTION") == 0 ||
                        strcmp(set->name, "SESSION CHARACTERISTICS") == 0);
    if (resets || transaction || setting_is_allowed(set->name))
        return;
    refused(c, c->location, "42501",
            arena_printf(c->arena, "permission denied to set parameter \"%s\"", set->name),
            "The parameter is not among those that analysts may set.",
            "Formats, time zone, search_path, time-outs, planner settings and dp.* can be set.");
}

static void classify_transaction(struct classifier *c, const PgQuery__TransactionStmt *stmt)
{
    switch (stmt->kind) {
    case PG_QUERY__TRANSACTION_STMT_KIND__TRANS_STMT_BEGIN:
    case PG_QUERY__TRANSACTION_STMT_KIND__TRANS_STMT_START:
        c->out->transaction = TRANSACTION_BEGIN;
        return;
    case PG_QUERY__TRANSACTION_STMT_KIND__TRANS_STMT_COMMIT:
    case PG_QUERY__TRANSACTION_STMT_KIND__TRANS_STMT_ROLLBACK:
        /* AND CHAIN opens the next block at once. */
        c->out->transaction = stmt->chain ? TRANSACTION_NONE : TRANSACTION_END;
        return;
    case PG_QUERY__TRANSACTION_STMT_KIND__TRANS_STMT_SAVEPOINT:
    case PG_QUERY__TRANSACTION_STMT_KIND__TRANS_STMT_RELEASE:
    case PG_QUERY__TRANSACTION_STMT_KIND__TRANS_STMT_ROLLBACK_TO:
        return;
    case PG_QUERY__TRANSACTION_STMT_KIND__TRANSACTION_STMT_KIND_UNDEFINED:
    case PG_QUERY__TRANSACTION_STMT_KIND__TRANS_STMT_PREPARE:
    case PG_QUERY__TRANSACTION_STMT_KIND__TRANS_STMT_COMMIT_PREPARED:
    case PG_QUERY__TRANSACTION_STMT_KIND__TRANS_STMT_ROLLBACK_PREPARED:
    case _PG_QUERY__TRANSACTION_STMT_KIND_IS_INT_SIZE:
    default:
        refused(c, c->location, "42501", "prepared transactions are not possible",
                "The statement belongs to two-phase commit.", "Use COMMIT or ROLLBACK.");
    }
}

static bool explain_option(const PgQuery__ExplainStmt *explain, const char *name)
{
    for (size_t i = 0; i < explain->n_options; i++) {
        const PgQuery__DefElem *option = explain->options[i]->def_elem;
        if (strcmp(option->defname, name) != 0)
            continue;
        const char *value = node_string(option->arg);
        int number = 1;
        bool off = value != NULL && (strcmp(value, "off") == 0 || strcmp(value, "false") == 0 ||
                                     strcmp(value, "0") == 0);
        if (option->arg != NULL && option->arg->node_case == PG_QUERY__NODE__NODE_INTEGER)
            number = option->arg->integer->ival;
        return !off && number != 0;
    }
    return false;
}

static void classify_copy(struct classifier *c, const PgQuery__CopyStmt *copy)
{
    if (copy->relation != NULL || copy->is_from || copy->is_program || is_set(copy->filename))
        refused(c, c->location, "42501", "only COPY (query) TO STDOUT is possible",
                "COPY of a table, a file or a program is not.",
                "Write COPY (SELECT ...) TO STDOUT.");
}

static void classify_drop(struct classifier *c, const PgQuery__Node *node)
{
    int type = (int)node->drop_stmt->remove_type;
    switch (type) {
    case PG_QUERY__OBJECT_TYPE__OBJECT_TABLE:
    case PG_QUERY__OBJECT_TYPE__OBJECT_INDEX:
    case PG_QUERY__OBJECT_TYPE__OBJECT_SEQUENCE:
    case PG_QUERY__OBJECT_TYPE__OBJECT_VIEW:
        return; /* the twin lets a role drop its own temporary objects and nothing else */
    default:
        refuse_kind(c, node);
    }
}

static void classify_kind(struct classifier *c, PgQuery__Node *node);

/* Where a statement goes round a query, the query's own kind must be possible too. */
static void classify_wrapped(struct classifier *c, PgQuery__Node *query)
{
    if (query == NULL)
        refused(c, c->location, "0A000", "the statement has no query", NULL, NULL);
    else
        classify_kind(c, query);
}

static void classify_writing(struct classifier *c)
{
    if (c->candidate)
        refused(c, c->location, "42501", "a statement that writes cannot name a private table",
                "Private tables are read-only, and their rows cannot be copied.",
                "Keep a private result with CREATE TEMP TABLE ... AS SELECT ...");
}

static void classify_kind(struct classifier *c, PgQuery__Node *node)
{
    int kind = (int)node->node_case; /* hundreds of kinds end in the default */
    switch (kind) {
    case PG_QUERY__NODE__NODE_SELECT_STMT:
    case PG_QUERY__NODE__NODE_VARIABLE_SHOW_STMT:
    case PG_QUERY__NODE__NODE_FETCH_STMT:
    case PG_QUERY__NODE__NODE_CLOSE_PORTAL_STMT:
    case PG_QUERY__NODE__NODE_EXECUTE_STMT:
    case PG_QUERY__NODE__NODE_DEALLOCATE_STMT:
    case PG_QUERY__NODE__NODE_DISCARD_STMT:
    case PG_QUERY__NODE__NODE_UNLISTEN_STMT:
    case PG_QUERY__NODE__NODE_CONSTRAINTS_SET_STMT:
        break;
    case PG_QUERY__NODE__NODE_DECLARE_CURSOR_STMT:
        classify_wrapped(c, node->declare_cursor_stmt->query);
        break;
    case PG_QUERY__NODE__NODE_CREATE_TABLE_AS_STMT:
        if (node->create_table_as_stmt->objtype != PG_QUERY__OBJECT_TYPE__OBJECT_TABLE)
            refuse_kind(c, node);
        else
            classify_wrapped(c, node->create_table_as_stmt->query);
        break;
    case PG_QUERY__NODE__NODE_EXPLAIN_STMT:
        classify_wrapped(c, node->explain_stmt->query);
        if (c->candidate && explain_option(node->explain_stmt, "analyze"))
            refuse_private(c, "EXPLAIN ANALYZE",
                           "EXPLAIN without ANALYZE shows price and error, "
                           "and costs nothing.");
        break;
    case PG_QUERY__NODE__NODE_PREPARE_STMT:
        classify_wrapped(c, node->prepare_stmt->query);
        if (c->candidate)
            refuse_private(
                c, "PREPARE",
                "Prepare it by the protocol, as drivers and psql's \\bind do, or send the "
                "query itself.");
        break;
    case PG_QUERY__NODE__NODE_INSERT_STMT:
    case PG_QUERY__NODE__NODE_UPDATE_STMT:
    case PG_QUERY__NODE__NODE_DELETE_STMT:
    case PG_QUERY__NODE__NODE_TRUNCATE_STMT:
    case PG_QUERY__NODE__NODE_INDEX_STMT:
        classify_writing(c);
        break;
    case PG_QUERY__NODE__NODE_CREATE_STMT:
        check_created(c, node->create_stmt->relation);
        break;
    case PG_QUERY__NODE__NODE_DROP_STMT:
        classify_drop(c, node);
        break;
    case PG_QUERY__NODE__NODE_VACUUM_STMT:
        if (node->vacuum_stmt->is_vacuumcmd || node->vacuum_stmt->n_rels == 0)
            refuse_kind(c, node);
        break;
    case PG_QUERY__NODE__NODE_COPY_STMT:
        classify_copy(c, node->copy_stmt);
        if (node->copy_stmt->query != NULL)
            classify_wrapped(c, node->copy_stmt->query);
        break;
    case PG_QUERY__NODE__NODE_VARIABLE_SET_STMT:
        classify_set(c, node->variable_set_stmt);
        break;
    case PG_QUERY__NODE__NODE_TRANSACTION_STMT:
        classify_transaction(c, node->transaction_stmt);
        break;
    default:
        refuse_kind(c, node);
    }
}

PgQuery__Node *classify_inner_query(PgQuery__Node *node)
{
    int kind = (int)node->node_case;
    switch (kind) {
    case PG_QUERY__NODE__NODE_EXPLAIN_STMT:
        return classify_inner_query(node->explain_stmt->query);
    case PG_QUERY__NODE__NODE_DECLARE_CURSOR_STMT:
        return classify_inner_query(node->declare_cursor_stmt->query);
    case PG_QUERY__NODE__NODE_CREATE_TABLE_AS_STMT:
        return classify_inner_query(node->create_table_as_stmt->query);
    case PG_QUERY__NODE__NODE_COPY_STMT:
        return node->copy_stmt->query == NULL ? node : classify_inner_query(node->copy_stmt->query);
    default:
        return node;
    }
}

/* Kinds whose private form is a plan; a definition or a lock that only names a table is not. */
static bool can_be_planned(PgQuery__Node *node)
{
    return classify_inner_query(node)->node_case == PG_QUERY__NODE__NODE_SELECT_STMT;
}

void classify_statement(struct arena *arena, const struct catalog *catalog, const char *source,
                        PgQuery__Node *node, struct statement *out)
{
    struct name_list list = {.arena = arena};
    struct classifier c = {.arena = arena, .catalog = catalog, .source = source, .out = out};
    c.location = (int)out->location;
    out->class = STATEMENT_RELAY;
    names_collect(&list, &node->base);
    for (size_t i = 0; i < list.n && !c.candidate; i++)
        c.candidate = may_be_private(catalog, &list.names[i]);
    classify_kind(&c, node);
    walk_children(&node->base, check_below, &c);
    if (out->class == STATEMENT_RELAY && c.candidate && can_be_planned(node)) {
        out->class = STATEMENT_CANDIDATE;
        out->n_names = list.n;
        out->names = list.names;
    }
}
