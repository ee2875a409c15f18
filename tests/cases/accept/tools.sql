-- dataset: clinic
select "_"."sex","_"."a0" from (select "rows"."sex" as "sex", sum(cast("rows"."age" as decimal)) as "a0" from (select "sex","age" from "public"."patients" "$Table") "rows" group by "sex") "_" where not "_"."a0" is null order by 1 limit 1000001;
SELECT "source"."sex" AS "sex", COUNT(*) AS "count" FROM (SELECT "public"."patients"."sex" AS "sex", "public"."patients"."age" AS "age" FROM "public"."patients" WHERE "public"."patients"."age" > 18) "source" GROUP BY "source"."sex" ORDER BY "source"."sex" ASC;
SELECT CAST(DATE_TRUNC('year', "public"."visits"."arrived") AS date) AS "arrived", COUNT(*) AS "count" FROM "public"."visits" GROUP BY CAST(DATE_TRUNC('year', "public"."visits"."arrived") AS date) HAVING COUNT(*) > 500 ORDER BY CAST(DATE_TRUNC('year', "public"."visits"."arrived") AS date) ASC;
SELECT SUM("visits"."minutes") AS "sum:minutes:ok", SUM(1) AS "cnt:Number of Records:ok" FROM "public"."visits" "visits" HAVING (COUNT(1) > 0);
SELECT "patients"."sex" AS "sex" FROM "public"."patients" "patients" GROUP BY 1 ORDER BY 1 NULLS FIRST;
SELECT COUNT(*) AS rowcount FROM (SELECT code, count(*) AS n FROM visits GROUP BY code LIMIT 50000) AS rowcount_qry;
SELECT "ta_1"."ca_2", CASE WHEN sum("ta_1"."ca_3") IS NOT NULL THEN sum("ta_1"."ca_3") ELSE 0 END FROM (SELECT "visits"."code" "ca_2", "visits"."minutes" "ca_3" FROM "public"."visits" "visits") "ta_1" GROUP BY "ca_2" ORDER BY 1;
SELECT * FROM (SELECT code, sum(minutes) AS "SUM(minutes)" FROM visits GROUP BY code ORDER BY "SUM(minutes)" DESC LIMIT 10000) AS t ORDER BY 1 LIMIT 1000;
SELECT 1 AS non_empty FROM patients HAVING COUNT(1) > 0;
SELECT DISTINCT code FROM visits ORDER BY code;
SELECT count(*) filter (where "patients"."sex" = 'f')::float / nullif(count(*), 0) as share from "patients" where "patients"."age" is not null;
