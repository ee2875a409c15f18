-- Who earns what? Groups with a declared domain: every group appears
SELECT ethnicity, count(*), round(avg(wage), 2) AS average_wage
FROM people
GROUP BY ethnicity
ORDER BY ethnicity;
