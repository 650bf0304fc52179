#!/usr/bin/env bash
# Writes .sqlx anew: what the checked queries of the code, its tests included, mean in a database that has exactly the
# migrations. sqlx's macros write one file for each query into SQLX_OFFLINE_DIR when they compile against a database.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/temp-postgres.sh
source scripts/temp-postgres.sh

folder=$(mktemp -d)
trap 'temp_postgres_stop; rm -rf "$folder"' EXIT
chmod 711 "$folder"
mkdir "$folder/postgres" "$folder/sqlx"
temp_postgres_start "$folder/postgres"
for migration in migrations/*.sql; do
    psql --quiet --no-psqlrc --set ON_ERROR_STOP=1 --single-transaction --file "$migration" "$temp_postgres_url"
done

# A changed environment alone does not make cargo compile again.
touch src/lib.rs src/main.rs
SQLX_OFFLINE=false SQLX_OFFLINE_DIR=$folder/sqlx DATABASE_URL=$temp_postgres_url cargo check --features ssr --all-targets

written=$(find "$folder/sqlx" -name 'query-*.json' | wc -l)
if [[ $written = 0 ]]; then
    echo "sqlx: no query was seen, so .sqlx stays as it is" >&2
    exit 1
fi
mkdir -p .sqlx
for old in .sqlx/query-*.json; do
    if [[ -e $old && ! -e $folder/sqlx/${old##*/} ]]; then rm "$old"; fi
done
for new in "$folder"/sqlx/query-*.json; do
    if ! cmp --silent "$new" ".sqlx/${new##*/}"; then cp "$new" .sqlx/; fi
done
echo "sqlx: $written queries in .sqlx"
