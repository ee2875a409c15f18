#include "parser/distinct.h"

bool distinct_any(const struct level *level)
{
    bool any = false;
    for (size_t i = 0; i < level->values.n; i++)
        any |= level->values.items[i].distinct != NULL;
    return any;
}

uint64_t distinct_possible(const struct expr *expr)
{
    const uint32_t type = expr_type(expr)->oid;
    enum { SCALE_MAX = 9 };
    const struct dp_decimal most = dp_decimal_from_int(UINT32_MAX), one = dp_decimal_from_int(1);
    struct dp_decimal low, high, size;
    size_t relation;
    const struct catalog_column *column = expr_column(expr, &relation);
    if (type == TYPE_BOOL)
        return 2;
    if (column != NULL && column->n_domain > 0)
        return column->n_domain;
    int scale = type == TYPE_DATE ? 0 : expr_scale(expr);
    struct dp_decimal steps = {1, 0};
    for (int i = 0; i < scale && i <= SCALE_MAX; i++)
        steps.digits *= 10;
    if (scale < 0 || scale > SCALE_MAX || !expr_bounds(expr, &low, &high) ||
        !dp_decimal_subtract(&high, &low, &size) || !dp_decimal_multiply(&size, &steps, &size) ||
        dp_decimal_compare(&size, &most) >= 0 || !dp_decimal_divide(&size, &one, 0, false, &size))
        return 0;
    return (uint64_t)size.digits + 1;
}

/* Of the values of a unit and group how many count; 0: as many as there are. */
static uint64_t kept(const struct distinct_rows *rows, size_t value)
{
    const struct row_value *own = &rows->level->values.items[value];
    uint64_t possible = own->possible;
    if (own->distinct == NULL || possible == 0)
        return own->distinct == NULL ? 0 : rows->values;
    return rows->values == 0 || possible < rows->values ? possible : rows->values;
}

static void list_keys(const struct level *level, const char *before, struct text *out)
{
    for (size_t i = 0; i < level->n_keys; i++)
        text_printf(out, "%s\"k%zu\"", before, i + 1);
}

/* "d1": which of its unit's values in the group; "group": which of its unit's groups. Equal values
 * have one number, and NULL is the last. */
static void write_numbered(const struct distinct_rows *rows, struct text *out)
{
    text_add(out, "SELECT *");
    for (size_t i = 0; i < rows->level->values.n; i++) {
        if (kept(rows, i) == 0)
            continue;
        text_add(out, ", pg_catalog.dense_rank() OVER (PARTITION BY \"u\"");
        list_keys(rows->level, ", ", out);
        text_printf(out,
                    " ORDER BY \"v%zu\" IS NULL, pg_catalog.hashtextextended(ROW(\"u\", \"v%zu\")"
                    "::pg_catalog.text COLLATE pg_catalog.\"C\", $%zu::pg_catalog.int8), \"v%zu\" "
                    "COLLATE pg_catalog.\"C\") AS \"d%zu\"",
                    i + 1, i + 1, rows->seed, i + 1, i + 1);
    }
    if (rows->window != 0)
        text_printf(out,
                    ", pg_catalog.dense_rank() OVER (PARTITION BY \"u\" ORDER BY %s) AS \"group\"",
                    rows->group_order);
    text_printf(out, " FROM (%s) AS \"cut\"", rows->sql);
}

/* Distinct values that are not kept become NULL. */
static void write_kept(const struct distinct_rows *rows, struct text *out)
{
    text_add(out, "SELECT \"u\"");
    list_keys(rows->level, ", ", out);
    for (size_t i = 0; i < rows->level->values.n; i++) {
        if (kept(rows, i) == 0)
            text_printf(out, ", \"v%zu\"", i + 1);
        else
            text_printf(out,
                        ", CASE WHEN \"d%zu\" OPERATOR(pg_catalog.<=) %llu THEN \"v%zu\" END AS "
                        "\"v%zu\"",
                        i + 1, (unsigned long long)kept(rows, i), i + 1, i + 1);
    }
    text_add(out, " FROM (");
    write_numbered(rows, out);
    text_add(out, ") AS \"ordered\"");
    if (rows->window != 0)
        text_printf(out, " WHERE \"group\" OPERATOR(pg_catalog.<=) %llu",
                    (unsigned long long)rows->window);
}

void distinct_write(const struct distinct_rows *rows, struct text *out)
{
    text_add(out, "SELECT \"u\"");
    list_keys(rows->level, ", ", out);
    for (size_t i = 0; i < rows->level->values.n; i++) {
        if (rows->level->values.items[i].distinct == NULL) {
            text_printf(out, ", \"v%zu\"", i + 1);
            continue;
        }
        text_printf(out,
                    ", CASE WHEN \"v%zu\" IS NOT NULL AND pg_catalog.row_number() OVER (PARTITION "
                    "BY ",
                    i + 1);
        for (size_t key = 0; key < rows->level->n_keys; key++)
            text_printf(out, "\"k%zu\", ", key + 1);
        text_printf(out, "\"v%zu\") OPERATOR(pg_catalog.=) 1 THEN 1 END AS \"v%zu\"", i + 1, i + 1);
    }
    text_add(out, " FROM (");
    write_kept(rows, out);
    text_add(out, ") AS \"kept\"");
}
