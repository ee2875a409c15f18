# The parts of a test run, and the count of what passed and failed. Sourced by tests/run.

PARTS=(checks unit stat integration attacks demo fuzz)
PASSED=0
FAILED=0
FAILURES=()

passed() { PASSED=$((PASSED + $1)); }
failed() {
    FAILED=$((FAILED + $1))
    FAILURES+=("$2")
}

# check NAME COMMAND...: one test that shows its output only when it fails.
check() {
    local name=$1 log
    shift
    log=$(mktemp)
    if "$@" </dev/null >"$log" 2>&1; then
        passed 1
        say "ok    $name"
    else
        failed 1 "$name"
        say "FAIL  $name"
        tail -n 60 "$log" >&2
    fi
    rm -f "$log"
}

SANITIZERS=address,undefined
make_quietly() { make -j"$(nproc)" --no-print-directory "$@"; }

# The shipped programs and every test program. What does not build fails here, and the rest goes on.
build_everything() {
    say "building"
    check "build" make_quietly all
    check "build with sanitizers" make_quietly SANITIZE=$SANITIZERS all
    check "build of the tests" make_quietly SANITIZE=$SANITIZERS -k tests
}

part_checks() {
    local script
    for script in tests/check-*.sh; do
        check "${script#tests/}" bash "$script"
    done
    check "format" make_quietly format-check
}

# run_criterion NAME PROGRAM SECONDS: counts a Criterion program's tests one by one.
run_criterion() {
    local name=$1 program=$2 log summary bad good status
    log=$(mktemp)
    timeout -k 10 "$3" "$program" --color=never </dev/null >"$log" 2>&1
    status=$?
    summary=$(grep -o 'Tested: .*' "$log" | tail -1)
    good=$(sed -n 's/.*Passing: \([0-9]*\).*/\1/p' <<<"$summary")
    bad=$(sed -n 's/.*Failing: \([0-9]*\).*/\1/p' <<<"$summary")
    passed "${good:-0}"
    if [ $status = 0 ] && [ "${bad:-1}" = 0 ]; then
        say "ok    $name ($good)"
    else
        [ "${bad:-0}" -gt 0 ] || bad=1
        failed "$bad" "$name"
        say "FAIL  $name ($bad, exit status $status)"
        tail -n 60 "$log" >&2
    fi
    rm -f "$log"
}

# run_programs FOLDER SECONDS: every Criterion program of tests/FOLDER.
run_programs() {
    local source name
    for source in tests/"$1"/test_*.c; do
        [ -f "$source" ] || continue
        name=$(basename "$source" .c)
        name=${name#test_}
        if [ -x "build/sanitize/tests/$1/$name" ]; then
            run_criterion "$1/$name" "build/sanitize/tests/$1/$name" "$2"
        else
            failed 1 "$1/$name was not built"
        fi
    done
}

part_unit() { run_programs unit 120; }
part_stat() { run_programs stat 900; }

# run_pytest FOLDER SECONDS: every test_*.py below it, two files at a time, each worker with servers of
# its own: most of the time servers start or wait for the disk.
run_pytest() {
    local folder=$1 report status counts
    compgen -G "$folder/test_*.py" >/dev/null || return 0
    report=$(mktemp)
    timeout -k 30 "$2" /usr/bin/python3 -m pytest -q -n 2 --dist loadfile -p no:cacheprovider --tb=short \
        --junitxml="$report" "$folder" >&2
    status=$?
    counts=$(/usr/bin/python3 - "$report" <<'END'
import sys
import xml.etree.ElementTree as tree

try:
    suites = list(tree.parse(sys.argv[1]).getroot().iter("testsuite"))
except (OSError, tree.ParseError):
    suites = []
total = {key: sum(int(s.get(key, 0)) for s in suites) for key in
         ("tests", "failures", "errors", "skipped")}
bad = total["failures"] + total["errors"]
print(max(0, total["tests"] - bad - total["skipped"]), bad)
END
    )
    rm -f "$report"
    passed "${counts% *}"
    if [ "${counts#* }" != 0 ]; then
        failed "${counts#* }" "$folder"
    elif [ $status != 0 ]; then
        failed 1 "$folder (pytest's exit status $status)"
    fi
}

part_integration() { run_pytest tests/integration 1800; }
part_attacks() { run_pytest tests/attacks 900; }

# Takes long and wants clang: with --all or by name only. One test per fuzzer.
part_fuzz() {
    local source name
    [ -n "$PGVEIL_TESTS_ALL" ] || [ "$only" = fuzz ] || return 0
    install_packages "${PACKAGES_FUZZ[@]}"
    for source in tests/fuzz/fuzz_*.c; do
        name=$(basename "$source" .c)
        check "fuzz/${name#fuzz_}" make_quietly "fuzz-${name#fuzz_}" FUZZ_SECONDS=60
    done
}

# The demo in a folder with a space in its name: it must stop all that it started.
part_demo() { check "demo" bash tests/demo.sh; }
