-- dataset: clinic
SELECT count(*) * 100.0 / 7, abs(count(*) - 5), 'n = ' || count(*) FROM patients;
SELECT code, count(*) FROM visits GROUP BY code ORDER BY 2 DESC LIMIT 2;
SELECT code, count(*) FROM visits GROUP BY code ORDER BY code OFFSET 3;
SELECT max(n), min(n), sum(n) FROM (SELECT code, count(*) AS n FROM visits GROUP BY code) q;
WITH q AS (SELECT code, count(*) AS n FROM visits GROUP BY code) SELECT code, n, rank() OVER (ORDER BY n DESC) FROM q ORDER BY code;
SELECT q.code, c.chapter, q.n FROM (SELECT code, count(*) AS n FROM visits GROUP BY code) q JOIN icd_codes c ON c.code = q.code ORDER BY 1;
SELECT code, CASE WHEN count(*) > 700 THEN 'many' ELSE 'few' END FROM visits GROUP BY code ORDER BY 1;
SELECT sex, count(*)::float8 / 3 FROM patients GROUP BY sex HAVING sum(age) > 100 ORDER BY count(*);
SELECT string_agg(code, ',' ORDER BY code) FROM (SELECT code, count(*) FROM visits GROUP BY code) q;
SELECT (SELECT count(*) FROM patients) AS patients, (SELECT count(*) FROM visits) AS visits;
SELECT code, count(*) AS n, sum(count(*)) OVER (ORDER BY code) FROM visits GROUP BY code ORDER BY code;
SELECT count(*) FROM patients UNION ALL SELECT count(*) FROM visits;
