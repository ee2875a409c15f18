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
SELECT avg(weight::real), stddev(weight::real), round(sum(weight::real)::numeric, -2) FROM patients;
SELECT pg_typeof(sum(weight::real))::text, pg_typeof(avg(weight::real))::text, pg_typeof(variance(weight::real))::text, pg_typeof(sum(cost))::text, pg_typeof(sum(minutes))::text, pg_typeof(sum(visits.id % 3))::text FROM patients JOIN visits ON patient_id = patients.id;
SELECT sex, sum(weight::real) > 1000, avg(weight::real) FROM patients GROUP BY sex ORDER BY sex;
