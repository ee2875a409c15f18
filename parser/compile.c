/*
 * The way of a candidate: names resolved, levels over private rows turned into releases, what is
 * left written as the final statement. A name in the scope of a WITH query is that query's.
 */
#include "parser/compile.h"

#include <string.h>

#include "parser/ascii_sql.h"
#include "parser/ast.h"
#include "parser/classify.h"
#include "parser/interval.h"
#include "parser/node.h"
#include "parser/refuse.h"
#include "parser/walk.h"

bool compile_refuse(struct compile *c, int location, const char *sqlstate, const char *message,
                    const char *detail, const char *hint)
{
    struct refusal_text text = {message, detail, hint};
    return refuse(&c->refusal, c->source, location, sqlstate, &text);
}

static bool is_ledger(const struct statement_name *name, const char *relation)
{
    return name->schema != NULL && strcmp(name->schema, "dp") == 0 &&
           strcmp(name->name, relation) == 0;
}

static struct resolved_name resolve(const struct catalog *catalog,
                                    const struct statement_name *name, uint32_t twin_oid)
{
    struct resolved_name resolved = {NAME_OTHER, NULL};
    for (size_t i = 0; twin_oid != 0 && i < catalog->n_tables; i++) {
        const struct catalog_table *table = &catalog->tables[i];
        if (table->twin_oid != twin_oid)
            continue;
        resolved.table = table;
        resolved.kind = table->hidden      ? NAME_HIDDEN
                        : table->view      ? NAME_VIEW
                        : table->is_public ? NAME_PUBLIC
                                           : NAME_PRIVATE;
        return resolved;
    }
    if (twin_oid != 0 && is_ledger(name, "budget"))
        resolved.kind = NAME_BUDGET;
    if (twin_oid != 0 && is_ledger(name, "history"))
        resolved.kind = NAME_HISTORY;
    return resolved;
}

const struct resolved_name *compile_resolve(const struct compile *c, const PgQuery__RangeVar *range)
{
    static const struct resolved_name other = {NAME_OTHER, NULL};
    if (views_is_of_definition(range))
        return views_resolve(c, range);
    int index = names_find(c->names, c->n_names, range);
    return index < 0 ? &other : &c->resolved[index];
}

/* What one step of the walk sees. */
struct visit {
    struct compile *c;
    const struct cte_scope *ctes;
};

/* Does FROM, through joins, samples and subqueries that keep rows, name a private table? */
static bool from_is_private(const struct compile *c, const struct cte_scope *ctes,
                            const PgQuery__Node *node)
{
    int kind = (int)node->node_case;
    const struct cte_scope *cte;
    switch (kind) {
    case PG_QUERY__NODE__NODE_RANGE_VAR:
        cte = cte_scope_find(ctes, node->range_var);
        return cte != NULL ? cte->rows != NULL
                           : compile_resolve(c, node->range_var)->kind == NAME_PRIVATE;
    case PG_QUERY__NODE__NODE_JOIN_EXPR:
        return from_is_private(c, ctes, node->join_expr->larg) ||
               from_is_private(c, ctes, node->join_expr->rarg);
    case PG_QUERY__NODE__NODE_RANGE_TABLE_SAMPLE:
        return from_is_private(c, ctes, node->range_table_sample->relation);
    case PG_QUERY__NODE__NODE_RANGE_SUBSELECT:
        return node->range_subselect->subquery->node_case == PG_QUERY__NODE__NODE_SELECT_STMT &&
               compile_is_rows(c, ctes, node->range_subselect->subquery->select_stmt);
    default:
        return false;
    }
}

bool compile_reads_private(const struct compile *c, const struct cte_scope *ctes,
                           const PgQuery__SelectStmt *select)
{
    bool private = false;
    for (size_t i = 0; i < select->n_from_clause; i++)
    private = private || from_is_private(c, ctes, select->from_clause[i]);
    return private;
}

bool compile_is_rows(const struct compile *c, const struct cte_scope *ctes,
                     PgQuery__SelectStmt *select)
{
    if (per_unit_is(c, ctes, select))
        return true;
    if (select->op != PG_QUERY__SET_OPERATION__SETOP_NONE || select->with_clause != NULL ||
        select->n_distinct_clause > 0 || level_is_aggregated(select))
        return false;
    return compile_reads_private(c, ctes, select);
}

static bool walk_statement(void *context, const ProtobufCFieldDescriptor *field,
                           ProtobufCMessage **child);

static struct cte_scope *add_name(struct visit *visit, const struct cte_scope *outer,
                                  PgQuery__CommonTableExpr *cte)
{
    struct cte_scope *more = arena_alloc(visit->c->arena, sizeof *more);
    *more = (struct cte_scope){.outer = outer,
                               .name = cte->ctename,
                               .columns = cte->aliascolnames,
                               .n_columns = cte->n_aliascolnames};
    return more;
}

/* A query of private rows leaves the statement: each reference to it is a part of its release. */
static bool take_rows(struct visit *visit, PgQuery__CommonTableExpr *cte, struct cte_scope *name)
{
    if (visit->c->probe || cte->ctequery->node_case != PG_QUERY__NODE__NODE_SELECT_STMT ||
        !views_expand(visit->c, name->outer, cte->ctequery->select_stmt) ||
        !compile_is_rows(visit->c, name->outer, cte->ctequery->select_stmt))
        return false;
    name->rows = cte->ctequery->select_stmt;
    return true;
}

/* The queries of a WITH clause, each with the names before it, or with all where it is RECURSIVE.
 */
static bool walk_with(struct visit *visit, PgQuery__WithClause *with)
{
    const struct cte_scope *seen = visit->ctes;
    size_t kept = 0;
    for (size_t i = 0; with->recursive && i < with->n_ctes; i++)
        seen = add_name(visit, seen, with->ctes[i]->common_table_expr);
    for (size_t i = 0; i < with->n_ctes; i++) {
        PgQuery__CommonTableExpr *cte = with->ctes[i]->common_table_expr;
        struct visit inner = {visit->c, seen};
        struct cte_scope *name = add_name(visit, seen, cte);
        bool rows = !with->recursive && take_rows(visit, cte, name);
        if (visit->c->refusal.sqlstate[0] != '\0')
            return false;
        if (!rows && !walk_children(&cte->base, walk_statement, &inner))
            return false;
        if (!with->recursive)
            seen = name;
        if (!rows)
            with->ctes[kept++] = with->ctes[i];
    }
    with->n_ctes = kept;
    visit->ctes = seen;
    return true;
}

/* Subqueries beside a release: in its select list, HAVING, ORDER BY, LIMIT. They are the twin's, or
 * releases of their own. */
static bool walk_output(struct visit *visit, PgQuery__SelectStmt *select)
{
    /* HAVING stands in the place of WHERE once the level is rewritten. */
    PgQuery__Node *single[] = {select->limit_count, select->limit_offset, select->having_clause,
                               visit->c->pending ? NULL : select->where_clause};
    for (size_t i = 0; i < sizeof single / sizeof single[0]; i++)
        if (single[i] != NULL && !walk_children(&single[i]->base, walk_statement, visit))
            return false;
    for (size_t i = 0; i < select->n_target_list; i++)
        if (!walk_children(&select->target_list[i]->base, walk_statement, visit))
            return false;
    for (size_t i = 0; i < select->n_sort_clause; i++)
        if (!walk_children(&select->sort_clause[i]->base, walk_statement, visit))
            return false;
    for (size_t i = 0; i < select->n_window_clause; i++)
        if (!walk_children(&select->window_clause[i]->base, walk_statement, visit))
            return false;
    return true;
}

static bool walk_select(struct visit *visit, PgQuery__SelectStmt *select)
{
    if (select->with_clause != NULL && !walk_with(visit, select->with_clause))
        return false;
    if (select->with_clause != NULL && select->with_clause->n_ctes == 0)
        select->with_clause = NULL;
    if (!views_expand(visit->c, visit->ctes, select))
        return false;
    if (!visit->c->probe && compile_reads_private(visit->c, visit->ctes, select))
        return level_compile_release(visit->c, select, visit->ctes) && walk_output(visit, select);
    return walk_children(&select->base, walk_statement, visit);
}

static const char *range_alias(const PgQuery__RangeVar *range)
{
    return range->alias != NULL ? range->alias->aliasname : range->relname;
}

/* A relation that is not the twin's to read: fed by pgveil, empty for a probe, or refused. */
static bool walk_range(struct visit *visit, PgQuery__Node **slot)
{
    struct compile *c = visit->c;
    PgQuery__RangeVar *range = (*slot)->range_var;
    const struct resolved_name *name = compile_resolve(c, range);
    bool private = name->kind == NAME_PRIVATE || name->kind == NAME_VIEW;
    bool hidden = name->kind == NAME_HIDDEN || (name->kind == NAME_PUBLIC && name->table->hidden);
    if (cte_scope_find(visit->ctes, range) != NULL || name->kind == NAME_OTHER ||
        (name->kind == NAME_PUBLIC && !hidden)) {
        views_leave_definition(range);
        return true;
    }
    if (hidden || (private && !c->probe))
        return compile_refuse(
            c, range->location, "42501",
            arena_printf(c->arena, "permission denied for table %s", range->relname),
            "The table cannot be used in this place.", "Query it in the FROM clause of a SELECT.");
    PgQuery__Node *item = node_new_subselect(c->arena, NULL, range_alias(range));
    if (range->alias != NULL)
        item->range_subselect->alias = range->alias;
    if (private)
        final_empty(c, name->table, item->range_subselect);
    else
        final_ledger(c, name->kind == NAME_BUDGET ? RELATION_BUDGET : RELATION_HISTORY,
                     item->range_subselect);
    *slot = item;
    return true;
}

/* schema.table.column, where the table has become a subquery of the table's name. */
static void shorten_column(const struct compile *c, PgQuery__ColumnRef *ref)
{
    if (ref->n_fields < 3)
        return;
    const char *schema = node_string(ref->fields[ref->n_fields - 3]);
    const char *table = node_string(ref->fields[ref->n_fields - 2]);
    for (size_t i = 0; schema != NULL && table != NULL && i < c->n_names; i++) {
        const struct resolved_name *name = &c->resolved[i];
        bool fed = name->kind == NAME_BUDGET || name->kind == NAME_HISTORY ||
                   ((name->kind == NAME_PRIVATE || name->kind == NAME_VIEW) && c->probe);
        const char *of = name->table != NULL ? name->table->schema : "dp";
        if (!fed || strcmp(c->names[i].name, table) != 0 || strcmp(of, schema) != 0)
            continue;
        ref->fields[0] = ref->fields[ref->n_fields - 2];
        ref->fields[1] = ref->fields[ref->n_fields - 1];
        ref->n_fields = 2;
        return;
    }
}

static bool walk_statement(void *context, const ProtobufCFieldDescriptor *field,
                           ProtobufCMessage **child)
{
    struct visit visit = *(const struct visit *)context;
    const ProtobufCMessageDescriptor *type = (*child)->descriptor;
    (void)field;
    if (type == &pg_query__select_stmt__descriptor)
        return walk_select(&visit, (PgQuery__SelectStmt *)*child);
    if (type == &pg_query__with_clause__descriptor)
        return true; /* walked before the rest of its query */
    if (type == &pg_query__column_ref__descriptor)
        shorten_column(visit.c, (PgQuery__ColumnRef *)*child);
    if (type == &pg_query__node__descriptor &&
        ((PgQuery__Node *)*child)->node_case == PG_QUERY__NODE__NODE_RANGE_VAR) {
        PgQuery__Node *node = (PgQuery__Node *)*child;
        bool done = walk_range(&visit, &node);
        *child = &node->base;
        return done;
    }
    return walk_children(*child, walk_statement, &visit);
}

static bool wants_json(const PgQuery__ExplainStmt *explain)
{
    for (size_t i = 0; i < explain->n_options; i++) {
        const PgQuery__DefElem *option = explain->options[i]->def_elem;
        const char *value = node_string(option->arg);
        if (strcmp(option->defname, "format") == 0 && value != NULL && strcmp(value, "json") == 0)
            return true;
    }
    return false;
}

static bool sum_charges(struct compile *c, struct plan *plan)
{
    struct dp_charge total = {.pure = c->levels.n > 0};
    for (size_t i = 0; i < c->levels.n + plan->n_bounds; i++) {
        const struct dp_charge *charge = i < c->levels.n
                                             ? &c->levels.items[i]->release->charge
                                             : &plan->relations[i - c->levels.n].release->charge;
        total.pure = total.pure && charge->pure;
        if (__builtin_add_overflow(total.mu2_pico, charge->mu2_pico, &total.mu2_pico) ||
            __builtin_add_overflow(total.delta_atto, charge->delta_atto, &total.delta_atto) ||
            __builtin_add_overflow(total.epsilon, charge->epsilon, &total.epsilon))
            return compile_refuse(c, -1, "54000", "the price is out of range", NULL,
                                  "Set dp.epsilon lower, or ask for less at once.");
    }
    plan->charge = total;
    return true;
}

static PgQuery__SelectStmt *top_query(PgQuery__Node *statement)
{
    PgQuery__Node *inner = classify_inner_query(statement);
    return inner->node_case == PG_QUERY__NODE__NODE_SELECT_STMT ? inner->select_stmt : NULL;
}

/* CREATE TABLE AS ... WITH NO DATA. */
static bool asks_for_no_data(const PgQuery__Node *statement)
{
    return statement->node_case == PG_QUERY__NODE__NODE_CREATE_TABLE_AS_STMT &&
           statement->create_table_as_stmt->into != NULL &&
           statement->create_table_as_stmt->into->skip_data;
}

static enum plan_shape shape_of(PgQuery__Node *statement)
{
    int kind = (int)statement->node_case;
    switch (kind) {
    case PG_QUERY__NODE__NODE_EXPLAIN_STMT:
        return PLAN_EXPLAIN;
    case PG_QUERY__NODE__NODE_COPY_STMT:
        return PLAN_COPY;
    case PG_QUERY__NODE__NODE_SELECT_STMT:
        return statement->select_stmt->into_clause != NULL ? PLAN_COMMAND : PLAN_ROWS;
    default:
        return PLAN_COMMAND;
    }
}

/* Each array's place is there once: a constant of the analyst's cannot be taken for one. */
static bool has_all_places(const struct compile *c, const char *sql)
{
    for (unsigned i = (unsigned)c->request->n_params + 1;
         c->shape == PLAN_COPY && i < c->next_param; i++) {
        const char *place = arena_printf(c->arena, PLAN_ARRAY, i);
        const char *first = strstr(sql, place);
        if (first == NULL || strstr(first + 1, place) != NULL)
            return false;
    }
    return true;
}

static bool make_plan(struct compile *c, PgQuery__RawStmt *raw, struct plan *plan)
{
    PgQuery__Node *statement = raw->stmt;
    plan->shape = c->shape;
    plan->database = c->catalog->database;
    auto_bounds_finish(c, plan);
    if (!interval_none_left(c, &raw->base) || !final_graft(c) || !sum_charges(c, plan))
        return false;
    raw->stmt_location = 0;
    raw->stmt_len = 0;
    PgQuery__ParseResult tree = PG_QUERY__PARSE_RESULT__INIT;
    tree.version = 150001;
    tree.n_stmts = 1;
    tree.stmts = &raw;
    const char *written = ast_deparse(c->arena, &tree);
    plan->final_sql = written != NULL ? ascii_sql(c->arena, written) : NULL;
    if (plan->final_sql == NULL || !has_all_places(c, plan->final_sql))
        return compile_refuse(
            c, -1, "0A000", "the final statement cannot be written",
            "The statement uses syntax that pgveil cannot write back.",
            "Put the private aggregate into a CREATE TEMP TABLE ... AS SELECT ... "
            "and query that.");
    plan->probe = c->probe;
    plan->provisional = c->request->may_know_more && plan->n_bounds > 0;
    plan->n_client_params = (unsigned)c->request->n_params;
    plan->fingerprint = fingerprint_releases(c);
    plan->also = c->also.items;
    plan->n_also = c->also.n;
    bool identified = plan->fingerprint != NULL;
    for (size_t i = 0; i < c->levels.n; i++) {
        struct release *release = c->levels.items[i]->release;
        const char *fingerprint = fingerprint_release(c->levels.items[i]);
        release->mechanism_json = fingerprint_mechanisms(c->levels.items[i]);
        identified = identified && fingerprint != NULL;
        if (!auto_bounds_decide(c->levels.items[i]))
            release->fingerprint = fingerprint;
    }
    if (!identified)
        return compile_refuse(c, -1, "53200", "the statement cannot be identified",
                              "SHA-256 is not to be had.", "Try again later.");
    if (plan->shape == PLAN_EXPLAIN)
        explain_plan(c, plan, wants_json(statement->explain_stmt));
    return true;
}

/* Constants that any level still wants, each once. */
static void gather_wanted(struct compile *c, struct compile_output *output)
{
    for (size_t i = 0; i < c->levels.n; i++) {
        const struct scope *scope = &c->levels.items[i]->scope;
        for (size_t k = 0; k < scope->n_wanted; k++) {
            bool known = false;
            for (size_t n = 0; n < c->wanted.n; n++)
                known |= c->wanted.items[n].type == scope->wanted[k].type &&
                         strcmp(c->wanted.items[n].literal, scope->wanted[k].literal) == 0;
            if (!known)
                VECTOR_PUSH(c->arena, &c->wanted, scope->wanted[k]);
        }
    }
    output->wanted = c->wanted.items;
    output->n_wanted = c->wanted.n;
}

/* What was not looked at was taken for something else: whatever came of it is not said. */
static bool looked_enough(struct compile *c)
{
    if (*c->looked <= LOOKED_MAX)
        return true;
    c->refusal = (struct refusal){0};
    c->wanted.n = 0;
    return compile_refuse(c, -1, "54001", "statement is too complex",
                          "Its WITH queries name each other too often.",
                          "Use fewer queries, or each of them once.");
}

void compile_statement(const struct compile_input *input, struct compile_output *output)
{
    struct compile *c = arena_alloc(input->arena, sizeof *c);
    c->arena = input->arena;
    c->request = input->request;
    c->catalog = input->request->catalog;
    c->source = input->source;
    c->names = input->names;
    c->n_names = input->n_names;
    c->looked = arena_alloc(c->arena, sizeof *c->looked);
    c->next_param = (unsigned)input->request->n_params + 1;
    c->resolved = arena_alloc(c->arena, (c->n_names + 1) * sizeof *c->resolved);
    bool concerned = false;
    for (size_t i = 0; i < c->n_names; i++) {
        c->resolved[i] = resolve(c->catalog, &c->names[i], input->request->resolved_oids[i]);
        concerned |= c->resolved[i].kind != NAME_OTHER && c->resolved[i].kind != NAME_PUBLIC;
    }
    output->result = PLAN_NOT_PRIVATE;
    if (!concerned)
        return;
    PgQuery__Node *statement = input->statement->stmt;
    PgQuery__SelectStmt *top = top_query(statement);
    c->shape = shape_of(statement);
    output->result = PLAN_REFUSED;
    if (!views_clear_databases(c, &input->statement->base)) {
        output->refusal = c->refusal;
        return;
    }
    c->probe = top != NULL && (probe_is(top) || asks_for_no_data(statement));
    struct visit visit = {c, NULL};
    ProtobufCMessage *root = &statement->base;
    bool done = walk_statement(&visit, NULL, &root);
    output->result = PLAN_REFUSED;
    struct plan *plan = arena_alloc(c->arena, sizeof *plan);
    if (!looked_enough(c))
        done = false;
    else if (c->pending && c->refusal.sqlstate[0] == '\0')
        gather_wanted(c, output);
    if (c->wanted.n > 0)
        output->result = PLAN_WANTS_CONSTANTS;
    else if (done && !c->pending && make_plan(c, input->statement, plan))
        output->result = PLAN_READY;
    output->plan = output->result == PLAN_READY ? plan : NULL;
    output->refusal = c->refusal;
}
