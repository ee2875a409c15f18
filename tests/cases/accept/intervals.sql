-- dataset: clinic
-- compare: approximate
SELECT sum(least(greatest(arrived - day, interval '0 mons 0 days 0 microseconds'), interval '0 mons 1 days 0 microseconds')) FILTER (WHERE minutes > 60) FROM visits;
SELECT code, sum(least(arrived - day, interval '0 mons 1 days 0 microseconds')) > interval '1 day', avg(arrived::time - time '08:00') FROM visits GROUP BY code ORDER BY code;
SELECT sum(day - date '2020-01-01'), sum(day - date '2020-01-01') / count(*) FROM visits;
SELECT sum(arrived::time - time '08:00'), sum(-(arrived::time::interval)), count(*) FROM visits;
SELECT sum(arrived::time::interval * 2 + arrived::time::interval / 4) FROM visits;
SELECT avg(arrived::time::interval), count(*) FROM visits WHERE code IN ('A00', 'C50');
SELECT sum(extract(epoch FROM arrived::time - time '08:00')) FROM visits;
SELECT extract(epoch FROM sum(arrived::time::interval)) / 3600 AS hours FROM visits;
SELECT avg(extract(epoch FROM arrived::time::interval)), stddev(extract(epoch FROM arrived::time::interval)) FROM visits;
