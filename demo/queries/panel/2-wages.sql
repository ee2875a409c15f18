-- Wages by gender over two joined tables; each person moves the answer by seven rows at most
SET dp.epsilon = 1;
SELECT p.gender, count(*) AS years, round(avg(y.wage)) AS average_wage
FROM persons p JOIN years y ON y.person_id = p.id
GROUP BY p.gender
ORDER BY p.gender;
