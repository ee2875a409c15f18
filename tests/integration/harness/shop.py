"""A fourth dataset: names that need quotes, keys of unusual types, types of the schema's own."""

SCHEMA = """
CREATE SCHEMA "My Shop";
CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE DOMAIN cents AS integer CHECK (VALUE >= 0);
CREATE TABLE "My Shop"."Customers" (
    id uuid PRIMARY KEY, "Full Name" text, mood mood, born date, joined timestamptz, score numeric,
    height real, code char(3), vip boolean, tags text[], secret text,
    renewed timestamptz);
CREATE TABLE "My Shop".orders (
    id bigint PRIMARY KEY, customer uuid REFERENCES "My Shop"."Customers", at timestamptz,
    total numeric(12,2), country varchar(2), state smallint, paid cents);
CREATE TABLE products (id integer PRIMARY KEY, category text, price numeric(8,2));
INSERT INTO products SELECT g, 'category ' || g % 5, g * 1.5 FROM generate_series(1, 50) g;
INSERT INTO "My Shop"."Customers"
    SELECT md5(g::text)::uuid, 'Name ' || g, (ARRAY['sad','ok','happy']::mood[])[1 + g % 3],
           '1950-01-01'::date + g * 5, '2020-01-01 00:00+00'::timestamptz + g * interval '1 hour',
           (g % 10) + 0.5, 150 + g % 50, 'ab' || g % 7, g % 2 = 0, ARRAY['x'], 's',
           (ARRAY['2022-03-01 02:00+00', 'infinity', '0044-03-15 12:00+00 BC']::timestamptz[])[1 + g % 3]
    FROM generate_series(1, 3000) g;
INSERT INTO "My Shop".orders
    SELECT g, md5((1 + g % 3000)::text)::uuid, '2021-01-01 00:00+00'::timestamptz + g * interval '20 min',
           (g % 500) + 0.25, (ARRAY['DE','FR','IT'])[1 + g % 3], g % 4, g % 90
    FROM generate_series(1, 12000) g;
GRANT USAGE ON SCHEMA "My Shop", public TO pgveil_reader;
GRANT SELECT ON ALL TABLES IN SCHEMA "My Shop", public TO pgveil_reader;
"""

POLICY = {"tables": {
    '"My Shop"."Customers"': {"unit": "id", "max_rows": 1, "columns": {
        "id": {}, '"Full Name"': {}, "mood": {"domain": ["sad", "ok", "happy"]},
        "born": {"bounds": ["1900-01-01", "2020-12-31"]}, "joined": {},
        "score": {"bounds": ["0", 10.5]}, "height": {"bounds": [0, 250]}, "code": {}, "vip": {},
        "tags": {}, "renewed": {"domain": ["2022-03-01 03:00+01", "infinity", "0044-03-15 12:00+00 BC"]}}},
    '"My Shop".orders': {
        "unit": {"column": "customer", "references": '"My Shop"."Customers"'}, "max_rows": 10,
        "columns": {
            "id": {}, "customer": {}, "at": {"bounds": ["2020-01-01 00:00", "2030-01-01 00:00"]},
            "total": {"bounds": [0, 600]}, "country": {"domain": ["DE", "FR", "IT"]}, "state": {},
            "paid": {"bounds": [0, 100]}}},
    "public.products": {"public": True, "columns": {"id": {}, "category": {}}},
}}
