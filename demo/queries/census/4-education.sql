-- Groups without a declared domain: those of few people do not appear
SET dp.epsilon = 0.5;
SELECT education, count(*), round(avg(wage)) AS average_wage
FROM people
GROUP BY education
HAVING count(*) > 100
ORDER BY education;
