#!/bin/bash
# The demo from a path with a space: it answers, it stops everything, --keep and --stop do as they say.
set -u
ROOT=$(cd "$(dirname "$0")/.." && pwd -P)
base=$(mktemp -d)
checkout="$base/a checkout"
export XDG_STATE_HOME="$base/state of the user"
status=0

problem() {
    echo "demo: $*"
    status=1
}
clean_up() {
    [ -x "$checkout/demo/run" ] && "$checkout/demo/run" --stop >/dev/null 2>&1
    rm -rf "$base"
}
trap clean_up EXIT

mkdir -p "$checkout" || exit 1
(cd "$ROOT" && tar -cf - --exclude=./.git --exclude=./build/sanitize .) | tar -xf - -C "$checkout"


# One whole run.
"$checkout/demo/run" >"$base/out" 2>"$base/err" || problem "failed: $(tail -5 "$base/err")"
for word in 'exact, asked' 'private, asked' 'expected error and price' 'dp.budget'; do
    grep -q "$word" "$base/out" || problem "does not show: $word"
done

# --keep: the last line connects without a prompt, from any folder, also beside a second run.
"$checkout/demo/run" --keep >"$base/kept" 2>"$base/err" || problem "--keep failed: $(tail -5 "$base/err")"
command=$(tail -n 1 "$base/kept")
count() { (cd / && bash -c "$command -w -X -q -A -t -c 'SELECT count(*) FROM people'" 2>>"$base/err"); }
[[ $(count) =~ ^2[78][0-9]{3}$ ]] || problem "the last line does not connect: $command"
"$checkout/demo/run" >/dev/null 2>"$base/err" || problem "a second run beside it failed: $(tail -5 "$base/err")"
[[ $(count) =~ ^2[78][0-9]{3}$ ]] || problem "a second run disturbed the first"
"$checkout/demo/run" --stop >/dev/null 2>&1 || problem "--stop failed"
[ -z "$(count)" ] || problem "--stop left pgveil running"

# A killed run is cleaned up by the next one.
setsid "$checkout/demo/run" >"$base/killed" 2>&1 &
for ((i = 0; i < 600; i++)); do
    grep -q 'starting pgveil' "$base/killed" && break
    sleep 0.1
done
sleep 1
kill -KILL -- -$! 2>/dev/null || kill -KILL $!
wait $! 2>/dev/null
"$checkout/demo/run" >"$base/out" 2>"$base/err" || problem "failed after a killed run: $(tail -5 "$base/err")"
grep -q 'cleaning up after a run that was killed' "$base/err" || problem "did not notice the killed run"
for record in "$XDG_STATE_HOME"/pgveil-demo/*/*; do
    [ -e "$record" ] && problem "left the record $record"
done
exit $status
