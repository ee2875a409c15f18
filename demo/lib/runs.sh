# Runs of the demo: each has a folder of its own and a record in the user's state folder. A run holds
# a lock on its record as long as its script lives, so what a killed run left is found. Sourced.

records_folder() {
    # Without HOME, bash takes the tilde from the user database.
    [ -n "${HOME:-}" ] || HOME=~
    local state=${XDG_STATE_HOME:-$HOME/.local/state}
    echo "$state/pgveil-demo/$(printf '%s' "$ROOT" | cksum | cut -d' ' -f1)"
}

# Processes that were started with a path below the folder: postmasters and pgveil.
run_processes() {
    local file
    for file in /proc/[0-9]*/cmdline; do
        if tr '\0' '\n' 2>/dev/null <"$file" | grep -qF -- "$1/"; then
            file=${file%/cmdline}
            echo "${file#/proc/}"
        fi
    done 2>/dev/null
}

# Sends a signal to the run's processes whose command contains a word, and waits for their end.
end_processes() {
    local folder=$1 word=$2 signal=$3 seconds=$4 pid pids=()
    for pid in $(run_processes "$folder"); do
        tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline" | grep -qE -- "$word" && pids+=("$pid")
    done
    [ ${#pids[@]} = 0 ] && return
    kill "-$signal" "${pids[@]}" 2>/dev/null
    for ((i = 0; i < seconds * 10; i++)); do
        kill -0 "${pids[@]}" 2>/dev/null || return
        sleep 0.1
    done
}

# Ends everything of one run: pgveil stops its own servers; then the protected server; then whatever
# a killed pgveil left behind.
end_run() {
    local folder=$1
    case $folder in
    /tmp/pgveil-demo.*) ;;
    *) return ;;
    esac
    end_processes "$folder" '/pgveil -c' TERM 30
    end_processes "$folder" '/postgres ' INT 20
    end_processes "$folder" '/postgres ' QUIT 10
    end_processes "$folder" '.' KILL 5
    rm -rf "$folder"
}

record_value() { sed -n "s/^$2=//p" "$1"; }

# Cleans up after runs whose script is gone, and whose servers nobody wanted kept or are gone too.
end_stale_runs() {
    local record folder
    for record in "$(records_folder)"/*; do
        [ -f "$record" ] || continue
        flock -n "$record" true || continue
        folder=$(record_value "$record" folder)
        if [ -n "$(record_value "$record" kept)" ] && [ -n "$(run_processes "$folder")" ]; then
            continue
        fi
        [ -d "$folder" ] && say "cleaning up after a run that was killed"
        end_run "$folder"
        rm -f "$record"
    done
}

end_kept_runs() {
    local record ended=0
    for record in "$(records_folder)"/*; do
        [ -f "$record" ] && [ -n "$(record_value "$record" kept)" ] || continue
        end_run "$(record_value "$record" folder)"
        rm -f "$record"
        ended=$((ended + 1))
    done
    say "stopped $ended running demo(s)"
}

# Makes RUN, the folder of this run, and RECORD, its record, locked on descriptor 9.
begin_run() {
    mkdir -p "$(records_folder)" || die "cannot write to $(records_folder)"
    # A short path: Unix sockets allow 107 bytes.
    RUN=$(mktemp -d /tmp/pgveil-demo.XXXXXXXX) || die "cannot write to /tmp"
    RECORD=$(mktemp "$(records_folder)/run.XXXXXXXX")
    exec 9>>"$RECORD"
    flock 9
    echo "folder=$RUN" >>"$RECORD"
    chmod 755 "$RUN"
    [ "$(id -u)" = 0 ] && chown "$SERVER_USER:" "$RUN"
    return 0
}
