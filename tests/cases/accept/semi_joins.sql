-- dataset: clinic
SELECT count(*) FROM patients WHERE EXISTS (SELECT 1 FROM visits WHERE patient_id = patients.id);
SELECT sex, count(*) FROM patients p WHERE EXISTS (SELECT * FROM visits v WHERE v.code = 'A00' AND p.id = v.patient_id AND v.minutes > 100) AND age > 5 GROUP BY sex ORDER BY sex;
SELECT count(*) FROM patients p WHERE NOT EXISTS (SELECT 1 FROM visits v WHERE v.patient_id = p.id AND v.code = 'A00');
SELECT sum(age), count(*) FROM patients WHERE id IN (SELECT patient_id FROM visits WHERE minutes > 60) AND insured;
SELECT code, count(*) FROM visits v WHERE v.patient_id IN (SELECT id FROM patients WHERE sex = 'f') GROUP BY code ORDER BY code;
SELECT code, count(*) FROM visits v WHERE EXISTS (SELECT 1 FROM visits w WHERE w.patient_id = v.patient_id AND w.code = 'C50') AND NOT EXISTS (SELECT 1 FROM visits w JOIN icd_codes USING (code) WHERE w.patient_id = v.patient_id AND chapter = 'infection' AND minutes < 20) GROUP BY code ORDER BY code;
SELECT count(*) FROM (SELECT * FROM patients WHERE EXISTS (SELECT FROM visits WHERE visits.patient_id = patients.id AND minutes > 90)) t WHERE t.age < 60;
WITH q AS (SELECT id, sex FROM patients WHERE id IN (SELECT patient_id FROM visits WHERE code = 'I10')) SELECT sex, count(*) FROM q GROUP BY sex ORDER BY sex;
SELECT avg(n) FROM (SELECT patient_id, count(*) AS n FROM visits v WHERE EXISTS (SELECT 1 FROM patients p WHERE p.id = v.patient_id AND p.insured) GROUP BY patient_id) t;
SELECT count(*) FROM patients p, visits v WHERE v.patient_id = p.id AND p.id IN (SELECT patient_id FROM visits WHERE "Ward No" = 1) AND v.minutes > 30;
SELECT count(*) FROM patients WHERE id IN (SELECT patient_id FROM visits GROUP BY patient_id HAVING count(*) > 3);
SELECT sex, count(*) FROM patients p WHERE p.id IN (SELECT patient_id AS who FROM visits WHERE minutes > 5 GROUP BY who, code HAVING sum(minutes) > 60) GROUP BY sex ORDER BY sex;
WITH c AS (SELECT patient_id AS who, code FROM visits WHERE minutes > 30) SELECT count(*) FROM patients WHERE id IN (SELECT who FROM c WHERE code = 'A00');
WITH c AS (SELECT patient_id AS who FROM visits WHERE minutes > 30) SELECT count(*) FROM (SELECT id, age FROM patients) p WHERE age > 30 AND NOT EXISTS (SELECT 1 FROM c JOIN visits v ON v.patient_id = c.who WHERE c.who = p.id);
SELECT count(*) FROM patients p WHERE EXISTS (SELECT FROM (SELECT patient_id AS who FROM visits WHERE code = 'A00') q WHERE q.who = p.id);
