-- dataset: clinic
-- compare: approximate
SELECT variance(age) FROM patients;
SELECT var_pop(age), var_samp(age), stddev(age), stddev_pop(age), stddev_samp(age) FROM patients;
SELECT stddev(cost), avg(cost), count(cost) FROM visits;
SELECT sex, stddev(age), count(*) FROM patients GROUP BY sex ORDER BY sex;
SELECT stddev(minutes) FILTER (WHERE minutes > 20) FROM visits;
SELECT stddev_pop(weight) FROM patients;
SELECT var_pop(age * 2 + 1), sum(age * 2 + 1) FROM patients;
SELECT var_samp(5), stddev(7.5) FROM patients;
