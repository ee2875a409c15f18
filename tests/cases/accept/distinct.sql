-- dataset: clinic
SELECT count(DISTINCT code) FROM visits;
SELECT count(DISTINCT code), count(DISTINCT minutes) FILTER (WHERE code = 'A00'), count(*) FROM visits;
SELECT count(DISTINCT cost) FROM visits;
SELECT count(DISTINCT day), count(DISTINCT arrived), count(DISTINCT note) FROM visits;
SELECT count(DISTINCT insured), count(DISTINCT city), count(DISTINCT weight) FROM patients;
SELECT code, count(DISTINCT minutes), sum(cost), count(DISTINCT patient_id) FROM visits GROUP BY code ORDER BY code;
SELECT sex, count(DISTINCT city) FROM patients GROUP BY sex ORDER BY sex;
SELECT count(DISTINCT minutes / 10 + 1), count(DISTINCT upper(code)) FROM visits WHERE minutes > 5;
SELECT count(DISTINCT v.code) FROM patients p JOIN visits v ON v.patient_id = p.id WHERE p.age > 30;
SELECT count(DISTINCT p.city) FROM patients p LEFT JOIN visits v ON v.patient_id = p.id;
SELECT count(DISTINCT -weight), count(DISTINCT weight * 0), count(DISTINCT cost * 1.00) FROM patients JOIN visits ON patient_id = patients.id;
SELECT city, count(DISTINCT age) FROM patients GROUP BY city HAVING count(*) > 60 ORDER BY city;
SELECT count(DISTINCT extract(month from day)), count(DISTINCT day > '2022-01-01') FROM visits;
