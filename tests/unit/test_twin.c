#include <criterion/criterion.h>
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proxy/managed.h"
#include "proxy/twin.h"
#include "tests/support/pg_server.h"

/* A protected database with two kinds of trap: names that need quoting, and data in the schema. */
static const char protected_sql[] =
    "CREATE SCHEMA \"My Schema\";"
    "CREATE TYPE public.mood AS ENUM ('sad', 'it''s \\ok', 'happy');"
    "CREATE DOMAIN public.money_amount AS numeric(10,2) CHECK (VALUE <> 4711);"
    "CREATE TABLE public.people (id int PRIMARY KEY, sex text, age int NOT NULL CHECK (age <> 477),"
    "  secret text DEFAULT 'Bob', email varchar(40) UNIQUE, mood public.mood, moods public.mood[]);"
    "CREATE TABLE \"My Schema\".\"a.\"\"b\" (person int REFERENCES public.people, day date,"
    "  cost public.money_amount, note text, UNIQUE (person, day));"
    "CREATE TABLE public.codes (code text PRIMARY KEY, label text, weight float8);"
    "CREATE TABLE public.unlisted (x int);"
    "CREATE VIEW public.v AS SELECT * FROM public.people;"
    "COMMENT ON COLUMN public.people.age IS 'Bob is 42';"
    "INSERT INTO public.people SELECT i, 'f', i, 'x', i || '@x', 'sad', '{sad}'"
    "  FROM generate_series(1, 100) i;"
    "INSERT INTO \"My Schema\".\"a.\"\"b\" SELECT i, '2024-01-01', i, 'n'"
    "  FROM generate_series(1, 100) i;"
    "INSERT INTO public.codes VALUES ('A', E'tab\\there \\\\ back', 1e-300), ('B', NULL, 'NaN');"
    "CREATE ROLE reader LOGIN;"
    "GRANT USAGE ON SCHEMA \"My Schema\" TO reader;"
    "GRANT SELECT ON ALL TABLES IN SCHEMA public, \"My Schema\" TO reader";

static struct pg_server server;
static struct event_base *base;
static struct managed *twins;
static char state[64], error[512], source[192];

/* Policies hold mutable text; a test's ends with its process. */
static char *name(const char *text)
{
    static char names[4096];
    static size_t used;
    char *copy = names + used;
    used += strlen(text) + 1;
    cr_assert_leq(used, sizeof names);
    return strcpy(copy, text);
}

static struct policy_bounds age_bounds = {POLICY_BOUND_NUMBER, {0, 0}, {1200, 1}};
static struct policy_bounds day_bounds = {POLICY_BOUND_DATE, {7305, 0}, {9862, 0}};

static struct policy policy;
static struct policy_table tables[4];
static struct policy_column columns[3][8];
static char *keys[3][3];

/* The policy of most tests; they change one thing in it. */
static void make_policy(void)
{
    policy.minimum_units = 1;
    policy.n_tables = 3;
    policy.tables = tables;
    struct policy_table *people = &policy.tables[0], *visits = &policy.tables[1];
    struct policy_table *codes = &policy.tables[2];
    people->schema = name("public");
    people->name = name("people");
    people->unit = name("id");
    people->max_rows = 1;
    people->n_columns = 5;
    people->columns = columns[0];
    people->columns[0].name = name("id");
    people->columns[1].name = name("sex");
    people->columns[1].n_domain = 3;
    people->columns[1].domain = keys[0];
    people->columns[1].domain[0] = name("f");
    people->columns[1].domain[1] = name("m \"\\x");
    people->columns[2].name = name("age");
    people->columns[2].bounds = &age_bounds;
    people->columns[3].name = name("mood");
    people->columns[4].name = name("moods");
    visits->schema = name("My Schema");
    visits->name = name("a.\"b");
    visits->unit = name("person");
    visits->ref_schema = name("public");
    visits->ref_name = name("people");
    visits->max_rows = 50;
    visits->n_columns = 3;
    visits->columns = columns[1];
    visits->columns[0].name = name("person");
    visits->columns[1].name = name("day");
    visits->columns[1].bounds = &day_bounds;
    visits->columns[2].name = name("cost");
    codes->schema = name("public");
    codes->name = name("codes");
    codes->is_public = true;
}

static char dataset_name[] = "census of \"88\"";
static struct config_dataset dataset = {.name = dataset_name, .server = source};

static void start(void)
{
    drop_root();
    pg_server_start(&server, NULL);
    pg_server_run(&server, "postgres", protected_sql);
    snprintf(source, sizeof source, "host=%s user=reader dbname=postgres", server.directory);
    make_policy();
}

static void stop(void)
{
    pg_server_stop(&server);
}

static void start_twins(void)
{
    start();
    strcpy(state, "/tmp/pgveil-test-XXXXXX");
    cr_assert_not_null(mkdtemp(state));
    base = event_base_new();
    twins = managed_start(base, MANAGED_TWINS, state, NULL, 0, 20, error);
    cr_assert_not_null(twins, "%s", error);
}

static void stop_twins(void)
{
    char command[128];
    managed_stop(twins);
    event_base_free(base);
    snprintf(command, sizeof command, "rm -rf '%s'", state);
    cr_assert_eq(system(command), 0);
    stop();
}

TestSuite(catalog_read, .init = start, .fini = stop, .timeout = 60);
TestSuite(twin, .init = start_twins, .fini = stop_twins, .timeout = 60);

/* Reading */

static struct catalog *read_catalog(void)
{
    struct catalog *catalog = catalog_read(&dataset, &policy, 7, error);
    cr_assert_not_null(catalog, "%s", error);
    return catalog;
}

static void refuses(const char *expected)
{
    struct catalog *catalog = catalog_read(&dataset, &policy, 7, error);
    cr_assert_null(catalog, "expected: %s", expected);
    cr_assert_not_null(strstr(error, expected), "\"%s\" in \"%s\"", expected, error);
}

Test(catalog_read, facts_of_tables_and_types)
{
    struct catalog *catalog = read_catalog();
    const struct catalog_table *people = catalog_find(catalog, "public", "people");
    const struct catalog_table *visits = catalog_find(catalog, "My Schema", "a.\"b");
    const struct catalog_table *codes = catalog_find(catalog, "public", "codes");
    cr_assert_not_null(people);
    cr_assert_not_null(visits);
    cr_assert_not_null(codes);
    cr_assert_eq(people->unit_column, 0);
    cr_assert_eq(people->parent, -1);
    cr_assert_eq(people->n_columns, 5);
    cr_assert_eq(people->n_unique, 1, "the one over an unlisted column proves nothing");
    cr_assert_eq(people->unique[0].n_columns, 1);
    cr_assert_eq(people->unique[0].columns[0], 0);
    cr_assert_not(people->has_children);
    cr_assert(people->columns[2].not_null);
    cr_assert_eq(people->columns[2].bounds, &age_bounds);
    cr_assert(people->columns[3].type.is_enum);
    cr_assert_str_eq(people->columns[3].type.declared, "public.mood");
    cr_assert_not(people->columns[4].type.is_enum);
    cr_assert_str_eq(people->columns[4].type.declared, "public.mood[]");
    cr_assert_eq(visits->parent, 0);
    cr_assert_eq(visits->parent_key, 0);
    cr_assert_eq(visits->n_unique, 1);
    cr_assert_eq(visits->unique[0].n_columns, 2);
    cr_assert_eq(visits->n_foreign_keys, 1);
    cr_assert_eq(visits->foreign_keys[0].ref_table_oid, people->oid);
    cr_assert_eq(visits->columns[2].type.oid, TYPE_NUMERIC, "a domain is its base type");
    cr_assert_str_eq(visits->columns[2].type.declared, "pg_catalog.numeric(10,2)");
    cr_assert(codes->is_public);
    cr_assert_eq(codes->n_columns, 3);
    cr_assert_eq(codes->public_rows, 2);
    cr_assert_eq(codes->unit_column, -1);
    catalog_free(catalog);
}

Test(catalog_read, domains_become_canonical_text)
{
    struct policy_column *column = &policy.tables[1].columns[2];
    column->n_domain = 2;
    column->domain = keys[1];
    column->domain[0] = name("007.5");
    struct catalog *catalog = read_catalog();
    const struct catalog_column *cost = &catalog->tables[1].columns[2];
    cr_assert_str_eq(cost->domain[0], "7.50");
    cr_assert_null(cost->domain[1]);
    catalog_free(catalog);
    column->domain[1] = name("7.50");
    refuses("two keys of its domain are the same value");
    column->domain[1] = name("7.505");
    refuses("is not a value of type pg_catalog.numeric(10,2)");
    column->domain[1] = name("seven");
    refuses("is not a value");
    column->n_domain = 0;
    column = &policy.tables[0].columns[3];
    column->n_domain = 1;
    column->domain = keys[2];
    column->domain[0] = name("angry");
    refuses("is not a value of type public.mood");
}

Test(catalog_read, what_does_not_exist_or_may_not_be_read_is_named)
{
    char *name_before = policy.tables[0].name;
    policy.tables[0].name = name("nobody");
    refuses("no table public.nobody");
    policy.tables[0].name = name("v");
    refuses("not an ordinary or partitioned table");
    policy.tables[0].name = name_before;
    policy.tables[0].columns[3].name = name("nothing");
    refuses("table public.people has no column nothing");
    policy.tables[0].columns[3].name = name("mood");
    pg_server_run(&server, "postgres",
                  "REVOKE SELECT ON people FROM reader; GRANT SELECT (id, sex, age, moods) ON "
                  "people TO reader");
    refuses("column mood: the role that pgveil logs in with may not read it");
    pg_server_run(&server, "postgres", "GRANT SELECT (mood) ON people TO reader");
    catalog_free(read_catalog());
    snprintf(source, sizeof source, "host=%s user=nobody dbname=postgres", server.directory);
    refuses("cannot connect to the protected server");
}

Test(catalog_read, bounds_must_fit_the_type)
{
    policy.tables[0].columns[1].bounds = &age_bounds;
    refuses(
        "column sex of type pg_catalog.text cannot have bounds; accepted: bounds of numbers, dates, "
        "timestamps and intervals (as seconds)");
    policy.tables[0].columns[1].bounds = NULL;
    policy.tables[0].columns[2].bounds = &day_bounds;
    refuses("its bounds are dates (\"2020-01-31\"); accepted: numbers");
}

Test(catalog_read, units_need_a_type_in_which_equal_means_identical)
{
    static const char *const types[] = {"float8", "char(5)",      "interval",          "numeric",
                                        "bool",   "numeric(5,1)", "text COLLATE loose"};
    pg_server_run(&server, "postgres",
                  "CREATE COLLATION loose (provider = icu, locale = 'und-u-ks-level2', "
                  "deterministic = false); DROP VIEW v; DROP TABLE \"My Schema\".\"a.\"\"b\"");
    policy.n_tables = 1;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        char sql[256];
        snprintf(sql, sizeof sql,
                 "ALTER TABLE people DROP COLUMN id; ALTER TABLE people ADD COLUMN id %s",
                 types[i]);
        pg_server_run(&server, "postgres", sql);
        refuses("cannot be the privacy unit");
    }
    pg_server_run(&server, "postgres",
                  "ALTER TABLE people DROP COLUMN id; ALTER TABLE people ADD id numeric(9,0)");
    catalog_free(read_catalog());
}

Test(catalog_read, keys_along_the_path_have_exactly_one_type)
{
    pg_server_run(&server, "postgres",
                  "ALTER TABLE \"My Schema\".\"a.\"\"b\" ALTER person TYPE bigint");
    refuses("unit column person of type pg_catalog.int8 refers to public.people.id of type "
            "pg_catalog.int4; accepted: exactly the same type");
}

Test(catalog_read, a_foreign_key_to_another_column_than_the_unit_is_refused)
{
    pg_server_run(&server, "postgres",
                  "ALTER TABLE people ADD other int UNIQUE; UPDATE people SET other = 1000 - id;"
                  "ALTER TABLE \"My Schema\".\"a.\"\"b\" DROP CONSTRAINT \"a.\"\"b_person_fkey\", "
                  "ADD FOREIGN KEY (person) REFERENCES people (other) NOT VALID");
    refuses("to the unit column there");
}

/* public.parts belong to visits, which belong to people. */
static void add_grandchild(void)
{
    struct policy_table *parts = &policy.tables[policy.n_tables++];
    parts->schema = name("public");
    parts->name = name("parts");
    parts->unit = name("visit");
    parts->ref_schema = name("My Schema");
    parts->ref_name = name("a.\"b");
    parts->max_rows = 100;
    parts->n_columns = 1;
    parts->columns = columns[2];
    parts->columns[0].name = name("visit");
    struct policy_table *visits = &policy.tables[1];
    visits->columns[visits->n_columns++].name = name("nr");
    pg_server_run(&server, "postgres",
                  "ALTER TABLE \"My Schema\".\"a.\"\"b\" ADD nr serial;"
                  "CREATE TABLE parts (visit int); GRANT SELECT ON parts TO reader");
}

Test(catalog_read, longer_paths_lead_through_unique_keys_only)
{
    add_grandchild();
    refuses("it is not clear which column of My Schema.a.\"b its unit column visit refers to");
    pg_server_run(&server, "postgres",
                  "ALTER TABLE \"My Schema\".\"a.\"\"b\" ADD PRIMARY KEY (nr)");
    struct catalog *catalog = read_catalog();
    cr_assert_eq(catalog->tables[3].parent, 1);
    cr_assert_eq(catalog->tables[3].parent_key, 3);
    catalog_free(catalog);
    pg_server_run(&server, "postgres", "CREATE TABLE heir () INHERITS (\"My Schema\".\"a.\"\"b\")");
    refuses("which is not unique");
}

Test(catalog_read, only_what_proves_uniqueness_counts)
{
    pg_server_run(&server, "postgres",
                  "CREATE UNIQUE INDEX ON people (sex) WHERE age > 1000;"
                  "CREATE UNIQUE INDEX ON people (abs(age));"
                  "ALTER TABLE people ADD UNIQUE (age) DEFERRABLE INITIALLY DEFERRED;"
                  "CREATE UNIQUE INDEX ON people (age) INCLUDE (sex);"
                  "CREATE TABLE heir () INHERITS (people)");
    struct catalog *catalog = read_catalog();
    const struct catalog_table *people = &catalog->tables[0];
    cr_assert_eq(people->n_unique, 2);
    cr_assert_eq(people->unique[1].n_columns, 1);
    cr_assert_eq(people->unique[1].columns[0], 2);
    cr_assert(people->has_children);
    catalog_free(catalog);
}

Test(catalog_read, foreign_keys_count_only_when_validated)
{
    pg_server_run(&server, "postgres",
                  "ALTER TABLE \"My Schema\".\"a.\"\"b\" DROP CONSTRAINT \"a.\"\"b_person_fkey\", "
                  "ADD FOREIGN KEY (person) REFERENCES people NOT VALID");
    struct catalog *catalog = read_catalog();
    cr_assert_eq(catalog->tables[1].n_foreign_keys, 0);
    cr_assert_eq(catalog->tables[1].parent_key, 0);
    catalog_free(catalog);
}

Test(catalog_read, row_security_and_strange_types_are_refused)
{
    pg_server_run(&server, "postgres",
                  "ALTER TABLE people ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON people USING "
                  "(id < 50)");
    refuses("row-level security applies");
    pg_server_run(&server, "postgres",
                  "ALTER ROLE reader BYPASSRLS; CREATE TYPE pair AS (a int, b int); ALTER TABLE "
                  "people ADD odd pair");
    catalog_free(read_catalog());
    policy.tables[0].columns[policy.tables[0].n_columns++].name = name("odd");
    refuses("the type public.pair is not supported");
}

/* Building */

static PGconn *connect_twin(const char *user, const char *database)
{
    const char *keywords[] = {"host", "user", "dbname", NULL};
    const char *values[] = {managed_socket_directory(twins), user, database, NULL};
    return PQconnectdbParams(keywords, values, 0);
}

static char admin[512];
/* Of the last twin built. */
static uint32_t twin_oid;
static char twin_database[64];

static struct twin_keeper *try_build(const struct config_dataset *what, struct catalog *catalog)
{
    snprintf(admin, sizeof admin, "%s dbname=postgres", managed_conninfo(twins));
    return twin_build(admin, what, catalog, error);
}

/* As an instance that ends afterwards. */
static void build_with(struct catalog *catalog)
{
    struct twin_keeper *keeper = try_build(&dataset, catalog);
    cr_assert_not_null(keeper, "%s", error);
    twin_oid = catalog->twin_database_oid;
    snprintf(twin_database, sizeof twin_database, "%s", catalog->twin_database);
    twin_keeper_free(keeper);
}

static void build(void)
{
    struct catalog *catalog = read_catalog();
    build_with(catalog);
    catalog_free(catalog);
}

static void make_analyst(const char *analyst)
{
    char *sql = twin_role_sql(analyst, twin_database, twin_oid, NULL);
    PGconn *conn = connect_twin("pgveil_admin", "postgres");
    for (int i = 0; i < 2; i++) {
        PGresult *result = PQexec(conn, sql);
        cr_assert_eq(PQresultStatus(result), PGRES_COMMAND_OK, "%s", PQerrorMessage(conn));
        PQclear(result);
    }
    PQfinish(conn);
    free(sql);
}

/* First value, "" for a command or no row, or the SQLSTATE. */
static const char *ask(PGconn *conn, const char *sql)
{
    static char text[256];
    PGresult *result = PQexec(conn, sql);
    if (PQresultStatus(result) == PGRES_TUPLES_OK)
        snprintf(text, sizeof text, "%s", PQntuples(result) > 0 ? PQgetvalue(result, 0, 0) : "");
    else if (PQresultStatus(result) == PGRES_COMMAND_OK)
        text[0] = '\0';
    else
        snprintf(text, sizeof text, "%s",
                 PQresultErrorField(result, PG_DIAG_SQLSTATE) != NULL
                     ? PQresultErrorField(result, PG_DIAG_SQLSTATE)
                     : "lost");
    PQclear(result);
    return text;
}

static PGconn *connect_analyst(void)
{
    make_analyst("ada \"o'k\"");
    PGconn *conn = connect_twin("ada \"o'k\"", dataset.name);
    cr_assert_eq(PQstatus(conn), CONNECTION_OK, "%s", PQerrorMessage(conn));
    return conn;
}

Test(twin, public_rows_are_there_and_private_ones_are_not)
{
    struct catalog *catalog = read_catalog();
    build_with(catalog);
    PGconn *conn = connect_analyst();
    char sql[128];
    cr_assert_str_eq(ask(conn, "SELECT string_agg(codes::text, ';' ORDER BY code) FROM codes"),
                     "(A,\"tab\there \\\\ back\",1e-300);(B,,NaN)");
    for (size_t i = 0; i < catalog->n_tables; i++) {
        snprintf(sql, sizeof sql, "SELECT relname FROM pg_class WHERE oid = %u",
                 catalog->tables[i].twin_oid);
        cr_assert_str_eq(ask(conn, sql), catalog->tables[i].name);
    }
    cr_assert_str_eq(ask(conn, "SELECT count(*) FROM pg_attribute WHERE attrelid = "
                               "'people'::regclass AND attnum > 0"),
                     "5", "unlisted columns do not exist");
    cr_assert_str_eq(ask(conn, "SELECT secret FROM people"), "42703");
    cr_assert_str_eq(ask(conn, "SELECT * FROM unlisted"), "42P01");
    cr_assert_str_eq(ask(conn, "SELECT (enum_range(NULL::mood))[2]"), "it's \\ok");
    PQfinish(conn);
    conn = connect_twin("pgveil_admin", dataset.name);
    cr_assert_str_eq(ask(conn, "SELECT count(*) FROM people"), "0");
    cr_assert_str_eq(ask(conn, "SELECT count(*) FROM \"My Schema\".\"a.\"\"b\""), "0");
    cr_assert_str_eq(
        ask(conn, "SELECT count(*) FROM pg_constraint WHERE contype = 'c' AND conrelid >= 16384"),
        "0");
    cr_assert_str_eq(ask(conn, "SELECT count(*) FROM pg_attrdef"), "0");
    cr_assert_str_eq(ask(conn, "SELECT string_agg(pg_get_constraintdef(oid), '; ' ORDER BY oid) "
                               "FROM pg_constraint WHERE conrelid >= 16384"),
                     "PRIMARY KEY (id); UNIQUE (person, day); PRIMARY KEY (code); FOREIGN KEY "
                     "(person) REFERENCES people(id) NOT VALID");
    PQfinish(conn);
    catalog_free(catalog);
}

Test(twin, types_arrive_with_their_modifiers)
{
    static const char sql[] =
        "SELECT string_agg(format_type(atttypid, atttypmod), ', ' ORDER BY attname) "
        "FROM pg_attribute WHERE attrelid = 'types'::regclass AND attnum > 0";
    char expected[2048];
    pg_server_run(
        &server, "postgres",
        "CREATE TABLE types (c01 smallint, c02 bigint, c03 numeric, c04 numeric(5,2), c05 "
        "numeric(3,-2), c06 real, c07 float8, c08 varchar, c09 varchar(7), c10 char(3), "
        "c11 text, c12 \"char\", c13 name, c14 bytea, c15 bool, c16 uuid, c17 date, c18 "
        "time(3), c19 timetz, c20 timestamp(0), c21 timestamptz, c22 interval, c23 "
        "bit(5), c24 varbit(9), c25 inet, c26 json, c27 jsonb, c28 int4range, c29 point, "
        "c30 numeric(7,1)[], c31 varchar(4)[], c32 text[], c33 money, c34 xml, c35 oid, "
        "c36 tsvector); GRANT SELECT ON types TO reader");
    tables[2].name = name("types");
    PGconn *conn = PQconnectdb(server.conninfo);
    PGresult *result = PQexec(conn, sql);
    snprintf(expected, sizeof expected, "%s", PQgetvalue(result, 0, 0));
    PQclear(result);
    PQfinish(conn);
    build();
    conn = connect_twin("pgveil_admin", dataset.name);
    result = PQexec(conn, sql);
    cr_assert_str_eq(PQgetvalue(result, 0, 0), expected);
    cr_assert_gt(strlen(expected), 400);
    PQclear(result);
    PQfinish(conn);
}

Test(twin, whatever_reaches_a_private_table_raises_the_guard)
{
    static const char *const statements[] = {
        "SELECT count(*) FROM people",
        "SELECT 1 FROM people LIMIT 0",
        "TABLE people",
        "SELECT * FROM people WHERE false",
        "COPY people TO STDOUT",
        "COPY (SELECT * FROM people) TO STDOUT",
        "EXPLAIN SELECT * FROM people",
        "CREATE TEMP TABLE mine AS SELECT * FROM people",
        "SELECT (SELECT count(*) FROM people)",
        "SELECT * FROM codes LEFT JOIN people ON false",
        "WITH p AS (SELECT * FROM people) SELECT 1 FROM p",
        "DECLARE c CURSOR WITH HOLD FOR SELECT * FROM people",
        "SELECT * FROM \"My Schema\".\"a.\"\"b\"",
        "SELECT * FROM dp.budget",
        "SELECT * FROM dp.history",
        "SELECT * FROM mine_view",
    };
    build();
    PGconn *conn = connect_analyst();
    cr_assert_str_eq(ask(conn, "CREATE TEMP VIEW mine_view AS SELECT * FROM people"), "");
    for (size_t i = 0; i < sizeof statements / sizeof *statements; i++)
        cr_assert_str_eq(ask(conn, statements[i]), "0A000", "%s", statements[i]);
    cr_assert_str_eq(ask(conn, "SET row_security = off"), "");
    for (size_t i = 0; i < sizeof statements / sizeof *statements; i++)
        cr_assert_str_eq(ask(conn, statements[i]), "42501", "%s", statements[i]);
    cr_assert_str_eq(ask(conn, "RESET row_security"), "");
    static const char *const writes[] = {
        "INSERT INTO people (id, age) VALUES (1, 1)",
        "DELETE FROM people",
        "TRUNCATE people",
        "INSERT INTO codes VALUES ('x')",
        "UPDATE codes SET label = ''",

        "ALTER TABLE people DISABLE ROW LEVEL SECURITY",
        "CREATE TABLE t (x int)",
        "CREATE TABLE public.t (x int)",
        "CREATE SCHEMA s",
        "DROP TABLE codes",
        "CREATE FUNCTION pg_temp.f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "DO 'BEGIN END'",
        "CREATE ROLE x",
        "CREATE DATABASE x",
        "ALTER SYSTEM SET work_mem = '1GB'",
        "COPY codes FROM '/etc/passwd'",
        "COPY codes TO PROGRAM 'cat'",
        "SET ROLE pgveil_admin",

        "SELECT lo_create(1)",
        "SELECT pg_notify('x', 'y')",
        "SELECT pg_advisory_lock(1)",
        "SELECT pg_try_advisory_lock_shared(1)",
        "SELECT query_to_xml('SELECT 1', true, true, '')",
        "SELECT txid_current()",
        "SELECT pg_current_wal_lsn()",
        "SELECT * FROM pg_stat_activity",
        "SELECT * FROM pg_locks",
        "SELECT * FROM pg_stat_database",
        "SELECT * FROM pg_db_role_setting",
        "SELECT * FROM ts_stat('SELECT 1')",
        "SELECT pg_read_file('/etc/passwd')",
        "SELECT pg_export_snapshot()",
        "SELECT * FROM pg_stat_get_activity(NULL)",
        "SELECT * FROM pg_authid",
        "SELECT * FROM pg_largeobject_metadata",
        "ALTER ROLE pgveil_analyst CONNECTION LIMIT 0",
        "CREATE EXTENSION dblink",
        "SELECT dp.private_rows('x') UNION SELECT pg_stat_get_db_numbackends(1) > 0",
    };
    for (size_t i = 0; i < sizeof writes / sizeof *writes; i++) {
        const char *sqlstate = ask(conn, writes[i]);
        cr_assert(strcmp(sqlstate, "42501") == 0 || strcmp(sqlstate, "0A000") == 0, "%s: %s",
                  writes[i], sqlstate);
    }
    PQfinish(conn);
}

Test(twin, parse_and_describe_of_private_statements_work)
{
    build();
    PGconn *conn = connect_analyst();
    PGresult *result =
        PQprepare(conn, "s", "SELECT sex, avg(age) FROM people WHERE age > $1 GROUP BY 1", 0, NULL);
    cr_assert_eq(PQresultStatus(result), PGRES_COMMAND_OK, "%s", PQerrorMessage(conn));
    PQclear(result);
    result = PQdescribePrepared(conn, "s");
    cr_assert_eq(PQnfields(result), 2);
    cr_assert_eq(PQftype(result, 1), (Oid)TYPE_NUMERIC);
    cr_assert_eq(PQparamtype(result, 0), (Oid)TYPE_INT4);
    PQclear(result);
    PQfinish(conn);
}

Test(twin, what_analysts_and_their_tools_need_is_allowed)
{
    static const char *const statements[] = {
        "CREATE TEMP TABLE mine AS SELECT * FROM codes",
        "SELECT count(*) FROM mine",
        "SELECT pg_advisory_unlock_all()",
        "SELECT n_live_tup FROM pg_stat_user_tables",
        "SELECT pg_database_size(current_database())",
        "SELECT pg_relation_size('codes')",
        "SELECT * FROM information_schema.columns",
        "SELECT * FROM pg_roles",
        "SELECT * FROM pg_settings",
        "SELECT version(), pg_is_in_recovery(), current_schemas(true)",
        "SET dp.epsilon = 0.5",
        "SET statement_timeout = 0",
        "DISCARD ALL",
        "SELECT 'sad'::mood, 'x' ~ 'y', xmlelement(name a)",
        "SELECT * FROM dp.columns",
        "SELECT pg_get_viewdef('pg_tables'::regclass)",
        "SELECT pg_sleep(0)",
    };
    build();
    PGconn *conn = connect_analyst();
    for (size_t i = 0; i < sizeof statements / sizeof *statements; i++) {
        PGresult *result = PQexec(conn, statements[i]);
        cr_assert(PQresultStatus(result) == PGRES_COMMAND_OK ||
                      PQresultStatus(result) == PGRES_TUPLES_OK,
                  "%s: %s", statements[i], PQerrorMessage(conn));
        PQclear(result);
    }
    PQfinish(conn);
}

Test(twin, dp_columns_tells_what_the_policy_says)
{
    build();
    PGconn *conn = connect_analyst();
    cr_assert_str_eq(ask(conn, "SELECT string_agg(c::text, E'\\n' ORDER BY table_name, c) FROM "
                               "dp.columns c WHERE low IS NOT NULL OR unit OR domain IS NOT NULL"),
                     "(\"My Schema\",\"a.\"\"b\",day,date,2020-01-01,2027-01-01,,f,f)\n"
                     "(\"My Schema\",\"a.\"\"b\",person,integer,,,,t,f)\n"
                     "(public,people,age,integer,0,120.0,,f,f)\n"
                     "(public,people,id,integer,,,,t,f)\n"
                     "(public,people,sex,text,,,\"{f,\"\"m \\\\\"\"\\\\\\\\x\"\",NULL}\",f,f)");
    cr_assert_str_eq(ask(conn, "SELECT count(*) FROM dp.columns WHERE public"), "3");
    PQfinish(conn);
}

Test(twin, a_new_build_replaces_the_old_one_and_a_failed_one_does_not)
{
    build();
    PGconn *old = connect_analyst();
    pg_server_run(&server, "postgres", "INSERT INTO codes VALUES ('C')");
    build();
    ask(old, "SELECT 1");
    cr_assert_eq(PQstatus(old), CONNECTION_BAD, "sessions of the old twin end");
    PQfinish(old);
    PGconn *conn = connect_analyst();
    cr_assert_str_eq(ask(conn, "SELECT count(*) FROM codes"), "3");
    struct catalog *catalog = read_catalog();
    pg_server_run(&server, "postgres", "DROP TABLE codes");
    cr_assert_null(try_build(&dataset, catalog));
    cr_assert_not_null(strstr(error, "codes"), "%s", error);
    cr_assert_str_eq(ask(conn, "SELECT count(*) FROM codes"), "3");
    catalog_free(catalog);
    PQfinish(conn);
    conn = connect_twin("pgveil_admin", "postgres");
    cr_assert_str_eq(ask(conn, "SELECT count(*) FROM pg_database WHERE datname LIKE 'pgveil_ret%'"),
                     "0");
    PQfinish(conn);
}

Test(twin, analysts_reach_only_what_they_were_granted)
{
    build();
    PGconn *conn = connect_analyst();
    PQfinish(conn);
    dataset.name = name("other");
    build();
    conn = connect_twin("ada \"o'k\"", "other");
    cr_assert_neq(PQstatus(conn), CONNECTION_OK);
    PQfinish(conn);
    make_analyst("ada \"o'k\"");
    conn = connect_twin("ada \"o'k\"", "other");
    cr_assert_eq(PQstatus(conn), CONNECTION_OK);
    PQfinish(conn);
}

Test(twin, names_that_would_be_dangerous_are_refused)
{
    static const char *const analysts[] = {
        "pgveil_admin", "pgveil_analyst",
        "pg_monitor",   "",
        "chief",        "a name of more than sixty-three bytes, which PostgreSQL would cut off"};
    static const char *const datasets[] = {"postgres", "template0", "template1", "pgveil_building",
                                           ""};
    struct catalog *catalog = read_catalog();
    build();
    PGconn *conn = connect_twin("pgveil_admin", "postgres");
    cr_assert_str_eq(ask(conn, "CREATE ROLE chief LOGIN"), "");
    for (size_t i = 0; i < sizeof analysts / sizeof *analysts; i++) {
        char *sql = twin_role_sql(analysts[i], twin_database, twin_oid, NULL);
        cr_assert_str_eq(ask(conn, sql), "P0001", "%s", analysts[i]);
        free(sql);
    }
    PQfinish(conn);
    for (size_t i = 0; i < sizeof datasets / sizeof *datasets; i++) {
        struct config_dataset odd = dataset;
        odd.name = name(datasets[i]);
        cr_assert_null(try_build(&odd, catalog));
        cr_assert_not_null(strstr(error, "cannot be a dataset's name"));
    }
    catalog_free(catalog);
}

Test(twin, the_search_path_is_that_of_the_protected_database)
{
    pg_server_run(&server, "postgres",
                  "ALTER ROLE reader SET search_path = \"My Schema\", public, \"no;such\"");
    build();
    PGconn *conn = connect_analyst();
    cr_assert_str_eq(ask(conn, "SHOW search_path"), "\"My Schema\", public, \"no;such\"");
    cr_assert_str_eq(ask(conn, "SELECT '\"a.\"\"b\"'::regclass"), "\"a.\"\"b\"");
    PQfinish(conn);
}

Test(twin, the_servers_log_holds_no_literal)
{
    static const char *const statements[] = {
        "SELECT 'shibboleth'::int",
        "SET debug_print_parse = on; SET debug_print_plan = on; SET trace_sort = on",
        "SELECT 'shibboleth' FROM codes ORDER BY label",
        "SELECT shibboleth",
        "SELECT 1/0 WHERE 'shibboleth' <> ''",
        "SET log_statement = 'all'",
        "SET log_min_messages = 'debug5'",
    };
    char path[128], line[1024];
    build();
    PGconn *conn = connect_analyst();
    for (size_t i = 0; i < sizeof statements / sizeof *statements; i++)
        ask(conn, statements[i]);
    PQfinish(conn);
    snprintf(path, sizeof path, "%s/twins/log", state);
    FILE *file = fopen(path, "r");
    cr_assert_not_null(file);
    size_t lines = 0;
    for (; fgets(line, sizeof line, file) != NULL; lines++)
        cr_assert_null(strstr(line, "shibboleth"), "%s", line);
    fclose(file);
    cr_assert_gt(lines, 0, "it is the log");
}

/* What psql sends for its commands, with psql itself. */
Test(twin, psql_commands_work_for_an_analyst)
{
    static const char *const commands[] = {
        "\\d",        "\\dt",       "\\dt+",      "\\l",        "\\l+",     "\\dn", "\\dn+",
        "\\df",       "\\d people", "\\d+ codes", "\\dT+",      "\\du",     "\\dv", "\\dp",
        "\\di",       "\\ds",       "\\dx",       "\\db",       "\\dC",     "\\do", "\\dO",
        "\\conninfo", "\\dy",       "\\det",      "\\encoding", "\\dconfig"};
    static const char *const refused[] = {"\\drds", "\\db+", "\\dl", "\\dRs"};
    build();
    PQfinish(connect_analyst());
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        char command[512];
        snprintf(command, sizeof command,
                 "PGPASSWORD=x psql -X -q -v ON_ERROR_STOP=1 -h '%s' -U 'ada \"o'\\''k\"' -d '%s' "
                 "-c '%s' > /dev/null",
                 managed_socket_directory(twins), dataset.name, commands[i]);
        cr_assert_eq(system(command), 0, "%s", commands[i]);
    }
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        char command[512];
        snprintf(command, sizeof command,
                 "psql -X -q -v ON_ERROR_STOP=1 -h '%s' -U 'ada \"o'\\''k\"' -d '%s' -c '%s' "
                 "> /dev/null 2>&1",
                 managed_socket_directory(twins), dataset.name, refused[i]);
        cr_assert_neq(system(command), 0, "%s", refused[i]);
    }
}

/* Instances that share a twin server */

Test(twin, a_twin_that_is_the_same_is_taken_as_it_is)
{
    build();
    uint32_t first = twin_oid;
    PGconn *session = connect_analyst();
    build();
    cr_assert_eq(twin_oid, first);
    cr_assert_str_eq(ask(session, "SELECT count(*) FROM codes"), "2", "its sessions go on");
    PQfinish(session);
    pg_server_run(&server, "postgres", "UPDATE codes SET label = 'x' WHERE code = 'B'");
    build();
    cr_assert_neq(twin_oid, first, "a public row is another");
}

/* Takes the part of another instance: a session of its own that says that it uses the twin. */
static PGconn *use_as_another(uint32_t oid)
{
    char sql[128];
    PGconn *other = connect_twin("pgveil_admin", "postgres");
    cr_assert_str_eq(ask(other, "SET application_name = 'another instance'"), "");
    snprintf(sql, sizeof sql, "SELECT pg_advisory_lock_shared((70918064::int8 << 32) + %u)", oid);
    cr_assert_str_eq(ask(other, sql), "");
    return other;
}

Test(twin, a_twin_that_another_instance_uses_is_not_replaced)
{
    build();
    uint32_t first = twin_oid;
    PGconn *other = use_as_another(first), *session = connect_analyst();
    pg_server_run(&server, "postgres", "INSERT INTO codes VALUES ('C')");
    struct catalog *catalog = read_catalog();
    struct twin_keeper *keeper = try_build(&dataset, catalog);
    cr_assert_not_null(keeper, "%s", error);
    cr_assert_neq(catalog->twin_database_oid, first);
    cr_assert_str_eq(catalog->twin_database, "census of \"88\"~2");
    cr_assert_str_eq(ask(session, "SELECT count(*) FROM codes"), "2");
    PQfinish(session);
    PQfinish(other);
    twin_keeper_free(keeper);
    catalog_free(catalog);
    catalog = read_catalog();
    build_with(catalog);
    cr_assert_str_eq(catalog->twin_database, dataset.name, "the name is free again");
    catalog_free(catalog);
    other = connect_twin("pgveil_admin", "postgres");
    cr_assert_str_eq(ask(other, "SELECT count(*) FROM pg_database WHERE datname LIKE '%~2'"), "0");
    PQfinish(other);
}

Test(twin, a_database_that_pgveil_did_not_make_is_left_alone)
{
    PGconn *conn = connect_twin("pgveil_admin", "postgres");
    cr_assert_str_eq(ask(conn, "CREATE DATABASE \"census of \"\"88\"\"\""), "");
    PQfinish(conn);
    struct catalog *catalog = read_catalog();
    cr_assert_null(try_build(&dataset, catalog));
    cr_assert_not_null(strstr(error, "that pgveil did not make"), "%s", error);
    catalog_free(catalog);
}

Test(twin, a_role_gets_its_verifier_and_keeps_it)
{
    static const char verifier[] = "SCRAM-SHA-256$4096:c2FsdHNhbHRzYWx0c2FsdA==$"
                                   "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:"
                                   "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";
    build();
    PGconn *conn = connect_twin("pgveil_admin", "postgres");
    char *sql = twin_role_sql("eve", twin_database, twin_oid, verifier);
    for (int i = 0; i < 2; i++) {
        cr_assert_str_eq(ask(conn, sql), "");
        cr_assert_str_eq(ask(conn, "SELECT rolpassword FROM pg_authid WHERE rolname = 'eve'"),
                         verifier);
        cr_assert_str_eq(ask(conn, "ALTER ROLE eve PASSWORD 'guessed'"), "");
    }
    free(sql);
    sql = twin_role_sql("eve", twin_database, 4000000000, verifier);
    cr_assert_str_eq(ask(conn, sql), TWIN_GONE);
    free(sql);
    sql = twin_role_sql("eve", "template1", twin_oid, verifier);
    cr_assert_str_eq(ask(conn, sql), TWIN_GONE, "another database has the name");
    free(sql);
    PQfinish(conn);
}
