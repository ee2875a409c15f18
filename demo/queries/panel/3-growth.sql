-- Any SQL on top of the noisy answer costs nothing more
SET dp.epsilon = 1;
WITH by_year AS (
    SELECT year, avg(wage) AS wage FROM years GROUP BY year
)
SELECT year, round(wage) AS wage, round(wage - lag(wage) OVER (ORDER BY year)) AS growth
FROM by_year
ORDER BY year;
