-- The panel database: psid7682.csv on standard input.
\set ON_ERROR_STOP on
\set QUIET on
SET client_min_messages = warning;

CREATE TABLE persons (
    id integer PRIMARY KEY,
    gender text NOT NULL CHECK (gender IN ('female', 'male')),
    ethnicity text NOT NULL CHECK (ethnicity IN ('afam', 'other')),
    education integer NOT NULL
);
COMMENT ON TABLE persons IS 'Panel Study of Income Dynamics: what stays the same in 1976 to 1982';
COMMENT ON COLUMN persons.education IS 'years';

CREATE TABLE years (
    person_id integer NOT NULL REFERENCES persons,
    year integer NOT NULL CHECK (year IN (1976, 1977, 1978, 1979, 1980, 1981, 1982)),
    wage integer NOT NULL,
    experience integer NOT NULL,
    weeks integer NOT NULL,
    occupation text NOT NULL CHECK (occupation IN ('blue', 'white')),
    manufacturing boolean NOT NULL,
    south boolean NOT NULL,
    smsa boolean NOT NULL,
    married boolean NOT NULL,
    union_member boolean NOT NULL,
    PRIMARY KEY (person_id, year)
);
COMMENT ON TABLE years IS 'One row per person and year';
COMMENT ON COLUMN years.weeks IS 'weeks worked in the year';

CREATE TEMP TABLE survey (
    experience integer, weeks integer, occupation text, industry boolean, south boolean,
    smsa boolean, married boolean, gender text, union_member boolean, education integer,
    ethnicity text, wage integer, year integer, id integer
);
\copy survey FROM pstdin CSV HEADER
INSERT INTO persons SELECT DISTINCT id, gender, ethnicity, education FROM survey;
INSERT INTO years
    SELECT id, year, wage, experience, weeks, occupation, industry, south, smsa, married,
           union_member
    FROM survey;
DROP TABLE survey;

REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO pgveil_reader;
GRANT SELECT ON persons, years TO pgveil_reader;
ANALYZE;
