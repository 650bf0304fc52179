#!/usr/bin/env bash
# The long chaos, for `make chaos`. As root it runs in a network namespace of its own, in which nodes can be cut off, and with a
# library that tells Granary another time than the machine's; elsewhere both are skipped, and it says so.
set -euo pipefail
cd "$(dirname "$0")/.."

cargo test --features ssr --test kill --no-run
test=(cargo test --offline --features ssr --test kill -- --ignored --exact --nocapture chaos::the_long_form)
if [[ $(id -u) != 0 ]]; then
    exec "${test[@]}"
fi
clock() { compgen -G '/usr/lib/*/faketime/libfaketime.so.1'; }
clock >/dev/null || scripts/apt-quiet.sh libfaketime || true
CHAOS_CLOCK=$(clock || true)
export CHAOS_CLOCK
if unshare --net true 2>/dev/null && command -v ip >/dev/null; then
    CHAOS_NETWORK=own exec unshare --net -- bash -c 'ip link set lo up && exec "$@"' chaos "${test[@]}"
fi
exec "${test[@]}"
