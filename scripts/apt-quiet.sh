#!/usr/bin/env bash
# Installs Debian packages, as root, and leaves every service as it was: nothing is started, stopped, restarted or set
# to start with the machine, and no database cluster is made.
#
# Debian starts a server when its package is installed. Two files keep it from that for the time of the installation;
# one that is already there is somebody's wish and stays as it is.
set -euo pipefail

policy=/usr/sbin/policy-rc.d
cluster=/etc/postgresql-common/createcluster.d/granary.conf
mark='# Made by Granary for the time of one installation.'

ours() { [[ -f $1 ]] && grep -qxF "$mark" "$1"; }

tidy() {
    for file in "$policy" "$cluster"; do
        if ours "$file"; then rm -f "$file"; fi
    done
    if [[ -d ${cluster%/*} ]]; then rmdir --ignore-fail-on-non-empty "${cluster%/*}"; fi
}
trap tidy EXIT
trap 'exit 130' INT TERM HUP

installed() { dpkg-query --show --showformat='${db:Status-Status}' "$1" 2>/dev/null | grep -qx installed; }

if [[ ! -e $policy ]] || ours "$policy"; then
    printf '#!/bin/sh\n%s\nexit 101\n' "$mark" >"$policy"
    chmod 755 "$policy"
fi
mkdir -p "${cluster%/*}"
printf '%s\ncreate_main_cluster = false\n' "$mark" >"$cluster"
# Granary runs these itself, one for each datastore, and a benchmark runs etcd. Debian's own services of them, when they are
# new, are not wanted; they would start at the next boot.
declare -A services=([haproxy]=haproxy [redis-server]=redis-server [etcd-server]=etcd)
unwanted=()
for package in "${!services[@]}"; do
    if ! installed "$package"; then unwanted+=("$package"); fi
done

# NEEDRESTART_SUSPEND: needrestart, where it is installed, would restart services after apt.
export DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1
apt-get -o DPkg::Lock::Timeout=300 -q update
apt-get -o DPkg::Lock::Timeout=300 -q install --yes --no-install-recommends --no-upgrade "$@"

for package in "${unwanted[@]}"; do
    if installed "$package" && command -v systemctl >/dev/null; then
        systemctl --quiet disable "${services[$package]}.service" 2>/dev/null || true
    fi
done
