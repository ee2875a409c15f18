-- A join with a public table, a filter and a ranking
SELECT r.name, count(*) AS people, round(avg(p.wage)) AS average_wage
FROM people p JOIN regions r ON r.region = p.region
WHERE NOT p.parttime AND p.education >= 12
GROUP BY r.name
ORDER BY average_wage DESC;
