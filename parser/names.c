/*
 * Collecting relation names. A WITH clause's names are seen by what follows in the same clause (by
 * all of it where it is RECURSIVE) and by the rest of its statement. Targets of INSERT, UPDATE,
 * DELETE and INTO are never common table expressions.
 */
#include "parser/names.h"

#include <string.h>

#include "parser/walk.h"

const struct cte_scope *cte_scope_find(const struct cte_scope *scope,
                                       const PgQuery__RangeVar *range)
{
    if (range->schemaname != NULL && range->schemaname[0] != '\0')
        return NULL;
    while (scope != NULL && strcmp(scope->name, range->relname) != 0)
        scope = scope->outer;
    return scope;
}

static bool same(const char *a, const char *b)
{
    return strcmp(a == NULL ? "" : a, b == NULL ? "" : b) == 0;
}

int names_find(const struct statement_name *names, size_t n, const PgQuery__RangeVar *range)
{
    for (size_t i = 0; i < n; i++)
        if (same(names[i].schema, range->schemaname) && same(names[i].name, range->relname))
            return (int)i;
    return -1;
}

PgQuery__WithClause *names_with_clause(ProtobufCMessage *message)
{
    if (message->descriptor == &pg_query__node__descriptor)
        return NULL;
    for (unsigned i = 0; i < message->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &message->descriptor->fields[i];
        if (field->descriptor != &pg_query__with_clause__descriptor ||
            field->label == PROTOBUF_C_LABEL_REPEATED ||
            (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF))
            continue;
        PgQuery__WithClause *with;
        memcpy(&with, (const char *)message + field->offset, sizeof with);
        return with;
    }
    return NULL;
}

struct collector {
    struct name_list *list;
    const struct cte_scope *scope;
};

static void add(struct name_list *list, const PgQuery__RangeVar *range)
{
    if (names_find(list->names, list->n, range) >= 0)
        return;
    if (list->n == list->capacity) {
        size_t capacity = list->capacity == 0 ? 8 : 2 * list->capacity;
        struct statement_name *names = arena_alloc(list->arena, capacity * sizeof *names);
        if (list->n > 0)
            memcpy(names, list->names, list->n * sizeof *names);
        list->names = names;
        list->capacity = capacity;
    }
    bool qualified = range->schemaname != NULL && range->schemaname[0] != '\0';
    list->names[list->n++] = (struct statement_name){
        .schema = qualified ? arena_strdup(list->arena, range->schemaname) : NULL,
        .name = arena_strdup(list->arena, range->relname),
    };
}

static bool collect(void *context, const ProtobufCFieldDescriptor *field, ProtobufCMessage **child);

/* The queries of a WITH clause, each under the names that it sees; *scope becomes what the rest of
 * the statement sees. */
static void collect_with(struct collector *outer, PgQuery__WithClause *with,
                         const struct cte_scope **scope)
{
    struct arena *arena = outer->list->arena;
    const struct cte_scope *seen = *scope;
    for (int pass = with->recursive ? 0 : 1; pass < 2; pass++) {
        for (size_t i = 0; i < with->n_ctes; i++) {
            PgQuery__CommonTableExpr *cte = with->ctes[i]->common_table_expr;
            struct collector inner = {outer->list, seen};
            if (pass == 1)
                walk_children(&cte->base, collect, &inner);
            if (pass == 0 || !with->recursive) {
                struct cte_scope *more = arena_alloc(arena, sizeof *more);
                *more = (struct cte_scope){.outer = seen, .name = cte->ctename};
                seen = more;
            }
        }
    }
    *scope = seen;
}

static bool collect(void *context, const ProtobufCFieldDescriptor *field, ProtobufCMessage **child)
{
    struct collector inner = *(const struct collector *)context;
    ProtobufCMessage *message = *child;
    const ProtobufCMessageDescriptor *type = message->descriptor;
    /* Aliases of the FROM clause, and the WITH clause that its statement has collected already. */
    if (type == &pg_query__locking_clause__descriptor || type == &pg_query__with_clause__descriptor)
        return true;
    if (type == &pg_query__range_var__descriptor) {
        const PgQuery__RangeVar *range = (const PgQuery__RangeVar *)message;
        bool target = strcmp(field->name, "relation") == 0 || strcmp(field->name, "rel") == 0;
        if (target || cte_scope_find(inner.scope, range) == NULL)
            add(inner.list, range);
        return true;
    }
    PgQuery__WithClause *with = names_with_clause(message);
    if (with != NULL)
        collect_with(&inner, with, &inner.scope);
    return walk_children(message, collect, &inner);
}

void names_collect(struct name_list *list, ProtobufCMessage *root)
{
    struct collector collector = {list, NULL};
    static const ProtobufCFieldDescriptor none = {.name = ""};
    collect(&collector, &none, &root);
}
