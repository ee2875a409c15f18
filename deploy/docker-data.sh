#!/bin/bash
# Run by the protected server's image on its first start: the role of pgveil and the census survey.
set -eu
psql -X -v ON_ERROR_STOP=1 -U postgres -d postgres \
    -c "CREATE ROLE pgveil_reader LOGIN PASSWORD 'a-password-to-change'" -c 'CREATE DATABASE census'
psql -X -U postgres -d census -f /demo/sql/census.sql < /demo/data/cps1988.csv
