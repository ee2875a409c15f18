/*
 * A level with some of its measures alone: what is measured where the others are kept, and what a
 * single measure is.
 */
#include <string.h>

#include "parser/compile_internal.h"

/* What a count of the expression counts, where no sum of it stands beside: NULL, every row. */
static const struct expr *counted(const struct expr *expr)
{
    uint32_t type = expr_type(expr)->oid;
    bool always =
        expr_not_null(expr) && type != TYPE_FLOAT4 && type != TYPE_FLOAT8 && type != TYPE_NUMERIC;
    return always ? NULL : expr;
}

static int add_value(struct level *part, const struct row_value *value)
{
    for (size_t i = 0; i < part->values.n; i++) {
        const struct row_value *other = &part->values.items[i];
        if (other->expr == value->expr && other->condition == value->condition &&
            other->summed == value->summed && other->measure == value->measure &&
            other->distinct == value->distinct)
            return (int)i;
    }
    VECTOR_PUSH(part->compile->arena, &part->values, *value);
    return (int)part->values.n - 1;
}

struct level *level_part(const struct level *level, const bool *chosen)
{
    struct level *part = arena_alloc(level->compile->arena, sizeof *part);
    size_t place[MEASURES_MAX] = {0};
    *part = *level;
    part->n_measures = 0;
    memset(&part->values, 0, sizeof part->values);
    for (size_t i = 0; i < level->n_measures; i++) {
        if (!chosen[i])
            continue;
        place[i] = part->n_measures;
        part->measures[part->n_measures++] = level->measures[i];
    }
    for (size_t i = 0; i < part->n_measures; i++) {
        struct level_measure *measure = &part->measures[i];
        measure->partner = place[measure->partner];
        if (measure->value < 0)
            continue;
        struct row_value value = level->values.items[measure->value];
        if (value.summed && chosen[value.measure]) {
            value.measure = place[value.measure];
        } else if (value.summed) { /* a count that looked at the column of a sum */
            value = (struct row_value){.expr = counted(value.expr), .condition = value.condition};
        }
        measure->value =
            value.expr == NULL && value.condition == NULL ? -1 : add_value(part, &value);
    }
    return part;
}
