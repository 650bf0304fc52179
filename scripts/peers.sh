#!/usr/bin/env bash
# Installs what `make bench` compares Granary with: Patroni with etcd, and pg_auto_failover. No service is started. Says on
# standard output where Patroni is. A peer that cannot be had is named as such in the table, so this never fails.
# peers.sh <word>: nothing where no part of that word has peers.
set -uo pipefail
cd "$(dirname "$0")/.."

needed=
for part in failover frozen switchover replicas; do
    if [[ $part = *${1:-}* ]]; then needed=1; fi
done
[[ -n $needed ]] || exit 0

say() { printf 'peers: %s\n' "$*" >&2; }
has() { command -v "$1" >/dev/null; }
as_root() { if [[ $(id -u) = 0 ]]; then "$@"; else sudo "$@"; fi; }

major=$(printf '%s\n' /usr/lib/postgresql/*/bin/postgres | sort -V | tail -n1 | cut -d/ -f5)
missing=()
has etcd || missing+=(etcd-server)
has tini || missing+=(tini)
has pg_autoctl || missing+=(pg-auto-failover-cli)
[[ -e /usr/lib/postgresql/$major/lib/pgautofailover.so ]] || missing+=("postgresql-$major-auto-failover")
/usr/bin/python3 -c 'import ensurepip' 2>/dev/null || missing+=(python3-venv)
if ((${#missing[@]})); then
    say "installing ${missing[*]}; no service is started or changed"
    # One by one: what one lacks, the others may have.
    for package in "${missing[@]}"; do
        as_root scripts/apt-quiet.sh "$package" >&2 || say "$package cannot be had"
    done
fi

# Unprivileged users run it, and those pass through no home of root's.
cache=${XDG_CACHE_HOME:-$HOME/.cache}
if [[ $(id -u) = 0 ]]; then cache=/var/cache; fi
version=$(sed -n 's/^patroni.*==//p' scripts/patroni.txt)
patroni=$cache/granary/patroni-$version
if [[ ! -x $patroni/bin/patroni ]]; then
    say "putting Patroni $version into $patroni"
    # Whole or not at all.
    rm -rf "$patroni"
    if ! { mkdir -p "${patroni%/*}" && /usr/bin/python3 -m venv "$patroni" &&
        "$patroni/bin/python" -m pip install --quiet --requirement scripts/patroni.txt; } >&2; then
        rm -rf "$patroni"
        say "Patroni $version cannot be had"
    fi
fi
printf '%s\n' "$patroni"
