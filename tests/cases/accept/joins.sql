-- dataset: clinic
SELECT count(*) FROM patients p JOIN visits v ON v.patient_id = p.id;
SELECT p.sex, count(*), sum(v.cost) FROM patients p JOIN visits v ON p.id = v.patient_id GROUP BY p.sex ORDER BY 1;
SELECT count(*) FROM visits v, patients p WHERE v.patient_id = p.id AND p.age > 30;
SELECT c.chapter, count(*) FROM visits v JOIN icd_codes c ON c.code = v.code GROUP BY c.chapter HAVING count(*) > 100 ORDER BY 1;
SELECT count(*) FROM visits v JOIN icd_codes c USING (code) WHERE c.chapter = 'neoplasm';
SELECT p.city, count(DISTINCT p.id) FROM patients p JOIN visits v ON v.patient_id = p.id JOIN icd_codes c ON c.code = v.code WHERE c.chapter LIKE '%n%' GROUP BY p.city HAVING count(DISTINCT p.id) > 60 ORDER BY 1;
