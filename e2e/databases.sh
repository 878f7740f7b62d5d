# PostgreSQL, MariaDB and PgBouncer of a journey's own; sourced after lib.sh. They run as a user without rights in the
# journey's folder, on free ports of the loopback interface, and end with the journey. They do not flush to the disk: their
# data survives the end of their processes, not that of the machine.

db_user=wharf
db_password='p@ss/word'
db_password_in_url='p%40ss%2Fword'
databases=$work/databases
postgresql_port='' mariadb_port='' pgbouncer_port=''

# The servers refuse to run as root; without root they run as whoever this is.
as_nobody=()
if [ "$(id -u)" = 0 ]; then as_nobody=(setpriv --reuid=65534 --regid=65534 --clear-groups --inh-caps=-all); fi

# The newest PostgreSQL's programs are in no PATH on Debian.
postgresql_bin=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1)
mariadbd=$(PATH=$PATH:/usr/sbin:/usr/libexec type -P mariadbd)
pgbouncer=$(PATH=$PATH:/usr/sbin type -P pgbouncer)

database_folder() {
  mkdir -p "$databases/$1"
  # The folders above must let the servers through.
  chmod 711 "$work" "$databases"
  [ ${#as_nobody[@]} = 0 ] || chown 65534:65534 "$databases/$1"
}

# ---- PostgreSQL -------------------------------------------------------------------------------------------------------

# start_postgresql: made at the first call, with the same port and data at every later one; $postgresql_pid.
start_postgresql() {
  local folder=$databases/postgresql setting settings=()
  if [ -z "$postgresql_port" ]; then
    database_folder postgresql
    "${as_nobody[@]}" env -C / "$postgresql_bin/initdb" -D "$folder/data" -U postgres -A trust -E UTF8 --locale=C --no-sync --no-instructions \
      >"$folder.log" 2>&1 || give_up "PostgreSQL makes its files" "$(tail -n 5 "$folder.log")"
    printf '%s\n' 'local all postgres trust' 'host all all 127.0.0.1/32 scram-sha-256' >"$folder/data/pg_hba.conf"
    postgresql_port=$(free_port)
  fi
  for setting in "unix_socket_directories=$folder" listen_addresses=127.0.0.1 fsync=off full_page_writes=off max_connections=200; do settings+=(-c "$setting"); done
  start_process "$folder.log" "${as_nobody[@]}" "$postgresql_bin/postgres" -D "$folder/data" -p "$postgresql_port" "${settings[@]}"
  postgresql_pid=$started
  wait_until 60 postgresql_sql postgres 'select 1' || give_up "PostgreSQL starts" "$(tail -n 5 "$folder.log")"
  matches 1 "$(postgresql_sql postgres "select 1 from pg_roles where rolname = '$db_user'")" ||
    postgresql_sql postgres "create role $db_user login password '$db_password'" || give_up "PostgreSQL has a user"
}
# stop_postgresql [SIGNAL]: INT ends its sessions, QUIT ends it as a crash does.
stop_postgresql() { stop_process "$postgresql_pid" "${1:-INT}"; }
# postgresql_sql DATABASE SQL: as the server's administrator.
postgresql_sql() { "$postgresql_bin/psql" -X -q -A -t -v ON_ERROR_STOP=1 -U postgres -h "$databases/postgresql" -p "$postgresql_port" -d "$1" -c "$2" 2>&1; }
# new_postgresql NAME: an empty database of the user, $database_url.
new_postgresql() {
  postgresql_sql postgres "create database $1 owner $db_user" >/dev/null || give_up "PostgreSQL makes a database"
  database_url=postgresql://$db_user:$db_password_in_url@127.0.0.1:$postgresql_port/$1
}

# start_pgbouncer: between its clients and PostgreSQL, with a session for each transaction; $pgbouncer_pid.
start_pgbouncer() {
  local folder=$databases/pgbouncer
  if [ -z "$pgbouncer_port" ]; then
    database_folder pgbouncer
    pgbouncer_port=$(free_port)
    printf '"%s" "%s"\n' "$db_user" "$db_password" >"$folder/users"
    cat >"$folder/pgbouncer.ini" <<INI
[databases]
* = host=127.0.0.1 port=$postgresql_port
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = $pgbouncer_port
unix_socket_dir =
auth_type = scram-sha-256
auth_file = $folder/users
pool_mode = transaction
default_pool_size = 8
server_login_retry = 1
max_client_conn = 200
INI
  fi
  start_process "$folder.log" "${as_nobody[@]}" "$pgbouncer" "$folder/pgbouncer.ini"
  pgbouncer_pid=$started
  wait_until 20 bash -c "exec 3<>/dev/tcp/127.0.0.1/$pgbouncer_port" || give_up "PgBouncer starts" "$(tail -n 5 "$folder.log")"
}
# through_pgbouncer URL
through_pgbouncer() { printf '%s\n' "${1/:$postgresql_port\//:$pgbouncer_port/}"; }

# ---- MariaDB ----------------------------------------------------------------------------------------------------------

start_mariadb() {
  local folder=$databases/mariadb
  if [ -z "$mariadb_port" ]; then
    database_folder mariadb
    "${as_nobody[@]}" env -C / mariadb-install-db --no-defaults --datadir="$folder/data" --auth-root-authentication-method=normal --skip-test-db \
      --innodb-flush-log-at-trx-commit=0 --innodb-log-file-size=64M >"$folder.log" 2>&1 || give_up "MariaDB makes its files" "$(tail -n 5 "$folder.log")"
    mariadb_port=$(free_port)
  fi
  start_process "$folder.log" "${as_nobody[@]}" "$mariadbd" --no-defaults --datadir="$folder/data" --socket="$folder/socket" --pid-file="$folder/pid" \
    --port="$mariadb_port" --bind-address=127.0.0.1 --innodb-flush-log-at-trx-commit=2 --innodb-doublewrite=0 --innodb-log-file-size=64M \
    --innodb-buffer-pool-size=64M --max-connections=200 --skip-log-bin --skip-name-resolve
  mariadb_pid=$started
  wait_until 60 mariadb_sql mysql 'select 1' || give_up "MariaDB starts" "$(tail -n 5 "$folder.log")"
  mariadb_sql mysql "create user if not exists $db_user@'%' identified by '$db_password'; drop user if exists ''@localhost; drop user if exists ''@'$(hostname)'" ||
    give_up "MariaDB has a user"
}
# stop_mariadb [SIGNAL]: TERM, or KILL as a crash.
stop_mariadb() { stop_process "$mariadb_pid" "${1:-TERM}"; }
mariadb_sql() { mariadb --no-defaults -N -B -u root --socket="$databases/mariadb/socket" -D "$1" -e "$2" 2>&1; }
new_mariadb() {
  mariadb_sql mysql "create database $1; grant all privileges on $1.* to $db_user@'%'" >/dev/null || give_up "MariaDB makes a database"
  database_url=mariadb://$db_user:$db_password_in_url@127.0.0.1:$mariadb_port/$1
}

# ---- any engine --------------------------------------------------------------------------------------------------------

# start_database ENGINE, stop_database ENGINE [SIGNAL], new_database ENGINE NAME: for postgresql and mariadb.
start_database() { "start_$1"; }
stop_database() { "stop_$1" "${@:2}"; }
new_database() { "new_$1" "$2"; }
