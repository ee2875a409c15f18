#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "parser/parser.h"
#include "parser/settings.h"
#include "tests/support/catalogs.h"

static const struct parser_limits limits = {1 << 20, 20000, 1000};

static struct parsed *parse(const char *text)
{
    return parser_parse(text, catalogs_get("clinic"), &limits);
}

static void expect(const char *sql, enum statement_class class, const char *sqlstate)
{
    struct parsed *parsed = parse(sql);
    cr_assert_eq(parsed_count(parsed), 1, "%s", sql);
    const struct statement *statement = parsed_statement(parsed, 0);
    cr_expect_eq(statement->class, class, "%s: class %d %s", sql, (int)statement->class,
                 statement->refusal.message);
    if (sqlstate != NULL)
        cr_expect_str_eq(statement->refusal.sqlstate, sqlstate, "%s", sql);
    parsed_free(parsed);
}

Test(classify, statements_without_private_names_are_relayed)
{
    static const char *const texts[] = {
        "SELECT 1",
        "SELECT * FROM pg_catalog.pg_class",
        "SELECT * FROM icd_codes FOR UPDATE",
        "WITH patients AS (SELECT 1 AS age) SELECT * FROM patients",
        "WITH RECURSIVE visits AS (SELECT 1 UNION ALL SELECT * FROM visits) SELECT * FROM visits",
        "VALUES (1), (2)",
        "TABLE icd_codes",
        "SHOW search_path",
        "SET search_path = public",
        "SET dp.epsilon = 0.5",
        "SET LOCAL TIME ZONE 'UTC'",
        "SET TRANSACTION READ ONLY",
        "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
        "RESET ALL",
        "RESET ROLE",
        "DISCARD ALL",
        "SAVEPOINT a",
        "ROLLBACK TO a",
        "RELEASE a",
        "FETCH 5 FROM c",
        "MOVE c",
        "CLOSE ALL",
        "DEALLOCATE ALL",
        "EXECUTE q(1)",
        "PREPARE q AS SELECT $1::int",
        "DECLARE c CURSOR FOR SELECT 1",
        "EXPLAIN ANALYZE SELECT 1",
        "CREATE TEMP TABLE t (a int)",
        "CREATE TEMP TABLE t AS SELECT 1",
        "CREATE TABLE pg_temp.t (a int)",
        "SELECT 1 INTO TEMP t",
        "INSERT INTO t VALUES (1)",
        "UPDATE t SET a = 2",
        "DELETE FROM t",
        "TRUNCATE t",
        "DROP TABLE t",
        "ANALYZE t",
        "COPY (SELECT 1) TO STDOUT",
        "UNLISTEN *",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        expect(texts[i], STATEMENT_RELAY, NULL);
}

Test(classify, private_names_are_found_wherever_they_stand)
{
    static const char *const texts[] = {
        "SELECT count(*) FROM patients",
        "SELECT count(*) FROM public.patients",
        "SELECT count(*) FROM anything.patients",
        "SELECT * FROM icd_codes JOIN visits USING (code)",
        "SELECT (SELECT count(*) FROM patients)",
        "SELECT 1 WHERE EXISTS (SELECT FROM patients)",
        "SELECT 1 ORDER BY (SELECT count(*) FROM patients)",
        "SELECT 1 LIMIT (SELECT count(*) FROM patients)",
        "SELECT sum(1) FILTER (WHERE 1 IN (SELECT id FROM patients)) OVER ()",
        "SELECT sum(1) OVER (PARTITION BY (SELECT count(*) FROM patients))",
        "WITH q AS (SELECT count(*) FROM patients) SELECT * FROM q",
        "WITH patients AS (SELECT count(*) FROM patients) SELECT * FROM patients",
        "SELECT 1 UNION SELECT count(*) FROM patients",
        "SELECT * FROM (SELECT * FROM (SELECT count(*) FROM patients) a) b",
        "SELECT * FROM generate_series(1, (SELECT count(*) FROM patients))",
        "SELECT * FROM ROWS FROM (f((SELECT count(*) FROM patients)), g())",
        "SELECT * FROM t TABLESAMPLE system ((SELECT count(*) FROM patients))",
        "SELECT * FROM xmltable('/a' PASSING (SELECT count(*) FROM patients) COLUMNS b text)",
        "SELECT ARRAY(SELECT id FROM patients), ROW((SELECT 1 FROM patients))",
        "VALUES ((SELECT count(*) FROM patients))",
        "TABLE patients",
        "SELECT * FROM dp.budget",
        "SELECT * FROM dp.history",
        "DECLARE c CURSOR FOR SELECT count(*) FROM patients",
        "CREATE TEMP TABLE t AS SELECT count(*) FROM patients",
        "SELECT count(*) INTO TEMP t FROM patients",
        "COPY (SELECT count(*) FROM patients) TO STDOUT",
        "EXPLAIN SELECT count(*) FROM patients",
        "EXPLAIN (FORMAT JSON, ANALYZE false) SELECT count(*) FROM patients",
        "SELECT * FROM U&\"\\0070atients\" AS p",
        "SELECT/**/count(*)/**/FROM/**/PATIENTS",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        expect(texts[i], STATEMENT_CANDIDATE, NULL);
}

Test(classify, other_statements_are_refused)
{
    static const char *const texts[] = {
        "CREATE TABLE t (a int)",
        "CREATE TABLE t AS SELECT count(*) FROM patients",
        "SELECT 1 INTO t",
        "WITH q AS (SELECT 1) SELECT * INTO t FROM q",
        "CREATE VIEW v AS SELECT 1",
        "CREATE MATERIALIZED VIEW v AS SELECT 1",
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE ROLE r",
        "ALTER ROLE r SUPERUSER",
        "ALTER ROLE r SET dp.epsilon = 5",
        "ALTER SYSTEM SET work_mem = '1GB'",
        "ALTER TABLE t ADD COLUMN b int",
        "DO 'BEGIN END'",
        "CALL p()",
        "LOCK t",
        "LISTEN a",
        "NOTIFY a",
        "LOAD 'x'",
        "GRANT SELECT ON t TO PUBLIC",
        "CHECKPOINT",
        "VACUUM",
        "ANALYZE",
        "REINDEX TABLE t",
        "COPY t FROM STDIN",
        "COPY t TO STDOUT",
        "COPY (SELECT 1) TO '/tmp/x'",
        "COPY (SELECT 1) TO PROGRAM 'cat'",
        "PREPARE TRANSACTION 'a'",
        "COMMIT PREPARED 'a'",
        "SET ROLE r",
        "SET SESSION AUTHORIZATION r",
        "SET session_replication_role = replica",
        "SET TRANSACTION SNAPSHOT '1'",
        "SET no.such = 1",
        "DROP ROLE r",
        "DROP SCHEMA s",
        "CREATE TRIGGER t AFTER INSERT ON t EXECUTE FUNCTION f()",
        "MERGE INTO t USING u ON true WHEN MATCHED THEN DELETE",
        "INSERT INTO t SELECT age FROM patients",
        "UPDATE patients SET age = 1",
        "DELETE FROM visits",
        "WITH d AS (DELETE FROM t RETURNING *) SELECT count(*) FROM patients",
        "SELECT count(*) FROM patients FOR UPDATE",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        expect(texts[i], STATEMENT_REFUSED, "42501");
}

Test(classify, forms_that_are_not_supported_say_so)
{
    static const char *const texts[] = {
        "EXPLAIN ANALYZE SELECT count(*) FROM patients",
        "EXPLAIN (ANALYZE) SELECT count(*) FROM patients",
        "EXPLAIN (ANALYZE 1) SELECT count(*) FROM patients",
        "PREPARE q AS SELECT count(*) FROM patients",
        "SELECT dp.private_rows('x')",
        "SELECT dp.not_of_a_release('x')",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        expect(texts[i], STATEMENT_REFUSED, "0A000");
}

Test(classify, a_text_is_split_at_its_statements)
{
    const char *text = " BEGIN; SELECT 'a;b' ; -- x;\n COMMIT AND CHAIN; ROLLBACK";
    struct parsed *parsed = parse(text);
    cr_assert_eq(parsed_count(parsed), 4);
    static const char *const starts[] = {"BEGIN", "SELECT 'a;b'", "-- x;\n COMMIT", "ROLLBACK"};
    static const enum statement_transaction transactions[] = {TRANSACTION_BEGIN, TRANSACTION_NONE,
                                                              TRANSACTION_NONE, TRANSACTION_END};
    for (size_t i = 0; i < 4; i++) {
        const struct statement *statement = parsed_statement(parsed, i);
        cr_expect_eq(statement->transaction, transactions[i], "%zu", i);
        cr_expect_eq(strncmp(text + statement->location, starts[i], strlen(starts[i])), 0, "%zu",
                     i);
        cr_expect_leq(statement->location + statement->length, strlen(text));
    }
    parsed_free(parsed);
}

Test(classify, nothing_is_no_statement_and_nonsense_is_relayed)
{
    struct parsed *parsed = parse(" ; -- nothing\n;");
    cr_expect_eq(parsed_count(parsed), 0);
    parsed_free(parsed);
    parsed = parse("SELECT FROM WHERE");
    cr_expect(parsed_is_unparsable(parsed));
    cr_expect_eq(parsed_count(parsed), 1);
    cr_expect_eq(parsed_statement(parsed, 0)->class, STATEMENT_RELAY);
    parsed_free(parsed);
}

Test(classify, above_a_limit_the_whole_text_is_refused)
{
    char *text = malloc(70000);
    char *at = stpcpy(text, "SELECT 1");
    for (int i = 0; i < 30000; i++)
        at = stpcpy(at, "+1");
    struct parsed *parsed = parse(text);
    cr_assert_eq(parsed_count(parsed), 1);
    cr_expect_eq(parsed_statement(parsed, 0)->class, STATEMENT_REFUSED);
    cr_expect_str_eq(parsed_statement(parsed, 0)->refusal.sqlstate, "54001");
    parsed_free(parsed);
    free(text);
}

Test(classify, positions_count_characters_from_the_start_of_the_text)
{
    struct parsed *parsed = parse("SELECT '\xc3\xa9\xc3\xa9'; LOCK t");
    cr_assert_eq(parsed_count(parsed), 2);
    cr_expect_eq(parsed_statement(parsed, 1)->refusal.position, 14);
    parsed_free(parsed);
}

Test(classify, settings_are_an_allow_list)
{
    static const char *const yes[] = {"TimeZone",   "enable_seqscan",
                                      "DP.EPSILON", "jit",
                                      "work_mem",   "default_transaction_isolation"};
    static const char *const no[] = {"",
                                     "dp.",
                                     "dp.secret",
                                     "role",
                                     "log_statement",
                                     "jitter",
                                     "timezone_abbreviations",
                                     "session_authorization"};
    for (size_t i = 0; i < sizeof yes / sizeof yes[0]; i++)
        cr_expect(setting_is_allowed(yes[i]), "%s", yes[i]);
    for (size_t i = 0; i < sizeof no / sizeof no[0]; i++)
        cr_expect_not(setting_is_allowed(no[i]), "%s", no[i]);
}
