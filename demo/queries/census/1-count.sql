-- How many people are there?
SELECT count(*) FROM people;
