-- The census database: cps1988.csv on standard input.
\set ON_ERROR_STOP on
\set QUIET on
SET client_min_messages = warning;

CREATE TABLE regions (
    region text PRIMARY KEY,
    name text NOT NULL,
    states integer NOT NULL
);
COMMENT ON TABLE regions IS 'The four regions of the US Census Bureau (public)';
INSERT INTO regions VALUES
    ('northeast', 'Northeast', 9),
    ('midwest', 'Midwest', 12),
    ('south', 'South', 17), -- with the District of Columbia
    ('west', 'West', 13);

CREATE TABLE people (
    id integer PRIMARY KEY,
    wage numeric(8,2) NOT NULL,
    education integer NOT NULL,
    experience integer NOT NULL,
    ethnicity text NOT NULL CHECK (ethnicity IN ('afam', 'cauc')),
    smsa boolean NOT NULL,
    region text NOT NULL REFERENCES regions
        CHECK (region IN ('midwest', 'northeast', 'south', 'west')),
    parttime boolean NOT NULL
);
COMMENT ON TABLE people IS 'Current Population Survey, March 1988: one row per person';
COMMENT ON COLUMN people.wage IS 'dollars per week';
COMMENT ON COLUMN people.smsa IS 'lives in a standard metropolitan statistical area';

CREATE TEMP TABLE survey (
    row integer GENERATED ALWAYS AS IDENTITY, wage numeric, education integer, experience integer,
    ethnicity text, smsa boolean, region text, parttime boolean
);
\copy survey (wage, education, experience, ethnicity, smsa, region, parttime) FROM pstdin CSV HEADER
INSERT INTO people
    SELECT row, wage, education, experience, ethnicity, smsa, region, parttime FROM survey;
DROP TABLE survey;

REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO pgveil_reader;
GRANT SELECT ON people, regions TO pgveil_reader;
ANALYZE;
