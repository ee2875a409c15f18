#!/bin/bash
# What can be said of the systemd unit, the compose file and the image without running them: the unit is
# one, its programs are those that `make install` installs, every file that the compose file and the
# Dockerfile name is there, and the image's configuration is accepted by pgveil.
set -u
cd "$(dirname "$0")/.." || exit 1
status=0
complain() {
    printf '%s\n' "$*"
    status=1
}
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT

# The programs are not installed here: any other stands for them.
if command -v systemd-analyze >/dev/null; then
    sed -E 's,^(Exec[A-Za-z]+=)[^ ]+.*,\1/bin/true,; s,^Documentation=.*,,' deploy/pgveil.service >"$work/pgveil.service"
    found=$(SYSTEMD_LOG_LEVEL=warning systemd-analyze verify --man=no "$work/pgveil.service" 2>&1 |
        grep -F pgveil.service)
    [ -z "$found" ] || complain "deploy/pgveil.service: $found"
fi
while read -r program; do
    grep -qE "install .*bin/$program$" Makefile || complain "deploy/pgveil.service: make install has no $program"
done < <(sed -nE 's,^Exec[A-Za-z]+=/usr/local/bin/([a-z]+).*,\1,p' deploy/pgveil.service | sort -u)
grep -q '^Exec' deploy/pgveil.service || complain "deploy/pgveil.service starts nothing"

mounted=0
while read -r path; do
    mounted=$((mounted + 1))
    [ -e "$path" ] || complain "docker-compose.yml: no file $path"
done < <(sed -nE 's,^ +- (\./[^:]+):.*,\1,p; s,^ +dockerfile: (.*),\1,p' docker-compose.yml)
[ "$mounted" -ge 4 ] || complain "docker-compose.yml mounts only $mounted files"

# The configuration as the container sees it, its paths below a folder of ours.
if [ -x build/release/pgveil ]; then
    cp deploy/docker.json "$work/pgveil.json"
    while read -r path name; do
        cp "$path" "$work/$name"
    done < <(sed -nE 's,^ +- (\./[^:]+):/etc/pgveil/([^:]+):ro,\1 \2,p' docker-compose.yml | grep -v 'pgveil.json$')
    said=$(build/release/pgveil --check -c "$work/pgveil.json" 2>&1) || complain "deploy/docker.json: $said"
fi
exit $status
