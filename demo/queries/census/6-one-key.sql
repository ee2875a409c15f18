-- One of the two: what was paid for is added up, and costs nothing
SET dp.mechanism = gaussian;
SET dp.epsilon = 0.2;
SELECT parttime, count(*), round(avg(wage)) AS average_wage
FROM people
GROUP BY parttime
ORDER BY parttime;
