#!/bin/bash
# The documents point at files that exist and show commands that exist; the programs' sources hold no
# unfinished marks.
set -u
cd "$(dirname "$0")/.." || exit 1
status=0
complain() {
    printf '%s\n' "$*"
    status=1
}

documents=$(git ls-files '*.md' 2>/dev/null || find . -name '*.md' -not -path './build/*')
[ -n "$documents" ] || documents=$(find . -name '*.md' -not -path './build/*')
while read -r document; do
    folder=$(dirname "$document")
    while read -r target; do
        case $target in
        http://* | https://* | mailto:* | '#'* | '') continue ;;
        esac
        [ -e "$folder/${target%%#*}" ] || complain "$document: no file $target"
    done < <(grep -oE '\]\([^)]+\)' "$document" | sed -E 's/^\]\(//; s/\)$//')
done <<<"$documents"

# Every command of pgveilctl that a document shows is one that it has.
if [ -x build/release/pgveilctl ]; then
    commands=$(build/release/pgveilctl help)
    while read -r shown; do
        grep -qE "^ *$shown( |$)" <<<"$commands" || complain "no such command: pgveilctl $shown"
    done < <(grep -rhoE '^ *pgveilctl (analyst|budget|policy) [a-z]+|^ *pgveilctl (init|status)' \
        $documents | sed -E 's/^ *pgveilctl //' | sort -u)
fi

# Every option that a document names is one of docs/configuration.md.
while read -r option; do
    grep -qF "| \`$option\` |" docs/configuration.md || complain "no such option: $option"
done < <(grep -rhoE '\b(limits|timeouts)\.[a-z_]{2,}' $documents | sort -u)

marks=$(grep -rnE '\b(TODO|FIXME|XXX|HACK)\b' --include='*.[ch]' --include='*.sql' --include='*.py' \
    --include='*.sh' --exclude=check-docs.sh mechanisms config parser budget proxy tests demo)
[ -z "$marks" ] || complain "unfinished: $marks"
exit $status
