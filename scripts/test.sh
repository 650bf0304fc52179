#!/usr/bin/env bash
# Every test there is, in the development profile. Later parts run even when an earlier one failed. The last line says
# how many checks passed and failed.
#
# All that the tests make lies in one temporary folder; whatever happens, what was started there is stopped at the end.
set -euo pipefail
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-target}
target=$(realpath -m "$target")

# See scripts/install.sh: there only when the system's own is too old.
PATH=${XDG_CACHE_HOME:-$HOME/.cache}/granary/node/node_modules/node/bin:$PATH

work=$(mktemp -d)
# System users pass through it.
chmod 711 "$work"
passed=0 failed=0 durations=()

stop_all() {
    local home mount
    for home in "$work"/homes/*/; do
        if [[ -d $home && -x $target/debug/granary ]]; then GRANARY_HOME=${home%/} "$target/debug/granary" down || true; fi
    done
    # Volumes are mounted; one that is left would keep its folder.
    while read -r mount; do umount "$mount" || true; done < <(findmnt -rno TARGET | grep "^$work/" | sort -r || true)
    rm -rf "$work"
}
trap stop_all EXIT
trap 'exit 130' INT TERM HUP

# part <name> <function>: runs it, notes its time, and counts it as one failed check when it ends badly without having
# counted any itself.
part() {
    local name=$1 started=$SECONDS failed_before=$failed
    printf '\n=== %s\n' "$name"
    if "$2"; then
        if [[ ${3:-} = check ]]; then passed=$((passed + 1)); fi
    elif [[ $failed = "$failed_before" ]]; then
        failed=$((failed + 1))
    fi
    durations+=("$(printf '%5d s  %s' $((SECONDS - started)) "$name")")
}

format() { cargo fmt --check; }
lint_server() { cargo clippy --features ssr --all-targets -- -D warnings; }
dependencies() { node scripts/dependencies.mjs; }
documentation() { RUSTDOCFLAGS="-D warnings -A rustdoc::private_intra_doc_links" cargo doc --quiet --no-deps --document-private-items --features ssr --lib; }
lint_browser() { cargo clippy --features hydrate --lib --target wasm32-unknown-unknown -- -D warnings; }
# The newest and the oldest major of PostgreSQL are tested, and Valkey. Fetched once for all clones; what cannot be had is done without.
engines() {
    local cache=/var/cache/granary/engines
    if [[ $(id -u) != 0 ]]; then cache=${XDG_CACHE_HOME:-$HOME/.cache}/granary/engines; fi
    if [[ ! -e var/engines ]]; then
        INTO=$cache scripts/engines.sh 11 18 valkey || printf 'engines: the tests do without some\n'
        if [[ -d $cache ]]; then
            mkdir -p var
            ln -sfn "$cache" var/engines
        fi
    fi
}
build() { make -j"$(nproc)" debug; }

rust_tests() {
    local status=0
    cargo test --features ssr --no-fail-fast 2>&1 | tee "$work/rust.log" || status=$?
    read -r p f < <(awk '/^test result:/ { p += $4; f += $6 } END { print p + 0, f + 0 }' "$work/rust.log")
    passed=$((passed + p)) failed=$((failed + f))
    return "$status"
}

browser_tests() {
    local status=0
    mkdir -p "$work/homes"
    chmod 711 "$work/homes"
    if [[ ! end2end/node_modules/.package-lock.json -nt end2end/package-lock.json ]]; then
        npm --prefix end2end ci --no-audit --no-fund || return
    fi
    E2E_HOMES=$work/homes E2E_PROGRAM=$target/debug/granary E2E_SITE=$PWD/site-test \
        PLAYWRIGHT_JSON_OUTPUT_NAME=$work/browser.json npm --prefix end2end test || status=$?
    read -r p f < <(node -e '
        const { stats } = JSON.parse(require("fs").readFileSync(process.argv[1], "utf8"));
        console.log(stats.expected, stats.unexpected + stats.flaky);' "$work/browser.json") || return 1
    passed=$((passed + p)) failed=$((failed + f))
    return "$status"
}

part "format" format check
part "dependencies" dependencies check
part "lints, server side" lint_server check
part "lints, browser side" lint_browser check
part "documentation" documentation check
part "build" build
part "engines" engines
part "tests in Rust" rust_tests
part "tests in the browser" browser_tests

printf '\n'
printf '%s\n' "${durations[@]}"
printf '%d passed, %d failed\n' "$passed" "$failed"
[[ $failed = 0 && $passed -gt 0 ]]
