#!/usr/bin/env bash
# Runs Postgres' own programs for the two servers 0 and 1, as a user that Postgres accepts. Its folder
# holds their data.
#
#   control.sh init N PORT
#   control.sh start N
#   control.sh stop N HOW                  HOW is a mode of pg_ctl: fast or immediate
#   control.sh promote N
#   control.sh follow N PORT PRIMARY       N becomes a standby of the server on the port PRIMARY
#   control.sh keep                        waits for the end of its input, then stops and removes both
set -euo pipefail
folder=$(dirname "$(realpath "$0")")
bin=$(pg_config --bindir 2>/dev/null || true)
[ -x "$bin/initdb" ] || bin=$(printf '%s\n' /usr/lib/postgresql/*/bin | sort -V | tail -n 1)
as=(env)
[ "$(id -u)" -ne 0 ] || as=(runuser -u postgres --)
cd /

data() { echo "$folder/$1"; }
ctl() { "${as[@]}" "$bin/pg_ctl" -s -w -t 60 -D "$(data "$1")" -l "$folder/log/$1" "${@:2}"; }

# The data folder of a server, empty, its own settings, and those of both.
make() {
    rm -rf "$(data "$1")"
    mkdir -p "$(data "$1")" "$folder/log"
    chmod 700 "$(data "$1")"
    [ "$(id -u)" -ne 0 ] || chown -R postgres "$(data "$1")" "$folder/log"
}
settings() {
    cat >> "$(data "$1")/postgresql.conf" <<CONF
listen_addresses = '127.0.0.1'
port = $2
unix_socket_directories = ''
max_connections = 200
wal_keep_size = '256MB'
CONF
}

case $1 in
init)
    make "$2"
    "${as[@]}" "$bin/initdb" -D "$(data "$2")" -U tester --auth=trust -E UTF8 --locale=C --no-sync >/dev/null
    settings "$2" "$3"
    ;;
start) ctl "$2" start ;;
stop) ctl "$2" stop -m "$3" ;;
promote)
    ctl "$2" promote
    ;;
follow)
    [ ! -e "$(data "$2")/postmaster.pid" ] || ctl "$2" stop -m immediate || true
    make "$2"
    "${as[@]}" "$bin/pg_basebackup" -D "$(data "$2")" -d "host=127.0.0.1 port=$4 user=tester" \
        -R -X stream -c fast --no-sync
    settings "$2" "$3"
    ctl "$2" start
    ;;
keep)
    cat >/dev/null
    for n in 0 1; do
        [ ! -e "$(data "$n")/postmaster.pid" ] || ctl "$n" stop -m immediate >/dev/null 2>&1 || true
    done
    rm -rf "$folder"
    ;;
esac
