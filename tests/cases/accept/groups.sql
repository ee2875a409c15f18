-- dataset: clinic
SELECT sex, count(*) FROM patients GROUP BY sex ORDER BY sex;
SELECT sex, count(*) FROM patients GROUP BY 1 ORDER BY 2 DESC, 1;
SELECT insured, sex, count(*), sum(age) FROM patients GROUP BY insured, sex ORDER BY 1, 2;
SELECT code, count(*) FROM visits GROUP BY code ORDER BY code;
SELECT code AS c, sum(cost) AS s FROM visits GROUP BY c ORDER BY s;
SELECT "Ward No", count(*), count(DISTINCT patient_id) FROM visits GROUP BY "Ward No" ORDER BY 1;
SELECT sex, count(*) FROM patients WHERE age < 0 OR sex = 'f' GROUP BY sex HAVING count(*) > 0 ORDER BY sex;
SELECT city, count(*) FROM patients GROUP BY city HAVING count(*) > 60 ORDER BY city;
SELECT city, sum(age) FROM patients GROUP BY city HAVING count(*) > 60 ORDER BY city;
SELECT age / 20 AS decade, count(*) FROM patients WHERE age < 100 GROUP BY 1 ORDER BY 1;
SELECT age > 40 AS older, count(*) FROM patients WHERE age IS NOT NULL GROUP BY age > 40 ORDER BY 1;
SELECT extract(year FROM day) AS year, count(*) FROM visits GROUP BY year HAVING count(*) > 500 ORDER BY year;
SELECT date_trunc('year', arrived) AS year, count(*) FROM visits GROUP BY 1 HAVING count(*) > 500 ORDER BY 1;
SELECT upper(city) AS big, count(*) FROM patients GROUP BY upper(city) HAVING count(*) > 60 ORDER BY 1;
SELECT code, "Ward No", count(*) FROM visits GROUP BY code, "Ward No" ORDER BY 1, 2;
SELECT CASE WHEN age < 18 THEN 'young' ELSE 'old' END AS kind, count(*) FROM patients GROUP BY 1 ORDER BY 1;
SELECT code FROM visits GROUP BY code ORDER BY code;
