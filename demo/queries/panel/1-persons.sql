-- One person has seven rows: what is counted, persons or years?
SELECT count(DISTINCT person_id) AS persons, count(*) AS years FROM years;
