# To be sourced. A PostgreSQL for the time of one script: in a folder of its own, reached by its socket alone, without
# care for its data.

# temp_postgres_start <empty folder>: sets temp_postgres_url (a superuser's, for psql and sqlx) and temp_postgres_pid.
temp_postgres_start() {
    local folder=$1 bin as=()
    bin=$(printf '%s\n' /usr/lib/postgresql/*/bin | sort -V | tail -n1)
    mkdir "$folder/data" "$folder/run"
    if [[ $(id -u) = 0 ]]; then
        # PostgreSQL refuses to run as root; Debian's package brings the user.
        chown postgres "$folder/data" "$folder/run"
        chmod 711 "$folder"
        as=(setpriv --reuid postgres --regid postgres --clear-groups)
    fi
    "${as[@]}" "$bin/initdb" --no-sync --auth trust --username postgres --encoding UTF8 --locale C.UTF-8 --pgdata "$folder/data" >"$folder/log"
    "${as[@]}" "$bin/postgres" -D "$folder/data" -k "$folder/run" -c listen_addresses= -c fsync=off -c full_page_writes=off \
        -c synchronous_commit=off -c max_connections=300 >>"$folder/log" 2>&1 &
    temp_postgres_pid=$!
    for _ in {1..100}; do
        if "$bin/pg_isready" --quiet --host "$folder/run"; then
            # shellcheck disable=SC2034 # for the script that sources this
            temp_postgres_url="postgres://postgres@localhost/postgres?host=$folder/run"
            return
        fi
        sleep 0.1
    done
    cat "$folder/log" >&2
    echo "PostgreSQL in $folder did not start" >&2
    return 1
}

# temp_postgres_stop: stops the one that was started, if any.
temp_postgres_stop() {
    if [[ -n ${temp_postgres_pid:-} ]]; then
        kill -INT "$temp_postgres_pid" 2>/dev/null || true
        wait "$temp_postgres_pid" 2>/dev/null || true
        temp_postgres_pid=
    fi
}
