-- Two keys, of which the next question needs one
SET dp.mechanism = gaussian;
SET dp.epsilon = 0.5;
SELECT ethnicity, parttime, count(*), round(avg(wage)) AS average_wage
FROM people
GROUP BY ethnicity, parttime
ORDER BY ethnicity, parttime;
