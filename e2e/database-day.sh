# A day of a registry whose index is on a server: real clients; a database that is not up yet, that stops and that crashes
# while images are pushed; collection; and every mistake that a person makes with its URL. Sourced after lib.sh.
source "$e2e/databases.sh"
own_home
own_containers
stress=$(stress_bin) || give_up "the program that presses is built" "run: cargo build -p wharf-test-support --example stress"
operations=${E2E_OPERATIONS:-$([ "$length" = long ] && echo 5000 || echo 120)}
debug_port=$(free_port)
debug=127.0.0.1:$debug_port

# On both of its addresses.
lives() {
  local one
  for one in "$registry" "$debug"; do [ "$(curl -s -m 5 -o /dev/null -w '%{http_code}' "http://$one/livez")" = 200 ] || return 1; done
}
readiness() { curl -s -m 10 -o "$work/ready" -w '%{http_code}' "http://$registry/readyz"; }
is_ready() { [ "$(readiness)" = 200 ]; }
is_not_ready() { [ "$(readiness)" = 503 ]; }
# Skopeo repeats little of what it is told 503 for: again is what a person does.
again() {
  local try
  for ((try = 0; try < 30; try++)); do "$@" && return; sleep 1; done
  return 1
}
copy() { skopeo copy -q --retry-times 5 --all --preserve-digests --dest-creds "$user:$password" --dest-tls-verify=false "oci:$images/$1:latest" "docker://$registry/$2"; }
# config_for ENGINE URL: a fresh folder, the file $config.
config_for() {
  data=$work/data-$1
  config=$work/config-$1.yml
  # What is deleted is gone at once: the trash has tests of its own.
  write_config "$config" "$data" "$(free_port)" "database: {url: '$2'}
trash: {keep: 0s}"
  sed -i "s/^http:/http:\n  debug: {addr: '$debug'}/" "$config"
  registry=$(sed -n 's/^  addr: //p' "$config")
  server_log=$work/$1.log
}
# launch: starts it without waiting for anything.
launch() { start_process "$server_log" "$(wharf_bin)" serve "$config"; registry_pid=$started; }

day_of() {
  local engine=$1 url=$2 model=$work/model-$1.json journal=$work/journal-$1 stress_pid
  echo "-- $engine"
  config_for "$engine" "$url"

  # -- before its database is up
  stop_database "$server"
  launch
  check "$engine: without its database it lives" wait_until 20 lives
  same "$engine: without its database it is not ready" 503 "$(readiness)"
  says "$engine: the readiness answer names the database" 'database' "$(cat "$work/ready")"
  start_database "$server"
  check "$engine: it is ready soon after its database is up" wait_until 30 is_ready

  # -- clients
  check "$engine: images are pushed" python3 "$py/pushers.py" "$registry" "$journal" --images 6 --seed "$$" --deletes
  check "$engine: skopeo pushes" copy multi shop/multi:1
  same "$engine: the digest is the same" "$(jq -r '.manifests[0].digest' "$images/multi/index.json")" "$(digest_of shop/multi 1)"
  check "$engine: skopeo pulls" skopeo copy -q --all --src-creds "$user:$password" --src-tls-verify=false "docker://$registry/shop/multi:1" "oci:$work/pulled-$engine:1"
  check "$engine: it stops when asked" stop_registry
  launch
  check "$engine: it is ready after a restart" wait_until 30 is_ready
  counted python3 "$py/verify.py" "$registry" "$journal" --when "$engine: after a restart"

  # -- the database stops, and later crashes, while images are pushed
  "$stress" run "$registry" --user "$user:$password" --outages --model "$model" --operations "$operations" --seed "$$" >"$work/stress.log" 2>&1 &
  stress_pid=$!
  processes+=("$stress_pid")
  for signal in '' crash; do
    sleep 2
    stop_database "$server" $(crash_signal "$server" "$signal")
    check "$engine: without its database${signal:+ (crashed)} it is not ready" wait_until 30 is_not_ready
    check "$engine: without its database${signal:+ (crashed)} it lives" lives
    same "$engine: without its database${signal:+ (crashed)} a push is told 503" 503 "$(api POST /v2/other/blobs/uploads/ -d '')"
    says "$engine: and when to try again" '^[Rr]etry-[Aa]fter: [0-9]+' "$(tr -d '\r' <"$work/headers")"
    says "$engine: in distribution's words" '"code"' "$(cat "$work/body")"
    again copy small "shop/small:during$signal" >"$work/copy.log" 2>&1 &
    copy_pid=$!
    sleep 1
    start_database "$server"
    check "$engine: it is ready when its database is back" wait_until 40 is_ready
    wait "$copy_pid"
    same "$engine: skopeo's push succeeds when it is repeated" 0 $?
  done
  wait "$stress_pid" || true
  counted cat_with_code "$work/stress.log"
  counted "$stress" check "$registry" --user "$user:$password" --model "$model" --when "$engine: after the outages"
  same "$engine: the image that was pushed meanwhile is there" "$(jq -r '.manifests[0].digest' "$images/small/index.json")" "$(digest_of shop/small duringcrash)"
  collects "$engine"
  check "$engine: it stops when asked" stop_registry
  same "$engine: no panic in its log" "" "$(grep -n 'panicked' "$server_log")"
  same "$engine: no password in its log" "" "$(grep -nF -e "$db_password" -e "$db_password_in_url" "$server_log")"
}

# What is deleted is gone from the disk when the collector was there, and nothing else is.
collects() {
  local engine=$1 manifest config_digest blob
  manifest=$(digest_of shop/small duringcrash)
  config_digest=$(jq -r .config.digest "$work/body")
  blob=$data/docker/registry/v2/blobs/sha256/${config_digest:7:2}/${config_digest:7}/data
  check "$engine: it stops when asked" stop_registry
  # No time between the last use of a thing and its end: only for tests.
  WHARF_TEST_GRACE_PERIOD=0s launch
  check "$engine: it is ready after a restart" wait_until 30 is_ready
  check "$engine: the collector runs when everything is compared" wait_until 30 "$(wharf_bin)" gc run -c "$config"
  check "$engine: what is held stays" test -s "$blob"
  same "$engine: an image is deleted" 202 "$(api DELETE "/v2/shop/small/manifests/$manifest")"
  collected() { "$(wharf_bin)" gc run -c "$config" && [ ! -e "$blob" ]; }
  check "$engine: what nothing holds is collected" wait_until 20 collected
  same "$engine: the other images are there" "$(jq -r '.manifests[0].digest' "$images/multi/index.json")" "$(digest_of shop/multi 1)"
  counted "$stress" check "$registry" --user "$user:$password" --model "$work/model-$engine.json" --when "$engine: after the collector"
}
crash_signal() { case $1-$2 in postgresql-crash) echo QUIT ;; mariadb-crash) echo KILL ;; esac; }
# Its lines are counted; the figures are shown.
cat_with_code() { cat "$1"; grep -q '^ok' "$1"; }

# mistake NAME PATTERN URL [NOT]: the start is refused and says so; nothing is written into the folder.
mistake() {
  config_for mistake "$3"
  rm -rf "$data"; mkdir "$data"
  refused "$1" "$2" timeout 20 "$(wharf_bin)" serve "$config"
  says "$1: it ends by itself" '^(1|2|78)$' "$(timeout 20 "$(wharf_bin)" serve "$config" >"$work/mistake.log" 2>&1; echo $?)"
  same "$1: no password is shown" "" "$(grep -nF -e "$db_password" -e "$db_password_in_url" "$work/mistake.log")"
  same "$1: nothing is written" "" "$(find "$data" -path '*docker*')"
}

mistakes() {
  local engine=$1 url=$2
  echo "-- mistakes with $engine"
  mistake "$engine: a wrong password is named" '(password|access).*' "${url/"$db_password_in_url"/wrong}"
  mistake "$engine: a database that is not there is named" 'nowhere' "${url%/*}/nowhere"
  new_database "$engine" narrow
  case $engine in
    postgresql) postgresql_sql postgres "alter database narrow owner to postgres" && postgresql_sql narrow 'revoke all on schema public from public' ;;
    mariadb) mariadb_sql mysql "revoke all privileges on narrow.* from $db_user@'%'; grant select on narrow.* to $db_user@'%'" ;;
  esac >/dev/null
  mistake "$engine: missing rights are named" '(permission|must own|denied)' "$database_url"
  new_database "$engine" newer
  config_for newer "$database_url"
  launch
  wait_until 20 is_ready
  stop_registry
  "${engine}_sql" newer "insert into schema_steps (step, name, checksum, applied_by, needs) values (999, 'later', 'x', '99.0.0', 999)" >/dev/null
  mistake "$engine: a newer schema is named" '999.*99\.0\.0|99\.0\.0.*999' "$database_url"
}
