-- dataset: clinic
SELECT count(*) FROM patients;
SELECT count(*) FROM public.patients;
SELECT count(*) AS n, count(*) + 1 AS m, count(*)::text FROM patients;
SELECT count(age) FROM patients;
SELECT count(sex), count(city), count(*) FROM patients p;
SELECT count(DISTINCT patient_id) FROM visits;
SELECT count(*), count(DISTINCT patient_id) FROM visits;
SELECT count(DISTINCT id) FROM patients;
SELECT count(1), count('x') FROM visits;
SELECT count(*) FILTER (WHERE age > 50) FROM patients;
SELECT count(*) FILTER (WHERE insured), count(*) FILTER (WHERE NOT insured) FROM patients;
SELECT count(cost) FROM visits;
