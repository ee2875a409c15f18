#!/bin/bash
# Who may include whom, and where a library's headers may stand (docs/architecture.md).
set -u
cd "$(dirname "$0")/.." || exit 1
status=0

# wrong FOLDER PATTERN WHY: no file below FOLDER may include what matches PATTERN.
wrong() {
    local found
    found=$(grep -rnE --include='*.[ch]' "^[[:space:]]*#[[:space:]]*include[[:space:]]*[<\"]($2)" $1) || return 0
    printf '%s\n  -> %s\n' "$found" "$3"
    status=1
}

wrong mechanisms '(config|parser|budget|proxy|tests)/' 'mechanisms/ includes no other folder'
wrong config '(parser|budget|proxy|tests)/' 'config/ includes mechanisms/ only'
wrong parser '(budget|proxy|tests)/' 'parser/ includes config/ and mechanisms/ only'
wrong budget '(parser|proxy|tests)/' 'budget/ includes mechanisms/, and config/ for pgveilctl'
wrong proxy 'tests/' 'programs do not include the tests'

# config/ knows the number types of mechanisms/ and nothing else of it.
found=$(grep -rnE --include='*.[ch]' '^#include "mechanisms/' config |
    grep -vE '"mechanisms/(decimal|calibrate)\.h"') && {
    printf '%s\n  -> config/ includes the number types of mechanisms/ only\n' "$found"
    status=1
}
# Only pgveilctl's own files use config/ in budget/.
found=$(grep -rnE --include='*.[ch]' '^#include "config/' budget | grep -vE '^budget/ctl') && {
    printf '%s\n  -> in budget/ only pgveilctl (ctl*.c) includes config/\n' "$found"
    status=1
}

wrong 'mechanisms config budget proxy' 'pg_query|protobuf' 'libpg_query stays in parser/'
wrong 'mechanisms config parser budget' 'event2?/|event\.h' 'libevent stays in proxy/'
wrong 'mechanisms parser proxy' 'jansson' 'jansson stays in config/ and pgveilctl'
found=$(grep -rnE --include='*.[ch]' '<jansson' budget | grep -vE '^budget/ctl') && {
    printf '%s\n  -> in budget/ only pgveilctl (ctl*.c) includes jansson\n' "$found"
    status=1
}
wrong 'mechanisms config parser' 'libpq' 'libpq stays in budget/ and proxy/'
wrong 'mechanisms parser' 'sys/socket|netinet/|arpa/|sys/un' 'no sockets in pure folders'

exit $status
