/*
 * A dataset's policy: tables, their privacy unit and contribution bounds, their columns. Checks all
 * that the file alone can say; what the catalogue must confirm is left to the catalogue's reader.
 * The first error ends the reading, and the half-read policy is freed.
 */
#include "config/policy.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/json.h"
#include "config/policy_value.h"

#define CONTRIBUTION_MAX 1000000000

static bool read_column(const struct json_place *place, struct policy_column *column)
{
    static const char *const accepted[] = {"bounds", "domain", NULL};
    if (!policy_parse_column_name(place, place->key, &column->name) ||
        !json_only_keys(place, accepted))
        return false;
    struct json_place bounds = json_get(place, "bounds"), domain = json_get(place, "domain");
    if (bounds.value && policy_wants_automatic(&bounds)) {
        column->automatic = calloc(1, sizeof *column->automatic);
        if (!column->automatic)
            return json_fail(&bounds, "out of memory");
        if (!policy_read_automatic(&bounds, column->automatic))
            return false;
    } else if (bounds.value) {
        column->bounds = calloc(1, sizeof *column->bounds);
        if (!column->bounds)
            return json_fail(&bounds, "out of memory");
        if (!policy_read_bounds(&bounds, column->bounds))
            return false;
    }
    return !domain.value || policy_read_domain(&domain, column);
}

static const struct policy_column *find_column(const struct policy_table *table, const char *name)
{
    for (size_t i = 0; i < table->n_columns; i++) {
        if (strcmp(table->columns[i].name, name) == 0)
            return &table->columns[i];
    }
    return NULL;
}

static bool read_columns(const struct json_place *place, struct policy_table *table)
{
    const char *key;
    json_t *value;
    if (!json_is_object(place->value) || json_object_size(place->value) == 0)
        return json_fail(place, "is %s; accepted: an object with at least one column",
                         json_is_object(place->value) ? "empty" : json_kind(place->value));
    table->columns = calloc(json_object_size(place->value), sizeof *table->columns);
    if (!table->columns)
        return json_fail(place, "out of memory");
    json_object_foreach(place->value, key, value)
    {
        struct json_place member = json_member(place, key, value);
        struct policy_column column = {0};
        bool read = read_column(&member, &column);
        bool repeated = read && find_column(table, column.name);
        table->columns[table->n_columns++] = column;
        if (repeated)
            return json_fail(&member, "names a column a second time; accepted: one entry each");
        if (!read)
            return false;
    }
    return true;
}

static bool read_unit(const struct json_place *place, struct policy_table *table)
{
    static const char *const accepted[] = {"column", "references", NULL};
    const char *text;
    if (json_is_string(place->value))
        return policy_parse_column_name(place, json_string_value(place->value), &table->unit);
    if (!json_is_object(place->value))
        return json_fail(place,
                         "is %s; accepted: a column's name, or "
                         "{\"column\": name, \"references\": table}",
                         json_kind(place->value));
    struct json_place column = json_get(place, "column");
    struct json_place references = json_get(place, "references");
    if (!json_only_keys(place, accepted))
        return false;
    if (!column.value)
        return json_fail(&column, "is missing; accepted: a column's name");
    if (!references.value)
        return json_fail(&references, "is missing; accepted: a table's name");
    return json_read_text(&column, &text) &&
           policy_parse_column_name(&column, text, &table->unit) &&
           json_read_text(&references, &text) &&
           policy_parse_table_name(&references, text, &table->ref_schema, &table->ref_name);
}

static bool read_contribution(const struct json_place *table, const char *key, uint64_t *out)
{
    struct json_place place = json_get(table, key);
    return !place.value || json_read_count(&place, 1, CONTRIBUTION_MAX, out);
}

static bool read_private_table(const struct json_place *place, struct policy_table *table)
{
    struct json_place unit = json_get(place, "unit"), columns = json_get(place, "columns");
    if (!unit.value)
        return json_fail(&unit, "is missing; accepted: the column of the privacy unit, or "
                                "\"public\": true for a table without private rows");
    if (!columns.value)
        return json_fail(&columns, "is missing; accepted: an object with at least one column");
    if (!read_unit(&unit, table) || !read_columns(&columns, table) ||
        !read_contribution(place, "max_rows", &table->max_rows) ||
        !read_contribution(place, "max_groups", &table->max_groups) ||
        !read_contribution(place, "max_rows_per_group", &table->max_rows_per_group))
        return false;
    if (!find_column(table, table->unit))
        return json_fail(&unit,
                         "names \"%s\", which is not among the columns; "
                         "accepted: a column of this table",
                         table->unit);
    if (table->max_rows == 0 && (table->max_groups == 0 || table->max_rows_per_group == 0))
        return json_fail(place, "leaves the rows of one unit unbounded; accepted: max_rows, or "
                                "max_groups and max_rows_per_group");
    return true;
}

static bool read_public_table(const struct json_place *place, struct policy_table *table)
{
    static const char *const excluded[] = {"unit", "max_rows", "max_groups", "max_rows_per_group",
                                           NULL};
    for (size_t i = 0; excluded[i]; i++) {
        struct json_place key = json_get(place, excluded[i]);
        if (key.value)
            return json_fail(&key, "has no meaning in a public table; accepted: public, hidden, "
                                   "columns");
    }
    struct json_place columns = json_get(place, "columns");
    if (columns.value && !read_columns(&columns, table))
        return false;
    for (size_t i = 0; i < table->n_columns; i++)
        if (table->columns[i].automatic)
            return json_fail(&columns,
                             "asks for automatic bounds of \"%s\" in a public table; accepted: "
                             "[low, high], or none",
                             table->columns[i].name);
    return true;
}

static bool read_view(const struct json_place *place)
{
    static const char *const accepted[] = {"view", "hidden", NULL};
    const char *key;
    json_t *value;
    json_object_foreach(place->value, key, value)
    {
        struct json_place member = json_member(place, key, value);
        if (strcmp(key, accepted[0]) != 0 && strcmp(key, accepted[1]) != 0)
            return json_fail(&member, "has no meaning in a view, which has what its definition "
                                      "reads; accepted: view, hidden");
    }
    return true;
}

static bool read_table(const struct json_place *place, struct policy_table *table)
{
    static const char *const accepted[] = {
        "unit",   "columns", "max_rows", "max_groups", "max_rows_per_group",
        "public", "hidden",  "view",     NULL};
    if (!policy_parse_table_name(place, place->key, &table->schema, &table->name) ||
        !json_only_keys(place, accepted))
        return false;
    struct json_place is_public = json_get(place, "public"), hidden = json_get(place, "hidden");
    struct json_place is_view = json_get(place, "view");
    if (is_public.value && !json_read_bool(&is_public, &table->is_public))
        return false;
    if (hidden.value && !json_read_bool(&hidden, &table->hidden))
        return false;
    if (is_view.value && !json_read_bool(&is_view, &table->is_view))
        return false;
    if (table->is_view)
        return read_view(place);
    return table->is_public ? read_public_table(place, table) : read_private_table(place, table);
}

static bool read_tables(const struct json_place *place, struct policy *policy)
{
    const char *key;
    json_t *value;
    if (!json_is_object(place->value) || json_object_size(place->value) == 0)
        return json_fail(place, "is %s; accepted: an object with at least one table",
                         !place->value                  ? "missing"
                         : json_is_object(place->value) ? "empty"
                                                        : json_kind(place->value));
    policy->tables = calloc(json_object_size(place->value), sizeof *policy->tables);
    if (!policy->tables)
        return json_fail(place, "out of memory");
    json_object_foreach(place->value, key, value)
    {
        struct json_place member = json_member(place, key, value);
        struct policy_table table = {0};
        bool read = read_table(&member, &table);
        bool repeated = read && policy_find_table(policy, table.schema, table.name);
        policy->tables[policy->n_tables++] = table;
        if (repeated)
            return json_fail(&member, "names a table a second time; accepted: one entry each");
        if (!read)
            return false;
    }
    return true;
}

static struct json_place table_place(const struct json_place *tables, size_t index)
{
    void *at = json_object_iter(tables->value);
    for (size_t i = 0; i < index; i++)
        at = json_object_iter_next(tables->value, at);
    return json_member(tables, json_object_iter_key(at), json_object_iter_value(at));
}

/* Follows the references of one private table to a table that has none. */
static bool find_root(const struct policy *policy, const struct json_place *place,
                      const struct policy_table *table, const struct policy_table **root)
{
    for (size_t steps = 0; table->ref_name; steps++) {
        const struct policy_table *next =
            policy_find_table(policy, table->ref_schema, table->ref_name);
        if (!next || next->is_public || next->is_view)
            return json_fail(place,
                             "the unit references %s.%s, which is %s; accepted: a private "
                             "table of this policy",
                             table->ref_schema, table->ref_name,
                             !next             ? "not in the policy"
                             : next->is_public ? "public"
                                               : "a view");
        if (steps >= policy->n_tables)
            return json_fail(place, "the references of the unit turn in a circle; accepted: a "
                                    "chain that ends at the table of the privacy units");
        table = next;
    }
    *root = table;
    return true;
}

static bool check_references(const struct json_place *tables, const struct policy *policy)
{
    const struct policy_table *root = NULL;
    for (size_t i = 0; i < policy->n_tables; i++) {
        const struct policy_table *table = &policy->tables[i], *found = NULL;
        struct json_place place = table_place(tables, i);
        struct json_place unit = json_get(&place, "unit");
        if (table->is_public || table->is_view)
            continue;
        if (!find_root(policy, &unit, table, &found))
            return false;
        if (root && root != found)
            return json_fail(&unit,
                             "leads to %s.%s while other tables lead to %s.%s; accepted: "
                             "one kind of privacy unit in a policy",
                             found->schema, found->name, root->schema, root->name);
        root = found;
    }
    return root || json_fail(tables, "has no private table; accepted: at least one with a unit");
}

static const char *const epoch_names[] = {
    [POLICY_EPOCH_DAY] = "day",     [POLICY_EPOCH_HOUR] = "hour", [POLICY_EPOCH_WEEK] = "week",
    [POLICY_EPOCH_MONTH] = "month", [POLICY_EPOCH_NONE] = "none",
};

const char *policy_epoch_name(enum policy_epoch epoch)
{
    return epoch_names[epoch];
}

static bool read_epoch(const struct json_place *place, enum policy_epoch *epoch)
{
    const char *text;
    if (!json_read_text(place, &text))
        return false;
    for (size_t i = 0; i < sizeof epoch_names / sizeof epoch_names[0]; i++) {
        if (strcmp(text, epoch_names[i]) == 0) {
            *epoch = (enum policy_epoch)i;
            return true;
        }
    }
    return json_fail(place, "is no span of time; accepted: hour, day, week, month, none");
}

static bool read_policy(const struct json_place *top, struct policy *policy)
{
    static const char *const accepted[] = {"tables", "minimum_units", "reuse", "epoch", NULL};
    struct json_place tables = json_get(top, "tables"), minimum = json_get(top, "minimum_units");
    struct json_place reuse = json_get(top, "reuse"), epoch = json_get(top, "epoch");
    policy->minimum_units = 1;
    policy->reuse = true;
    policy->epoch = POLICY_EPOCH_DAY;
    return json_only_keys(top, accepted) &&
           (!minimum.value || json_read_count(&minimum, 1, 1000000, &policy->minimum_units)) &&
           (!reuse.value || json_read_bool(&reuse, &policy->reuse)) &&
           (!epoch.value || read_epoch(&epoch, &policy->epoch)) && read_tables(&tables, policy) &&
           check_references(&tables, policy);
}

static bool hash(const char *bytes, size_t length, char version[65])
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned digest_length = 0;
    if (EVP_Digest(bytes, length, digest, &digest_length, EVP_sha256(), NULL) != 1 ||
        digest_length != 32)
        return false;
    for (unsigned i = 0; i < digest_length; i++)
        snprintf(version + (size_t)2 * i, 3, "%02x", digest[i]);
    return true;
}

struct policy *policy_read(const char *path, struct config_error *error)
{
    char *bytes = NULL;
    size_t length = 0;
    bool done = false;
    json_t *value = json_read_file(path, &bytes, &length, error);
    if (!value)
        return NULL;
    struct json_place top = json_top(path, value, error);
    struct policy *policy = calloc(1, sizeof *policy);
    if (!policy || !(policy->file = strdup(path)) || !hash(bytes, length, policy->version))
        json_fail(&top, "out of memory");
    else
        done = read_policy(&top, policy);
    free(bytes);
    json_decref(value);
    if (!done) {
        policy_free(policy);
        policy = NULL;
    }
    return policy;
}

static void free_table(struct policy_table *table)
{
    for (size_t i = 0; i < table->n_columns; i++) {
        struct policy_column *column = &table->columns[i];
        for (size_t j = 0; j < column->n_domain; j++)
            free(column->domain[j]);
        free(column->domain);
        free(column->bounds);
        free(column->automatic);
        free(column->name);
    }
    free(table->columns);
    free(table->schema);
    free(table->name);
    free(table->unit);
    free(table->ref_schema);
    free(table->ref_name);
}

void policy_free(struct policy *policy)
{
    if (!policy)
        return;
    for (size_t i = 0; i < policy->n_tables; i++)
        free_table(&policy->tables[i]);
    free(policy->tables);
    free(policy->file);
    free(policy);
}

const struct policy_table *policy_find_table(const struct policy *policy, const char *schema,
                                             const char *name)
{
    for (size_t i = 0; i < policy->n_tables; i++) {
        const struct policy_table *table = &policy->tables[i];
        if (strcmp(table->schema, schema) == 0 && strcmp(table->name, name) == 0)
            return table;
    }
    return NULL;
}
