-- dataset: clinic
-- compare: approximate
SELECT avg(age) FROM patients;
SELECT avg(cost) FROM visits;
SELECT round(avg(cost), 2) FROM visits;
SELECT avg(minutes), count(*) FROM visits WHERE code IN ('A00', 'C50');
SELECT avg(weight) FROM patients;
SELECT sum(weight) FROM patients;
SELECT sum(weight * 2.0) FROM patients;
SELECT avg(weight + age) FROM patients;
SELECT code, avg(cost) FROM visits GROUP BY code ORDER BY code;
SELECT avg(age) FILTER (WHERE sex = 'f') - avg(age) FILTER (WHERE sex = 'm') FROM patients;
SELECT sum(cost) / count(cost) FROM visits;
