/*
 * What the catalogue must show before a measurement may leave out a bound: SQL over the system
 * catalogue, run in the measurement's own snapshot, that returns one true. Numbers and names are
 * those of the catalogue as it was read; a table that was replaced, a column that was renamed, an
 * index that is not valid, a key that was not validated or has its triggers off, or a child table
 * prove nothing.
 */
#include "parser/compile_internal.h"

#define EQUAL "OPERATOR(pg_catalog.=)"

/* The table is what the catalogue said it was: same name, ordinary, without children. */
static void prove_table(const struct catalog_table *table, struct text *out)
{
    text_printf(
        out,
        "EXISTS (SELECT 1 FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON "
        "n.oid " EQUAL " c.relnamespace WHERE c.oid " EQUAL " %u::pg_catalog.oid AND "
        "c.relkind " EQUAL " 'r'::pg_catalog.\"char\" AND n.nspname " EQUAL " ",
        table->oid);
    text_literal(out, table->schema);
    text_add(out, "::pg_catalog.name AND c.relname " EQUAL " ");
    text_literal(out, table->name);
    text_printf(
        out,
        "::pg_catalog.name) AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_inherits AS h WHERE "
        "h.inhparent " EQUAL " %u::pg_catalog.oid)",
        table->oid);
}

static void prove_column(const struct catalog_table *table, int column, struct text *out)
{
    text_printf(out,
                " AND EXISTS (SELECT 1 FROM pg_catalog.pg_attribute AS a WHERE a.attrelid " EQUAL
                " %u::pg_catalog.oid AND a.attnum " EQUAL " %d::pg_catalog.int2 AND NOT "
                "a.attisdropped AND a.attname " EQUAL " ",
                table->oid, table->columns[column].attnum);
    text_literal(out, table->columns[column].name);
    text_add(out, "::pg_catalog.name)");
}

static void prove_unique(const struct proof *proof, struct text *out)
{
    const struct catalog_unique *unique = proof->unique;
    prove_table(proof->table, out);
    for (size_t i = 0; i < unique->n_columns; i++)
        prove_column(proof->table, unique->columns[i], out);
    text_printf(out,
                " AND EXISTS (SELECT 1 FROM pg_catalog.pg_index AS i WHERE i.indexrelid " EQUAL
                " %u::pg_catalog.oid AND i.indrelid " EQUAL " %u::pg_catalog.oid AND i.indisunique "
                "AND i.indisvalid AND i.indimmediate AND i.indislive AND i.indpred IS NULL AND "
                "i.indexprs IS NULL AND i.indnkeyatts " EQUAL " %zu::pg_catalog.int2",
                unique->index_oid, proof->table->oid, unique->n_columns);
    for (size_t i = 0; i < unique->n_columns; i++)
        text_printf(out, " AND i.indkey[%zu] " EQUAL " %d::pg_catalog.int2", i,
                    proof->table->columns[unique->columns[i]].attnum);
    text_add(out, ")");
}

static void prove_foreign_key(const struct proof *proof, const struct catalog_table *root,
                              struct text *out)
{
    const struct catalog_foreign_key *key = proof->foreign_key;
    prove_table(proof->table, out);
    text_add(out, " AND ");
    prove_table(root, out);
    prove_column(proof->table, key->column, out);
    prove_column(root, root->unit_column, out);
    text_printf(out,
                " AND EXISTS (SELECT 1 FROM pg_catalog.pg_constraint AS f WHERE f.oid " EQUAL
                " %u::pg_catalog.oid AND f.contype " EQUAL " 'f'::pg_catalog.\"char\" AND "
                "f.convalidated AND f.conrelid " EQUAL " %u::pg_catalog.oid AND f.confrelid " EQUAL
                " %u::pg_catalog.oid AND f.conkey " EQUAL
                " '{%d}'::pg_catalog.int2[] AND f.confkey " EQUAL
                " '{%d}'::pg_catalog.int2[]) AND NOT EXISTS (SELECT 1 FROM "
                "pg_catalog.pg_trigger AS t WHERE t.tgconstraint " EQUAL " %u::pg_catalog.oid AND "
                "t.tgenabled OPERATOR(pg_catalog.<>) 'O'::pg_catalog.\"char\")",
                key->constraint_oid, proof->table->oid, root->oid,
                proof->table->columns[key->column].attnum, root->columns[root->unit_column].attnum,
                key->constraint_oid);
}

const char *proof_write(const struct level *level, bool unique)
{
    struct text out = text_new(level->compile->arena);
    const char *separator = "SELECT ";
    for (size_t i = 0; i < level->source.proofs.n; i++) {
        const struct proof *proof = &level->source.proofs.items[i];
        if (proof->unique != NULL && !unique)
            continue;
        text_add(&out, separator);
        separator = " AND ";
        if (proof->unique != NULL)
            prove_unique(proof, &out);
        else
            prove_foreign_key(proof, level->source.missing_root, &out);
    }
    return out.data;
}
