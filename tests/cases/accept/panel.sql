-- dataset: panel
SELECT count(*), count(DISTINCT person_id), sum(weeks) FROM years;
SELECT year, count(*), sum(weeks) FROM years GROUP BY year ORDER BY year;
SELECT p.gender, y.year, count(*) FROM persons p JOIN years y ON y.person_id = p.id GROUP BY 1, 2 ORDER BY 1, 2;
SELECT p.gender, p.ethnicity, count(*) FROM persons p GROUP BY p.gender, p.ethnicity ORDER BY 1, 2;
