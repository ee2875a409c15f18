-- dataset: clinic
-- compare: approximate
SELECT avg(n), count(*) FROM (SELECT patient_id, count(*) AS n FROM visits GROUP BY patient_id) t;
SELECT n, count(*) FROM (SELECT patient_id, count(*) AS n FROM visits GROUP BY patient_id) t GROUP BY n HAVING count(*) > 40 ORDER BY n;
SELECT CASE WHEN n < 3 THEN 'few' ELSE 'many' END AS how, count(*) FROM (SELECT patient_id, count(*) n FROM visits GROUP BY 1) t GROUP BY how ORDER BY how;
SELECT p.sex, avg(t.total) FROM patients p JOIN (SELECT patient_id, sum(minutes) AS total FROM visits WHERE minutes < 300 GROUP BY patient_id) t ON t.patient_id = p.id GROUP BY p.sex ORDER BY p.sex;
SELECT p.sex, sum(coalesce(t.n, 0)), count(*) FROM patients p LEFT JOIN (SELECT patient_id, count(*) AS n FROM visits WHERE code = 'A00' GROUP BY patient_id) t ON t.patient_id = p.id GROUP BY p.sex ORDER BY p.sex;
WITH v AS (SELECT patient_id, max(minutes) AS longest, min(day) AS first, bool_or(cost > 3000 AND minutes > 300) AS dear FROM visits GROUP BY patient_id HAVING count(*) > 1) SELECT dear, count(*), avg(longest) FROM v WHERE first > '2020-06-01' GROUP BY dear ORDER BY dear;
SELECT count(*) FROM (SELECT DISTINCT patient_id FROM visits WHERE minutes > 100) t;
SELECT count(*), sum(codes) FROM (SELECT patient_id, count(DISTINCT code) AS codes FROM visits GROUP BY patient_id) t WHERE codes >= 1;
SELECT code, count(*), sum(n) FROM (SELECT patient_id, code, count(*) AS n FROM visits GROUP BY patient_id, code) t GROUP BY code ORDER BY code;
SELECT sum(w), avg(w), count(w) FROM (SELECT id, sum(weight) AS w, avg(weight) AS a FROM patients GROUP BY id) t;
SELECT avg(m) FROM (SELECT patient_id, avg(cost) AS m FROM visits WHERE cost < 5000 GROUP BY patient_id) t;
SELECT sum(spread) FROM (SELECT v.patient_id AS who, max(minutes) - min(minutes) AS spread, 2 AS two FROM visits AS v JOIN patients p ON p.id = v.patient_id WHERE p.insured GROUP BY v.patient_id) t WHERE spread BETWEEN 1 AND 600;
SELECT count(*) FROM (SELECT who, count(*) AS n FROM (SELECT patient_id AS who, minutes AS m FROM visits) q WHERE m > 10 GROUP BY who) t WHERE n > 2;
SELECT k, count(*) FROM (SELECT patient_id, least(count(*), 3) AS k FROM (SELECT patient_id, code, count(*) AS n FROM visits GROUP BY patient_id, code) a GROUP BY patient_id) b GROUP BY k ORDER BY k;
SELECT count(*) FROM visits v JOIN (SELECT patient_id, max(id) AS last FROM visits GROUP BY patient_id) l ON l.patient_id = v.patient_id AND l.last = v.id WHERE v.minutes > 5;
SELECT a.sex, count(*) FROM patients a JOIN (SELECT patient_id FROM visits GROUP BY patient_id HAVING sum(minutes) FILTER (WHERE code = 'A00') > 30) b ON a.id = b.patient_id GROUP BY a.sex ORDER BY 1;
SELECT count(*), avg(heaviest) FROM (SELECT id, max(weight) AS heaviest, min(weight) AS lightest FROM patients GROUP BY id) t WHERE heaviest = lightest;
SELECT avg(m), count(m), sum(s) FROM (SELECT patient_id, avg(minutes + 10) FILTER (WHERE minutes > 100) AS m, sum(least(greatest(cost, 7), 4000)) FILTER (WHERE code = 'A00') AS s FROM visits GROUP BY patient_id) t;
SELECT count(*) FROM (SELECT DISTINCT patient_id, code FROM visits GROUP BY code, patient_id) t;
SELECT sum(x) FROM (SELECT patient_id, sum(day - date '2020-01-01') AS x FROM (SELECT patient_id, day, count(*) FROM visits WHERE arrived < '2025-01-01' GROUP BY 1, 2) a WHERE day < '2024-01-01' GROUP BY patient_id) t WHERE x > 3;
SELECT count(*), sum(w) FROM (SELECT id, weight AS w FROM patients WHERE weight < 80 GROUP BY id, weight) t;
