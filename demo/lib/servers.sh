# The protected server and pgveil of one run of the demo, below $RUN. Sourced.

# A PostgreSQL server reachable by its socket folder alone.
start_protected_server() {
    local bin
    bin=$(postgres_bin) || exit 1
    as_server_user mkdir -p -m 700 "$RUN/protected" || die "cannot write to $RUN"
    as_server_user "$bin/initdb" -D "$RUN/protected/data" -U postgres -A trust -E UTF8 \
        --locale=C.UTF-8 --no-sync >"$RUN/initdb.log" 2>&1 || show_log "$RUN/initdb.log"
    (cd / && exec "${AS_SERVER_USER[@]}" setsid "$bin/postgres" -D "$RUN/protected/data" \
        -k "$RUN/protected" -c listen_addresses= -c fsync=off -c shared_buffers=64MB \
        -c max_connections=40 -c logging_collector=off) \
        9>&- </dev/null >"$RUN/protected.log" 2>&1 &
    wait_for protected_answers "$RUN/protected.log" "the protected server"
}

show_log() {
    tail -20 "$1" >&2
    die "a server could not start; its last words are above"
}

protected_psql() { as_server_user psql -X -q -P pager=off -h "$RUN/protected" -U postgres "$@"; }
protected_answers() { protected_psql -d postgres -c 'SELECT 1' >/dev/null 2>&1; }

# wait_for CHECK LOG NAME: half a minute, or as long as its process lives.
wait_for() {
    local pid=$!
    for ((i = 0; i < 600; i++)); do
        "$1" && return
        kill -0 $pid 2>/dev/null || break
        sleep 0.1
    done
    say "$3 did not start"
    show_log "$2"
}

load_data() {
    protected_psql -d postgres -c 'CREATE ROLE pgveil_reader LOGIN' \
        -c 'CREATE DATABASE census' -c 'CREATE DATABASE panel' &&
        load_dataset census cps1988.csv && load_dataset panel psid7682.csv ||
        die "could not load the data"
}

load_dataset() {
    cp "$ROOT/demo/sql/$1.sql" "$RUN/$1.sql" && chmod 644 "$RUN/$1.sql" &&
        protected_psql -d "$1" -f "$RUN/$1.sql" <"$ROOT/demo/data/$2"
}

# Programs and policies are copied: the checkout may be unreadable to the servers' user.
install_pgveil() {
    mkdir -p "$RUN/bin" "$RUN/policies" &&
        cp "$ROOT/build/release/pgveil" "$ROOT/build/release/pgveilctl" "$RUN/bin/" &&
        cp "$ROOT"/demo/policies/*.json "$RUN/policies/" && chmod -R a+rX "$RUN/bin" "$RUN/policies" ||
        die "could not copy the programs to $RUN"
    cat >"$RUN/pgveil.json" <<END
{
  "listen": { "address": "127.0.0.1", "port": 0 },
  "state_directory": "$RUN/state",
  "postgres_bin": "$(postgres_bin)",
  "datasets": {
    "census": {
      "server": "host=$RUN/protected dbname=census user=pgveil_reader",
      "policy": "policies/census.json",
      "epsilon_default": "0.1"
    },
    "panel": {
      "server": "host=$RUN/protected dbname=panel user=pgveil_reader",
      "policy": "policies/panel.json",
      "epsilon_default": "0.5"
    }
  }
}
END
    chmod 644 "$RUN/pgveil.json"
}

pgveil_listens() { grep -q 'listening on ' "$RUN/pgveil.log" 2>/dev/null; }

start_pgveil() {
    (cd / && exec "${AS_SERVER_USER[@]}" setsid "$RUN/bin/pgveil" -c "$RUN/pgveil.json") \
        9>&- </dev/null >"$RUN/pgveil.log" 2>&1 &
    wait_for pgveil_listens "$RUN/pgveil.log" pgveil
    PORT=$(sed -n 's/.*listening on .*:\([0-9][0-9]*\).*/\1/p' "$RUN/pgveil.log" | head -1)
    [ -n "$PORT" ] || show_log "$RUN/pgveil.log"
}

pgveilctl() { as_server_user "$RUN/bin/pgveilctl" -c "$RUN/pgveil.json" "$@"; }

# An analyst named analyst with a budget for both datasets; PASSWORD is his.
make_analyst() {
    PASSWORD=$(random_password)
    printf '%s\n' "$PASSWORD" | pgveilctl analyst add analyst --password-stdin >"$RUN/pgveilctl.log" 2>&1 &&
        pgveilctl budget grant analyst census --epsilon 3 --delta 1e-6 >>"$RUN/pgveilctl.log" 2>&1 &&
        pgveilctl budget grant analyst panel --epsilon 5 --delta 1e-6 >>"$RUN/pgveilctl.log" 2>&1 ||
        show_log "$RUN/pgveilctl.log"
}

# What psql connects with, as the analyst, to a dataset.
analyst_conninfo() {
    echo "host=127.0.0.1 port=$PORT dbname=$1 user=analyst password=$PASSWORD sslmode=prefer"
}
