/*
 * Which contribution bounds a measurement enforces, and what one unit can change then. With at most
 * C rows of a unit in all, R in one group and L groups, a unit moves a vector of row counts by at
 * most sqrt(min(L, ceil(C / R))) * min(R, C), and nothing here is assumed that the SQL of
 * measurement.c does not enforce:
 *
 *   cut        keeps C rows of a unit
 *   window     keeps L groups of a unit
 *   per_group  lets a unit weigh R rows in a group
 */
#include <string.h>

#include "parser/compile_internal.h"
#include "parser/ownership.h"
#include "parser/walk.h"

static uint64_t smaller(uint64_t a, uint64_t b)
{
    if (a == 0 || b == 0)
        return a == 0 ? b : a; /* 0: no bound */
    return a < b ? a : b;
}

static uint64_t divide_up(uint64_t a, uint64_t b)
{
    return a / b + (a % b != 0);
}

/* Does every column of the node depend on the unit alone? *proof: only if its table has one row a
 * unit, which must be proved. */
struct dependence {
    const struct level *level;
    bool on_unit, needs_proof;
};

static bool depends(void *context, const ProtobufCFieldDescriptor *field, ProtobufCMessage **child)
{
    struct dependence *found = context;
    (void)field;
    if ((*child)->descriptor != &pg_query__node__descriptor)
        return walk_children(*child, depends, context);
    size_t relation;
    int column;
    if (!from_column(found->level, (const PgQuery__Node *)*child, &relation, &column))
        return walk_children(*child, depends, context);
    const struct scope_relation *source = &found->level->source.relations[relation];
    if (source->table->is_public || source->nullable ||
        !ownership_is_direct(found->level->compile->catalog, source->table)) {
        found->on_unit = false;
    } else if (source->table->unit_column != column) {
        bool unique = false;
        for (size_t i = 0; i < found->level->source.proofs.n; i++)
            unique |= found->level->source.proofs.items[i].table == source->table &&
                      found->level->source.proofs.items[i].unique != NULL;
        found->on_unit &= unique;
        found->needs_proof = true;
    }
    return true;
}

static bool refuse_unbounded(struct level *level)
{
    return compile_refuse(level->compile, -1, "42501",
                          "the policy does not bound what one person may contribute",
                          "Neither max_rows nor both of max_groups and max_rows_per_group are "
                          "declared for the tables of this query.",
                          "Ask the administrator to declare max_rows.");
}

/* One group in all, or one a unit: weights bound it, and no row is lost by a cut. */
static bool single_group(struct level *level, uint64_t window)
{
    const struct source *source = &level->source;
    struct bounding *bounding = &level->bounding;
    uint64_t most = smaller(source->rows, source->rows_per_group);
    if (most == 0)
        return refuse_unbounded(level);
    *bounding = (struct bounding){.window = window,
                                  .per_group = most,
                                  .delta = most,
                                  .groups = 1,
                                  .unit_groups = 1,
                                  .window_proved = window != 0};
    return true;
}

static bool many_groups(struct level *level)
{
    const struct source *source = &level->source;
    struct bounding *bounding = &level->bounding;
    uint64_t rows = source->rows, groups = source->groups;
    uint64_t most = smaller(rows, source->rows_per_group);
    if (most == 0 || (rows == 0 && groups == 0))
        return refuse_unbounded(level);
    uint64_t spread = rows == 0 ? 0 : divide_up(rows, most); /* groups that C rows can fill */
    bool private_keys = !level->public_keys;
    bool window =
        groups != 0 && (spread == 0 || groups < spread || (private_keys && groups < rows));
    *bounding = (struct bounding){
        .cut = rows,
        .window = window ? groups : 0,
        .per_group = rows == 0 || most < rows ? most : 0,
        .delta = most,
        .groups = smaller(spread, window ? groups : 0),
        .unit_groups = smaller(rows, window ? groups : 0),
    };
    /* Groups and rows per group bound it all: no row need be lost. */
    if (window && bounding->groups == groups && source->rows_per_group != 0 && most < rows)
        bounding->cut = 0;
    return true;
}

bool bounding_choose(struct level *level)
{
    struct dependence found = {level, true, false};
    if (level->n_keys == 0)
        return single_group(level, 0);
    if (level->source.rows == 1)
        return many_groups(level);
    for (size_t i = 0; i < level->n_keys; i++) {
        ProtobufCMessage *node = &level->keys[i].node->base;
        depends(&found, NULL, &node);
    }
    if (found.on_unit)
        return single_group(level, found.needs_proof ? 1 : 0);
    return many_groups(level);
}

void bounding_at_most(const struct bounding *bounding, uint64_t most, uint64_t *delta,
                      uint64_t *groups)
{
    *delta = bounding->delta;
    *groups = bounding->groups;
    if (most == 0 || most >= bounding->delta)
        return;
    *delta = most;
    /* Without a cut and a window the groups are one, or one a unit. */
    if (bounding->cut != 0)
        *groups = smaller(divide_up(bounding->cut, most), bounding->window);
}
