# What the demo and the tests need of the machine: packages, and a user for the servers. Sourced.

export LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive
# Debian keeps the servers' programs out of PATH, and a bare root shell may lack the sbin folders.
export PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"

PACKAGES_BUILD=(gcc libc6-dev make pkg-config libevent-dev libjansson-dev libpq-dev libssl-dev
    libprotobuf-c-dev libpg-query-dev libedit-dev)
PACKAGES_RUN=(postgresql-15 util-linux)
PACKAGES_TEST=(libcriterion-dev python3-pytest python3-pytest-xdist python3-psycopg2 python3-psycopg openssl binutils
    procps clang-format)
PACKAGES_FUZZ=(clang libclang-rt-14-dev)

say() { printf '%s\n' "$*" >&2; }
die() {
    say "$(basename "$0"): $*"
    exit 1
}

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        die "needs to run as root: $*"
    fi
}

missing_packages() {
    local package
    for package in "$@"; do
        dpkg-query -W -f '${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed ||
            echo "$package"
    done
}

# Debian starts a server on port 5432 when it installs one; nothing here needs that one.
without_main_cluster() {
    local file=/etc/postgresql-common/createcluster.d/pgveil-setup.conf
    if missing_packages postgresql-15 | grep -q .; then
        as_root mkdir -p "${file%/*}"
        echo 'create_main_cluster = false' | as_root tee "$file" >/dev/null
        "$@"
        local status=$?
        as_root rm -f "$file"
        return $status
    fi
    "$@"
}

# Installs what is missing of the packages named, and asks nobody anything.
install_packages() {
    local missing
    mapfile -t missing < <(missing_packages "$@")
    [ ${#missing[@]} = 0 ] && return
    command -v apt-get >/dev/null || die "needs these packages: ${missing[*]}"
    say "installing ${missing[*]}"
    local log
    log=$(mktemp)
    as_root apt-get update >"$log" 2>&1 || say "apt-get update failed; going on with what is known"
    without_main_cluster as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y \
        --no-install-recommends "${missing[@]}" >>"$log" 2>&1 || {
        tail -20 "$log" >&2
        rm -f "$log"
        die "could not install: ${missing[*]}"
    }
    rm -f "$log"
}

# PostgreSQL refuses to run as root. As root, servers run as the user that Debian's package makes.
SERVER_USER=$(id -un)
AS_SERVER_USER=(env)
if [ "$(id -u)" = 0 ]; then
    SERVER_USER=postgres
    AS_SERVER_USER=(setpriv --reuid=postgres --regid=postgres --init-groups
        env HOME=/ USER=postgres LOGNAME=postgres)
fi

# Runs a command as the servers' user, in a folder that this user can read.
as_server_user() (
    cd / && exec "${AS_SERVER_USER[@]}" "$@"
)

# The newest installed server whose twin pgveil can be; POSTGRES_BIN chooses another.
postgres_bin() {
    local folder
    if [ -n "${POSTGRES_BIN:-}" ]; then
        echo "$POSTGRES_BIN"
        return
    fi
    for folder in /usr/lib/postgresql/15/bin /usr/lib/postgresql/*/bin; do
        [ -x "$folder/initdb" ] && echo "$folder" && return
    done
    die "no PostgreSQL server below /usr/lib/postgresql"
}

random_password() { od -An -N18 -tx1 /dev/urandom | tr -d ' \n'; }
