/*
 * The SQL of a histogram, from the inside out:
 *
 *   cut      the rows that count, with the number of their value's bin: "u", "k1".., "v1"
 *   spread   how many of a unit's rows in a group lie in a bin: "n"
 *   placed   of how many in all: "c"; which bin is the first; how many groups came before
 *   answer   the weight of each bin of each group
 *
 * Every unit weighs the same in a group, whatever the number of its rows: each of its c values
 * weighs unit_weight / c, without the fraction, and the first bin gets the remainder. Rows without
 * a value are not there to begin with. What a unit adds is a function of the multiset of its own
 * rows, as in measurement.c, and nothing can fail: c is at least one.
 */
#include <string.h>

#include "parser/measurement.h"

#define DIVIDED_BY "OPERATOR(pg_catalog./)"
#define TIMES "OPERATOR(pg_catalog.*)"
#define PLUS "OPERATOR(pg_catalog.+)"
#define MINUS "OPERATOR(pg_catalog.-)"

static void write_spread(const struct form *form, struct text *out)
{
    text_add(out, "SELECT \"u\"");
    measurement_list_keys(form, out, ", ");
    text_add(out, ", \"v1\", pg_catalog.count(*) AS \"n\" FROM (");
    measurement_write_cut(form, out);
    text_add(out, ") AS \"cut\" GROUP BY \"u\"");
    measurement_list_keys(form, out, ", ");
    text_add(out, ", \"v1\"");
}

static void write_placed(const struct form *form, struct text *out)
{
    text_add(out, "SELECT *, pg_catalog.sum(\"n\") OVER \"own\"::pg_catalog.int8 AS \"c\", "
                  "pg_catalog.min(\"v1\") OVER \"own\" AS \"first\"");
    if (form->window != 0) {
        text_add(out, ", pg_catalog.dense_rank() OVER (PARTITION BY \"u\" ORDER BY ");
        measurement_write_order(form, true, false, out);
        text_add(out, ") AS \"group\"");
    }
    text_add(out, " FROM (");
    write_spread(form, out);
    text_add(out, ") AS \"spread\" WINDOW \"own\" AS (PARTITION BY \"u\"");
    measurement_list_keys(form, out, ", ");
    text_add(out, ")");
}

static void write_weight(const struct form *form, unsigned long long weight, struct text *out)
{
    if (form->unique) {
        text_printf(out, "(pg_catalog.count(*) " TIMES " '%llu'::pg_catalog.int8)", weight);
        return;
    }
    const char *each =
        arena_printf(out->arena, "('%llu'::pg_catalog.int8 " DIVIDED_BY " \"c\")", weight);
    text_printf(out,
                "pg_catalog.sum((\"n\" " TIMES " %s) " PLUS " CASE WHEN \"v1\" " EQUAL
                " \"first\" THEN '%llu'::pg_catalog.int8 " MINUS " (\"c\" " TIMES
                " %s) ELSE 0 END)",
                each, weight, each);
}

static void write_answer(const struct form *form, unsigned long long weight, struct text *out)
{
    text_add(out, "SELECT ");
    for (size_t i = 0; i < form->level->n_keys; i++)
        text_printf(out, "\"k%zu\", ", i + 1);
    text_add(out, "\"v1\"::pg_catalog.text AS \"bin\", ");
    write_weight(form, weight, out);
    text_add(out, "::pg_catalog.text AS \"weight\" FROM (");
    if (form->unique)
        measurement_write_cut(form, out);
    else
        write_placed(form, out);
    text_add(out, ") AS \"answer\"");
    if (!form->unique && form->window != 0)
        text_printf(out, " WHERE \"group\" " LESS_EQUAL " %llu", (unsigned long long)form->window);
    text_add(out, " GROUP BY ");
    for (size_t i = 0; i < form->level->n_keys; i++)
        text_printf(out, "\"k%zu\", ", i + 1);
    text_add(out, "\"v1\" ORDER BY ");
    for (size_t i = 0; i < form->level->n_keys; i++)
        text_printf(out, "\"k%zu\" COLLATE pg_catalog.\"C\" NULLS LAST, ", i + 1);
    text_add(out, "\"v1\"");
}

const char *histogram_write(struct form form, const struct level_histogram *histogram)
{
    struct arena *arena = form.level->compile->arena;
    struct level *alone = arena_alloc(arena, sizeof *alone); /* the argument is its only value */
    struct row_value value = {
        .expr = histogram->expr, .condition = histogram->condition, .bins = &histogram->bins};
    *alone = *form.level;
    memset(&alone->values, 0, sizeof alone->values);
    VECTOR_PUSH(arena, &alone->values, value);
    form.level = alone;
    struct text out = text_new(arena);
    write_answer(&form, histogram->unit_weight, &out);
    return out.data;
}
