#!/usr/bin/env bash
# Installs what is missing, for `make run` (install.sh run) or `make test` (install.sh test). When nothing is missing it
# only looks, touches no network, and takes a few hundredths of a second.
set -euo pipefail
cd "$(dirname "$0")/.."
goal=${1:-run}

say() { printf 'install: %s\n' "$*"; }
fail() {
    printf 'install: %s\n' "$@" >&2
    exit 1
}

has() { command -v "$1" >/dev/null || [[ -x /usr/sbin/$1 ]]; }
any() { compgen -G "$1" >/dev/null; }
at_least() { [[ $(printf '%s\n' "$1" "$2" | sort -V | head -n1) = "$1" ]]; }

# --- Debian packages ---------------------------------------------------------------------------------------------
missing=()
want() { missing+=("$@"); }

any '/usr/lib/postgresql/*/bin/postgres' || want postgresql
has redis-server || want redis-server
# The server without Debian's service and its data directory, which Granary has no use for.
has mariadbd && has mariadb-install-db || want mariadb-server-core
has mariadb-backup || want mariadb-backup
has haproxy || want haproxy
has cc || want gcc libc6-dev
has setpriv || want util-linux
has mkfs.ext4 && has resize2fs || want e2fsprogs
has mount && has losetup || want mount util-linux
[[ -e /etc/ssl/certs/ca-certificates.crt ]] || want ca-certificates
has node || want nodejs
has cargo || has curl || want curl
if [[ $goal = test ]]; then
    has npm || want npm
    has chromium || want chromium
    any '/usr/share/fonts/*/*' || want fonts-dejavu-core
    has curl || want curl
    has openssl || want openssl
    has redis-cli || want redis-tools
    has mariadb || want mariadb-client
    # The pages' Python lines are run as they stand.
    /usr/bin/python3 -c 'import psycopg' 2>/dev/null || want python3 python3-psycopg
    /usr/bin/python3 -c 'import redis' 2>/dev/null || want python3 python3-redis
    /usr/bin/python3 -c 'import pymysql' 2>/dev/null || want python3 python3-pymysql
fi

if ((${#missing[@]})); then
    # The same package can be wanted twice.
    mapfile -t missing < <(printf '%s\n' "${missing[@]}" | sort -u)
    has apt-get || fail "missing: ${missing[*]} (Debian's names). This machine has no apt-get: install them and run make again."
    say "installing ${missing[*]}; no service is started or changed"
    if [[ $(id -u) = 0 ]]; then
        scripts/apt-quiet.sh "${missing[@]}"
    elif has sudo; then
        sudo scripts/apt-quiet.sh "${missing[@]}"
    else
        fail "missing: ${missing[*]}. Run make as root, as a user with sudo, or have them installed."
    fi
fi

# The tests' OpenID Connect issuer needs a newer Node.js than Debian 12 has; npm has it too. scripts/test.sh looks there.
if [[ $goal = test ]]; then
    node=$(node --version)
    tools=${XDG_CACHE_HOME:-$HOME/.cache}/granary/node
    if ! at_least 20.19 "${node#v}" && [[ ! -x $tools/node_modules/node/bin/node ]]; then
        say "Node.js $node is too old for the tests; putting a newer one into $tools"
        mkdir -p "$tools"
        npm install --prefix "$tools" --no-audit --no-fund --no-save node@22
    fi
fi
node=$(node --version)
at_least 18 "${node#v}" || fail "Node.js $node is too old: 18 or newer is needed. Debian has it as nodejs, or see https://nodejs.org."

# --- Rust --------------------------------------------------------------------------------------------------------
# Debian's own compiler is too old, so it comes from rustup, and a compiler is not installed without being asked for.
rust_wanted=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' Cargo.toml)
if ! has cargo; then
    answer=${INSTALL_RUST:-}
    if [[ -z $answer && -t 0 ]]; then
        read -r -p "install: Rust is missing. Install it now for $(id -un), with rustup from https://rustup.rs? [y/N] " answer
    fi
    case $answer in
        1 | y | Y | yes) curl --proto '=https' --tlsv1.2 -fsS https://sh.rustup.rs | sh -s -- -y --profile minimal ;;
        *) fail "Rust $rust_wanted or newer is missing. Get it from https://rustup.rs and run make again," \
            "or let make install it: INSTALL_RUST=1 make $goal" ;;
    esac
    export PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"
fi
rust=$(rustc --version | cut -d' ' -f2)
at_least "$rust_wanted" "$rust" || fail "Rust $rust is too old: $rust_wanted or newer is needed. With rustup: rustup update stable"

add() { # add <what is missing> <arguments of rustup>
    has rustup || fail "the Rust toolchain has no $1, and there is no rustup to add it with. See https://rustup.rs."
    say "adding $1"
    shift
    rustup "$@"
}
[[ -d $(rustc --print sysroot)/lib/rustlib/wasm32-unknown-unknown/lib ]] ||
    add "the browser target wasm32-unknown-unknown" target add wasm32-unknown-unknown
if [[ $goal = test ]]; then
    cargo clippy --version >/dev/null 2>&1 || add clippy component add clippy
    cargo fmt --version >/dev/null 2>&1 || add rustfmt component add rustfmt
fi
