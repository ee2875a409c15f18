#!/bin/bash
# The shipped programs hold nothing of the test tree: no symbol, and no object compiled from tests/.
# A program linked with the tests' noise must be found out, or the check itself is broken.
set -u
cd "$(dirname "$0")/.." || exit 1
status=0

# Names of the programs' symbols and of the files they were compiled from.
traces() {
    nm --no-sort "$1" 2>/dev/null | awk '{print $NF}'
    readelf --debug-dump=info --dwarf-depth=1 "$1" 2>/dev/null |
        awk '/DW_AT_name/ {print $NF}'
}
is_test_build() { traces "$1" | grep -qE '^zero_noise|^tests/|^chaos_|^tape_'; }

for program in build/release/pgveil build/release/pgveilctl build/sanitize/pgveil; do
    if [ ! -x "$program" ]; then
        echo "$program is not built"
        status=1
    elif is_test_build "$program"; then
        echo "$program holds code of the test tree:"
        traces "$program" | grep -E '^zero_noise|^tests/|^chaos_|^tape_'
        status=1
    fi
done

control=build/sanitize/tests/pgveil-zero-noise
if [ ! -x "$control" ]; then
    echo "$control is not built: the check has nothing to prove itself on"
    status=1
elif ! is_test_build "$control"; then
    echo "$control was not recognised as a test build"
    status=1
fi
exit $status
