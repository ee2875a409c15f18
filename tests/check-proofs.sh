#!/bin/bash
# Every public function and variable of mechanisms/*.h has a section in the proof note of its header
# (mechanisms/proofs/<header>.md), and the section has all its parts. Sections of functions that no
# longer exist are found too.
set -u
cd "$(dirname "$0")/.." || exit 1
status=0
complain() {
    echo "$1"
    status=1
}

# Names declared in a header: comments removed, then what stands before a parenthesis, and externs.
declared() {
    sed -e 's#/\*.*\*/##' -e '/\/\*/,/\*\//d' "$1" |
        grep -oE '\bdp_[a-z0-9_]+\(|^extern [^;]*;' |
        sed -E 's/\($//; s/^extern .* \*?([a-z0-9_]+);/\1/' | sort -u
}
# Names in the headings of a note.
noted() { sed -n 's/^## //p' "$1" | tr -d ' ' | tr ',' '\n' | sort -u; }

for header in mechanisms/*.h; do
    note=mechanisms/proofs/$(basename "$header" .h).md
    names=$(declared "$header")
    [ -z "$names" ] && continue
    if [ ! -f "$note" ]; then
        complain "$header has no proof note $note"
        continue
    fi
    while read -r name; do
        complain "$name ($header) has no section in $note"
    done < <(comm -23 <(echo "$names") <(noted "$note"))
    while read -r name; do
        complain "$note speaks of $name, which $header does not declare"
    done < <(comm -13 <(echo "$names") <(noted "$note"))
    awk -v note="$note" '
        function finish() {
            if (section != "")
                for (i = 1; i <= n; i++)
                    if (!(parts[i] in seen)) { print note ": " section " lacks " parts[i]; bad = 1 }
            split("", seen)
        }
        BEGIN { n = split("Precondition Pseudocode Claim Argument Not_covered", parts, " ") }
        /^## / { finish(); section = substr($0, 4) }
        /^\*\*(Precondition|Pseudocode|Claim|Argument|Not covered)\.\*\*/ {
            part = $0; sub(/^\*\*/, "", part); sub(/\.\*\*.*/, "", part); gsub(/ /, "_", part)
            seen[part] = 1
        }
        END { finish(); exit bad }' "$note" || status=1
done
exit $status
