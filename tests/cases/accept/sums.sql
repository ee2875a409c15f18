-- dataset: clinic
SELECT sum(age) FROM patients;
SELECT sum(age), count(age) FROM patients WHERE city = 'Celle';
SELECT sum(cost) FROM visits;
SELECT sum(minutes) FROM visits;
SELECT sum(minutes * 2 + 1) FROM visits;
SELECT sum(-minutes) FROM visits;
SELECT sum(age + 0.5) FROM patients;
SELECT sum(cost - minutes) FROM visits;
SELECT sum(CASE WHEN minutes > 60 THEN cost ELSE 0 END) FROM visits;
SELECT sum(CASE sex WHEN 'f' THEN 1 WHEN 'm' THEN 2 ELSE 0 END) FROM patients;
SELECT sum(coalesce(cost, 0)) FROM visits;
SELECT sum(cost) FILTER (WHERE code = 'C50') FROM visits;
SELECT sum(1) FROM patients;
SELECT sum(abs(age - 50)) FROM patients;
SELECT sum(least(age, 40)), sum(greatest(age, 40)) FROM patients;
