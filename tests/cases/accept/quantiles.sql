-- dataset: census
SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY education) FROM people;
SELECT percentile_disc(ARRAY[0.1, 0.25, 0.5, 0.75, 0.9]) WITHIN GROUP (ORDER BY experience) FROM people;
SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY education), count(*) FROM people;
SELECT region, percentile_disc(0.5) WITHIN GROUP (ORDER BY experience) AS median FROM people GROUP BY region ORDER BY region;
SELECT percentile_disc(0.25) WITHIN GROUP (ORDER BY experience DESC) FROM people;
SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY experience) FILTER (WHERE parttime) FROM people;
SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY experience), sum(education), percentile_disc(0.5) WITHIN GROUP (ORDER BY education) FROM people;
SELECT percentile_disc('{0.2,0.8}'::float8[]) WITHIN GROUP (ORDER BY education) FROM people;
SELECT percentile_disc(1 / 3.0) WITHIN GROUP (ORDER BY -experience * 2) FROM people;
SELECT region, count(*) FROM people GROUP BY region HAVING percentile_disc(0.5) WITHIN GROUP (ORDER BY education) > 8 ORDER BY percentile_disc(0.6) WITHIN GROUP (ORDER BY education), 1;
SELECT education, percentile_disc(0.5) WITHIN GROUP (ORDER BY experience) FROM people GROUP BY education HAVING count(*) > 1000 ORDER BY 1;
SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY least(greatest(date '2020-01-01' + experience, '2020-01-01'), '2020-03-01')) FROM people;
SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY least(greatest(education, 3), 14)) FROM people;
SELECT pg_typeof(percentile_disc(0.5) WITHIN GROUP (ORDER BY education)), pg_typeof(percentile_cont(0.5) WITHIN GROUP (ORDER BY education)) FROM people;
SELECT min(least(greatest(education, 8), 9)), max(least(greatest(education, 8), 9)) FROM people;
SELECT max(CASE WHEN parttime THEN 1 ELSE 0 END), min(experience / 70) FROM people;
