-- dataset: clinic
-- params: [30]
SELECT count(*) FROM patients WHERE age > $1;
SELECT count(*) FROM visits WHERE minutes BETWEEN $1 AND $1 + 60;
SELECT code, count(*) FROM visits WHERE minutes > $1 GROUP BY code ORDER BY code;
SELECT code, count(*) FROM visits GROUP BY code HAVING count(*) > $1 ORDER BY code LIMIT 3;
