/* Catalogues as data: one line a column. */
#include "tests/support/catalogs.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct column_line {
    const char *name;
    enum type_oid type;
    const char *declared; /* NULL: by the type */
    bool not_null;
    bool bounded;
    long low, high;
    /* separated by |, ~: NULL; behind =: a constraint allows nothing else; NULL: none */
    const char *domain;
    int typmod; /* 0: -1 */
};

struct table_line {
    const char *name;
    uint32_t oid;
    const char *unit;   /* NULL: public */
    const char *parent; /* NULL: root */
    uint64_t max_rows, public_rows;
    const char *unique[2]; /* columns separated by |; NULL: none */
    const struct column_line *columns;
};

static const struct column_line census_people[] = {
    {"id", TYPE_INT4, NULL, true, false, 0, 0, NULL, 0},
    {"wage", TYPE_NUMERIC, "pg_catalog.numeric(8,2)", true, true, 0, 2000, NULL, (8 << 16) + 2 + 4},
    {"education", TYPE_INT4, NULL, true, true, 0, 20, NULL, 0},
    {"experience", TYPE_INT4, NULL, true, true, 0, 60, NULL, 0},
    {"ethnicity", TYPE_TEXT, NULL, true, false, 0, 0, "=afam|cauc", 0},
    {"smsa", TYPE_BOOL, NULL, true, false, 0, 0, "false|true", 0},
    {"region", TYPE_TEXT, NULL, true, false, 0, 0, "=midwest|northeast|south|west", 0},
    {"parttime", TYPE_BOOL, NULL, true, false, 0, 0, "false|true", 0},
    {0},
};
static const struct column_line census_regions[] = {
    {"region", TYPE_TEXT, NULL, true, false, 0, 0, NULL, 0},
    {"name", TYPE_TEXT, NULL, true, false, 0, 0, NULL, 0},
    {"states", TYPE_INT4, NULL, true, false, 0, 0, NULL, 0},
    {0},
};
static const struct table_line census[] = {
    {"people", 16401, "id", NULL, 1, 0, {"id", NULL}, census_people},
    {"regions", 16402, NULL, NULL, 0, 4, {"region", NULL}, census_regions},
    {0},
};

static const struct column_line panel_persons[] = {
    {"id", TYPE_INT4, NULL, true, false, 0, 0, NULL, 0},
    {"gender", TYPE_TEXT, NULL, true, false, 0, 0, "=female|male", 0},
    {"ethnicity", TYPE_TEXT, NULL, true, false, 0, 0, "=afam|other", 0},
    {"education", TYPE_INT4, NULL, true, true, 0, 20, NULL, 0},
    {0},
};
static const struct column_line panel_years[] = {
    {"person_id", TYPE_INT4, NULL, true, false, 0, 0, NULL, 0},
    {"year", TYPE_INT4, NULL, true, true, 1976, 1982, "=1976|1977|1978|1979|1980|1981|1982", 0},
    {"wage", TYPE_INT4, NULL, true, true, 0, 2000, NULL, 0},
    {"experience", TYPE_INT4, NULL, true, true, 0, 60, NULL, 0},
    {"weeks", TYPE_INT4, NULL, true, true, 0, 52, NULL, 0},
    {"occupation", TYPE_TEXT, NULL, true, false, 0, 0, "=blue|white", 0},
    {"manufacturing", TYPE_BOOL, NULL, true, false, 0, 0, "false|true", 0},
    {"south", TYPE_BOOL, NULL, true, false, 0, 0, "false|true", 0},
    {"smsa", TYPE_BOOL, NULL, true, false, 0, 0, "false|true", 0},
    {"married", TYPE_BOOL, NULL, true, false, 0, 0, "false|true", 0},
    {"union_member", TYPE_BOOL, NULL, true, false, 0, 0, "false|true", 0},
    {0},
};
static const struct table_line panel[] = {
    {"persons", 16501, "id", NULL, 1, 0, {"id", NULL}, panel_persons},
    {"years", 16502, "person_id", "persons", 7, 0, {"person_id|year", NULL}, panel_years},
    {0},
};

static const struct column_line clinic_codes[] = {
    {"code", TYPE_TEXT, NULL, true, false, 0, 0, NULL, 0},
    {"chapter", TYPE_TEXT, NULL, true, false, 0, 0, NULL, 0},
    {0},
};
static const struct column_line clinic_patients[] = {
    {"id", TYPE_INT4, NULL, true, false, 0, 0, NULL, 0},
    {"age", TYPE_INT4, NULL, false, true, 0, 120, NULL, 0},
    {"sex", TYPE_TEXT, NULL, false, false, 0, 0, "f|m|~", 0},
    {"city", TYPE_TEXT, NULL, false, false, 0, 0, NULL, 0},
    {"weight", TYPE_FLOAT8, NULL, false, true, 0, 250, NULL, 0},
    {"insured", TYPE_BOOL, NULL, false, false, 0, 0, "true|false", 0},
    {0},
};
static const struct column_line clinic_visits[] = {
    {"id", TYPE_INT8, NULL, true, false, 0, 0, NULL, 0},
    {"patient_id", TYPE_INT4, NULL, false, false, 0, 0, NULL, 0},
    {"day", TYPE_DATE, NULL, false, true, 7305, 9861, NULL, 0}, /* 2020-01-01 to 2026-12-31 */
    {"arrived", TYPE_TIMESTAMP, NULL, false, true, 7305 * 86400000000, 9862 * 86400000000, NULL, 0},
    {"cost", TYPE_NUMERIC, "pg_catalog.numeric(10,2)", false, true, 0, 5000, NULL,
     (10 << 16) + 2 + 4},
    {"code", TYPE_TEXT, NULL, false, false, 0, 0, "A00|C50|I10|J45|K35", 0},
    {"Ward No", TYPE_INT2, NULL, false, false, 0, 0, "1|2|3|4", 0},
    {"minutes", TYPE_INT4, NULL, false, true, 0, 600, NULL, 0},
    {"note", TYPE_VARCHAR, "pg_catalog.varchar(40)", false, false, 0, 0, NULL, 40 + 4},
    {0},
};
static const struct table_line clinic[] = {
    {"icd_codes", 16601, NULL, NULL, 0, 5, {"code", NULL}, clinic_codes},
    {"patients", 16602, "id", NULL, 1, 0, {"id", NULL}, clinic_patients},
    {"visits", 16603, "patient_id", "patients", 60, 0, {"id", NULL}, clinic_visits},
    {0},
};

static const struct {
    const char *name;
    const struct table_line *tables;
} datasets[] = {{"census", census}, {"panel", panel}, {"clinic", clinic}};

static void *make(size_t count, size_t size)
{
    void *made = calloc(count + 1, size);
    assert(made != NULL);
    return made;
}

static char *copy(const char *text)
{
    char *made = strdup(text);
    assert(made != NULL);
    return made;
}

static const char *type_name(enum type_oid type)
{
    static const struct {
        enum type_oid type;
        const char *name;
    } names[] = {{TYPE_BOOL, "bool"},          {TYPE_INT2, "int2"},       {TYPE_INT4, "int4"},
                 {TYPE_INT8, "int8"},          {TYPE_TEXT, "text"},       {TYPE_VARCHAR, "varchar"},
                 {TYPE_FLOAT8, "float8"},      {TYPE_NUMERIC, "numeric"}, {TYPE_DATE, "date"},
                 {TYPE_TIMESTAMP, "timestamp"}};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (names[i].type == type)
            return names[i].name;
    assert(!"type of a catalogue");
    return "";
}

static void fill_domain(struct catalog_column *column, const char *domain)
{
    bool checked = domain[0] == '=';
    char *texts = copy(domain + checked), *rest = texts, *entry;
    column->domain_complete = checked || column->type.oid == TYPE_BOOL;
    column->domain = make(16, sizeof *column->domain);
    while ((entry = strsep(&rest, "|")) != NULL)
        column->domain[column->n_domain++] = strcmp(entry, "~") == 0 ? NULL : copy(entry);
    free(texts);
}

static void fill_column(struct catalog_column *column, const struct column_line *line, int attnum)
{
    const char *name = type_name(line->type);
    char builtin[64] = "pg_catalog.";
    strncat(builtin, name, sizeof builtin - strlen(builtin) - 1);
    *column = (struct catalog_column){.name = copy(line->name),
                                      .attnum = attnum,
                                      .not_null = line->not_null,
                                      .deterministic = true};
    column->type = (struct catalog_type){
        .oid = line->type,
        .typmod = line->typmod == 0 ? -1 : line->typmod,
        .schema = copy("pg_catalog"),
        .name = copy(name),
        .declared = copy(line->declared != NULL ? line->declared : builtin),
    };
    if (line->bounded) {
        struct policy_bounds *bounds = make(1, sizeof *bounds);
        bounds->kind = line->type == TYPE_DATE        ? POLICY_BOUND_DATE
                       : line->type == TYPE_TIMESTAMP ? POLICY_BOUND_TIMESTAMP
                                                      : POLICY_BOUND_NUMBER;
        bounds->low = dp_decimal_from_int(line->low);
        bounds->high = dp_decimal_from_int(line->high);
        column->bounds = bounds;
    }
    if (line->domain != NULL)
        fill_domain(column, line->domain);
}

static int column_number(const struct catalog_table *table, const char *name)
{
    for (size_t i = 0; i < table->n_columns; i++)
        if (strcmp(table->columns[i].name, name) == 0)
            return (int)i;
    assert(!"column of a catalogue");
    return -1;
}

static void fill_unique(struct catalog_table *table, const char *columns)
{
    struct catalog_unique *unique = &table->unique[table->n_unique];
    char *texts = copy(columns), *rest = texts, *entry;
    unique->columns = make(4, sizeof *unique->columns);
    unique->index_oid = table->oid + 100 + (uint32_t)table->n_unique++;
    while ((entry = strsep(&rest, "|")) != NULL)
        unique->columns[unique->n_columns++] = column_number(table, entry);
    free(texts);
}

static void fill_table(struct catalog *catalog, const struct table_line *line)
{
    struct catalog_table *table = &catalog->tables[catalog->n_tables++];
    *table = (struct catalog_table){.oid = line->oid,
                                    .schema = copy("public"),
                                    .name = copy(line->name),
                                    .is_public = line->unit == NULL,
                                    .unit_column = -1,
                                    .parent = -1,
                                    .max_rows = line->max_rows,
                                    .public_rows = line->public_rows,
                                    .twin_oid = line->oid + CATALOGS_TWIN_OFFSET};
    while (line->columns[table->n_columns].name != NULL)
        table->n_columns++;
    table->columns = make(table->n_columns, sizeof *table->columns);
    for (size_t i = 0; i < table->n_columns; i++)
        fill_column(&table->columns[i], &line->columns[i], (int)i + 1);
    table->unique = make(2, sizeof *table->unique);
    for (size_t i = 0; i < 2 && line->unique[i] != NULL; i++)
        fill_unique(table, line->unique[i]);
    if (line->unit != NULL)
        table->unit_column = column_number(table, line->unit);
    table->foreign_keys = make(1, sizeof *table->foreign_keys);
    for (size_t i = 0; line->parent != NULL && i < catalog->n_tables; i++) {
        if (strcmp(catalog->tables[i].name, line->parent) != 0)
            continue;
        table->parent = (int)i;
        table->n_foreign_keys = 1;
        table->foreign_keys[0] = (struct catalog_foreign_key){table->oid + 200, table->unit_column,
                                                              catalog->tables[i].oid};
    }
}

/* Copies are never freed; what is remembered here is no leak. */
static void remember(const void *made)
{
    static const void *kept[256];
    static size_t n;
    assert(n < sizeof kept / sizeof kept[0]);
    kept[n++] = made;
}

struct catalog *catalogs_copy(const char *dataset)
{
    for (size_t i = 0; i < sizeof datasets / sizeof datasets[0]; i++) {
        if (strcmp(datasets[i].name, dataset) != 0)
            continue;
        struct catalog *catalog = make(1, sizeof *catalog);
        struct policy *policy = make(1, sizeof *policy);
        strcpy(policy->version, "test");
        policy->minimum_units = 1;
        remember(catalog);
        remember(policy);
        catalog->dataset = copy(dataset);
        catalog->database = copy("cluster 1 database 2");
        catalog->policy = policy;
        catalog->hash_seed = 42;
        catalog->tables = make(8, sizeof *catalog->tables);
        for (const struct table_line *line = datasets[i].tables; line->name != NULL; line++)
            fill_table(catalog, line);
        return catalog;
    }
    return NULL;
}

const struct catalog *catalogs_get(const char *dataset)
{
    static struct catalog *made[sizeof datasets / sizeof datasets[0]];
    for (size_t i = 0; i < sizeof datasets / sizeof datasets[0]; i++) {
        if (strcmp(datasets[i].name, dataset) != 0)
            continue;
        if (made[i] == NULL)
            made[i] = catalogs_copy(dataset);
        return made[i];
    }
    return NULL;
}

struct catalog_table *catalogs_table(struct catalog *catalog, const char *name)
{
    for (size_t i = 0; i < catalog->n_tables; i++)
        if (strcmp(catalog->tables[i].name, name) == 0)
            return &catalog->tables[i];
    return NULL;
}

void catalogs_find_bounds(struct catalog *catalog, const char *table, const char *column,
                          const struct policy_automatic *policy)
{
    struct catalog_table *of = catalogs_table(catalog, table);
    struct catalog_column *found = &of->columns[column_number(of, column)];
    const char *wrong = NULL;
    free((void *)(uintptr_t)found->bounds);
    found->bounds = NULL;
    found->is_automatic = true;
    bool fits = catalog_automatic_find(&found->type, policy, &found->automatic, &wrong);
    assert(fits);
    (void)fits;
}

uint32_t catalogs_resolve(const struct catalog *catalog, const char *schema, const char *name)
{
    if (schema != NULL && strcmp(schema, "dp") == 0 &&
        (strcmp(name, "budget") == 0 || strcmp(name, "history") == 0))
        return CATALOGS_TWIN_OFFSET - 1;
    if (schema != NULL && strcmp(schema, "public") != 0)
        return 0;
    const struct catalog_table *table = catalog_find(catalog, "public", name);
    return table == NULL ? 0 : table->twin_oid;
}
