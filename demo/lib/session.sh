# The scripted session: every query of demo/queries, asked of the protected server directly and of
# pgveil as the analyst. Sourced.

heading() {
    if [ -t 1 ]; then
        printf '\n\033[1m%s\033[0m\n' "$1"
    else
        printf '\n%s\n' "$1"
    fi
}

analyst_psql() {
    local dataset=$1
    shift
    psql -X -q -P pager=off "$(analyst_conninfo "$dataset")" "$@"
}

indent() { sed 's/^/    /'; }

# A query file is SQL with a title in its first line: "-- title". Settings of pgveil may stand before
# the query, which is the last statement.
show_query() {
    local dataset=$1 file=$2 settings query status=0
    heading "$dataset: $(sed -n '1s/^-- *//p' "$file")"
    settings=$(sed -n '/^SET dp\./p' "$file")
    query=$(sed -e '/^--/d' -e '/^SET dp\./d' "$file")
    [ -n "$settings" ] && printf '%s\n' "$settings" | indent
    printf '%s\n' "$query" | indent
    echo "  exact, asked from the protected server:"
    printf '%s\n' "$query" | protected_psql -d "$dataset" | indent
    echo "  private, asked from pgveil (the notice says what it cost):"
    printf '%s\n%s\n' "$settings" "$query" |
        analyst_psql "$dataset" -v ON_ERROR_STOP=1 >"$RUN/answer" 2>&1 || status=1
    indent <"$RUN/answer"
    [ $status = 0 ] || die "pgveil did not answer"
    echo "  expected error and price (EXPLAIN):"
    printf '%s\nEXPLAIN %s\n' "$settings" "$query" |
        analyst_psql "$dataset" -v ON_ERROR_STOP=1 -At >"$RUN/answer" 2>&1 || status=1
    grep -vE '^ *(Measurement|Price of the statement|Price: [0-9]+ pico)' "$RUN/answer" | indent
    [ $status = 0 ] || die "pgveil did not explain"
}

show_session() {
    local file dataset
    for dataset in census panel; do
        for file in "$ROOT/demo/queries/$dataset"/*.sql; do
            show_query "$dataset" "$file"
        done
    done
    heading "what the analyst spent (dp.budget)"
    analyst_psql census -c 'SELECT dataset, epsilon, delta, spent, remaining FROM dp.budget' ||
        die "no budget table"
}
