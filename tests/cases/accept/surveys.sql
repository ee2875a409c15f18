-- dataset: census
SELECT count(*), sum(education) FROM people;
SELECT region, count(*), sum(education) FROM people GROUP BY region ORDER BY region;
SELECT r.name, count(*) FROM people p JOIN regions r ON r.region = p.region GROUP BY r.name ORDER BY 1;
SELECT education, count(*) FROM people GROUP BY education HAVING count(*) > 200 ORDER BY 1;
