# What every journey needs; sourced, never run. A journey is a script that says what it expects with `check`,
# `refused` and `same`, and ends with `finish`. Everything that it starts lives in one temporary folder and ends with it.
#
# WHARF_BIN       the binary under test; else the newest of target/release/wharf and target/debug/wharf
# STRESS_BIN      the program of crates/test-support/examples/stress, as cargo built it
# E2E_REGISTRY    wharf (default) or docker-registry: tries the harness itself against the predecessor
# E2E_KEEP=1      leaves the temporary folder, with every log, for a look
# E2E_CACHE       where the installed programs and built images are kept (e2e/.cache)
# E2E_LENGTH      short (default) or long: how often the journeys with chance in them roll the dice
set -uo pipefail
shopt -s nullglob

e2e=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${E2E_CACHE:-$e2e/.cache}
images=$cache/images
py=$e2e/py
export PATH=$cache/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$py
subject=${E2E_REGISTRY:-wharf}
length=${E2E_LENGTH:-short}
journey=$(basename "$0")
work=$(mktemp -d "${TMPDIR:-/tmp}/wharf-e2e-$journey.XXXXXX")
# One user in one htpasswd file, made once with bcrypt's lowest cost.
user=tester
password=secret-e2e
htpasswd_line='tester:$2b$05$09z/J7cSEt0RNRg5ZBzTq.GnGb63Bp541z1f.Cf2rEupnPxo/35uO'

# The variables of the caller's own registry are none of the journeys'; podman's REGISTRY_AUTH_FILE even reads like one.
unset ${!REGISTRY_@} ${!WHARF_ADMIN_@}

passed=0
failed=0
skipped=0
processes=()
loops=()

# ---- saying what happened -------------------------------------------------------------------------------------------

ok() { passed=$((passed + 1)); echo "ok - $1"; }

not_ok() {
  failed=$((failed + 1))
  echo "not ok - $1"
  [ -z "${2:-}" ] || printf '%s\n' "$2" | tail -n 15 | cut -c1-400 | sed 's/^/    /'
}

# skip NAME WHY: only for what this machine cannot have; it shows in every count.
skip() { skipped=$((skipped + 1)); echo "skipped - $1: $2"; }

# check NAME COMMAND...: the command succeeds. Its output is kept in $output and shown when it does not.
check() {
  local name=$1
  shift
  if output=$("$@" 2>&1); then ok "$name"; else not_ok "$name" "exit $? of: $*"$'\n'"$output"; return 1; fi
}

# refused NAME PATTERN COMMAND...: the command fails, and what it says matches the pattern (grep -E).
refused() {
  local name=$1 pattern=$2
  shift 2
  if output=$("$@" 2>&1); then
    not_ok "$name" "succeeded, but should have been refused: $*"$'\n'"$output"
  elif matches "$pattern" "$output"; then
    ok "$name"
  else
    not_ok "$name" "was refused, but says nothing like '$pattern':"$'\n'"$output"
  fi
}

# same NAME EXPECTED FOUND
same() { if [ "$2" = "$3" ]; then ok "$1"; else not_ok "$1" "expected: $2"$'\n'"found:    $3"; fi; }

# matches PATTERN TEXT. Not through a pipe: grep ends at the first match, and with pipefail a writer that is not through by
# then would count as a failure.
matches() { grep -qE -- "$1" <<<"$2"; }

# says NAME PATTERN TEXT
says() { if matches "$2" "$3"; then ok "$1"; else not_ok "$1" "nothing like '$2' in:"$'\n'"$3"; fi; }

# Counts the `ok` and `not ok` lines of a helper program as the journey's own.
counted() {
  local line lines=0
  while IFS= read -r line; do
    printf '%s\n' "$line"
    case $line in
      'ok - '*) passed=$((passed + 1)) lines=1 ;;
      'not ok - '*) failed=$((failed + 1)) lines=1 ;;
    esac
  done < <("$@" 2>&1; echo "exit $?" >"$work/counted")
  [ "$lines" = 1 ] && grep -qE 'exit [01]$' "$work/counted" || not_ok "the helper program ran to its end" "$* ended with $(cat "$work/counted")"
}

finish() {
  echo "$journey: $passed passed, $failed failed, $skipped skipped"
  [ "$failed" = 0 ] && [ "$((passed + skipped))" -gt 0 ]
  exit
}

# The journey cannot go on: counted as one failure.
give_up() { not_ok "$1" "${2:-}"; finish; }

# ---- processes ------------------------------------------------------------------------------------------------------

# wait_until SECONDS COMMAND...: polls the condition.
wait_until() {
  local deadline=$(($(date +%s%N) + $1 * 1000000000))
  shift
  until "$@" >/dev/null 2>&1; do
    [ "$(date +%s%N)" -lt "$deadline" ] || return 1
    sleep 0.05
  done
}

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

# start_process LOG COMMAND...: runs it in the background, $started is its process id.
start_process() {
  local log=$1
  shift
  "$@" >>"$log" 2>&1 </dev/null &
  started=$!
  processes+=("$started")
}

running() { [ -d "/proc/$1" ] && [ "$(awk '/^State/ { print $2 }' "/proc/$1/status" 2>/dev/null)" != Z ]; }
gone() { ! running "$1"; }

# stop_process PID [SIGNAL]: ends it and waits for its end; after 20 s with SIGKILL, which is then said.
stop_process() {
  local pid=$1 signal=${2:-TERM} left=() one result=0
  kill -s "$signal" "$pid" 2>/dev/null
  # The shell would announce the end of what was killed.
  if ! wait_until 20 gone "$pid" 2>/dev/null; then
    echo "    process $pid did not end on SIG$signal within 20 s" >&2
    kill -s KILL "$pid" 2>/dev/null
    result=1
  fi
  wait "$pid" 2>/dev/null
  for one in "${processes[@]}"; do [ "$one" = "$pid" ] || left+=("$one"); done
  processes=("${left[@]}")
  return $result
}

clean_up() {
  local code=$? i
  trap - EXIT INT TERM
  for ((i = ${#processes[@]} - 1; i >= 0; i--)); do stop_process "${processes[i]}"; done
  # Containers' own mounts lie below the folder of their storage.
  while read -r mount; do umount -l "$mount" 2>/dev/null; done < <(awk -v w="$work/" 'index($2, w) == 1 { print $2 }' /proc/mounts | sort -r)
  for ((i = ${#loops[@]} - 1; i >= 0; i--)); do losetup -d "${loops[i]}" 2>/dev/null; done
  if [ "${E2E_KEEP:-}" = 1 ]; then echo "kept: $work"; else rm -rf "$work"; fi
  exit $code
}
trap clean_up EXIT
trap 'exit 130' INT TERM

# ---- the registry under test and its predecessor ----------------------------------------------------------------------

wharf_bin() {
  if [ -n "${WHARF_BIN:-}" ]; then echo "$WHARF_BIN"; return; fi
  local target=${CARGO_TARGET_DIR:-$e2e/../target}
  ls -t "$target/release/wharf" "$target/debug/wharf" 2>/dev/null | head -n 1
}

# The program that presses on a registry with many clients: STRESS_BIN, else the newest that cargo built.
stress_bin() {
  local target=${CARGO_TARGET_DIR:-$e2e/../target} found=${STRESS_BIN:-}
  [ -n "$found" ] || found=$(ls -t "$target/release/examples/stress" "$target/debug/examples/stress" 2>/dev/null | head -n 1)
  [ -x "$found" ] && echo "$found"
}

# write_config FILE DATA PORT: a config.yml that both registries read; what follows `more` is appended as it is.
write_config() {
  local file=$1 data=$2 port=$3 more=${4:-}
  printf '%s\n' "$htpasswd_line" >"$work/htpasswd"
  mkdir -p "$data"
  cat >"$file" <<YAML
version: 0.1
log: {level: info}
storage:
  filesystem: {rootdirectory: $data}
  delete: {enabled: true}
http:
  addr: 127.0.0.1:$port
  secret: a-secret-of-the-journeys
auth:
  htpasswd: {realm: e2e, path: $work/htpasswd}
$more
YAML
}

answers() { case $(curl -s -o /dev/null -m 2 -w '%{http_code}' "http://$1/v2/") in 200 | 401) ;; *) return 1 ;; esac; }

# start_wharf CONFIG ADDRESS, start_docker_registry CONFIG ADDRESS: $registry_pid answers at $registry.
start_wharf() {
  local program
  program=$(wharf_bin)
  [ -n "$program" ] && [ -x "$program" ] || give_up "there is a wharf to test" "set WHARF_BIN or run: cargo build --release"
  start_server "$2" "$program" serve "$1"
}
start_docker_registry() { start_server "$2" docker-registry serve "$1"; }

start_server() {
  registry=$1
  shift
  server_log=$work/server.log
  start_process "$server_log" "$@"
  registry_pid=$started
  wait_until 20 settled "$registry_pid" "$registry"
  running "$registry_pid" && answers "$registry" || give_up "the registry starts" "$* :"$'\n'"$(tail -n 15 "$server_log")"
}
settled() { answers "$2" || gone "$1"; }

stop_registry() { stop_process "$registry_pid" "${1:-TERM}"; }

start_subject() { if [ "$subject" = wharf ]; then start_wharf "$@"; else start_docker_registry "$@"; fi; }

# A fresh registry of the kind under test, with its folder $data and its file $config.
fresh_registry() {
  data=$work/data
  config=$work/config.yml
  local port
  port=$(free_port)
  write_config "$config" "$data" "$port" "${1:-}"
  start_subject "$config" "127.0.0.1:$port"
}

# api METHOD PATH [CURL OPTIONS...]: prints the status; headers in $work/headers, body in $work/body.
api() {
  local method=$1 path=$2
  shift 2
  # `curl -X HEAD` would wait for a body.
  if [ "$method" = HEAD ]; then method=(--head); else method=(-X "$method"); fi
  curl -s -m 60 -u "$user:$password" "${method[@]}" -D "$work/headers" -o "$work/body" -w '%{http_code}' "$@" "http://$registry$path"
}

manifest_types='application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json'

# digest_of REPOSITORY TAG: what the registry says, and only if the bytes it serves have that digest.
digest_of() {
  local said
  [ "$(api GET "/v2/$1/manifests/$2" -H "Accept: $manifest_types")" = 200 ] || { echo "no $1:$2: $(cat "$work/body")"; return 1; }
  said=$(sed -n 's/\r$//; s/^[Dd]ocker-[Cc]ontent-[Dd]igest: //p' "$work/headers")
  [ "$said" = "sha256:$(sha256sum <"$work/body" | cut -d' ' -f1)" ] || { echo "the bytes of $1:$2 are not $said"; return 1; }
  echo "$said"
}

# ---- engines and clients ------------------------------------------------------------------------------------------------

need_root() { [ "$(id -u)" = 0 ] || give_up "the journey runs as root" "container engines, mounts and loop devices need it"; }

# Everything that clients write (credentials, caches, trust) goes below the temporary folder.
own_home() {
  export HOME=$work/home XDG_RUNTIME_DIR=$work/run
  export DOCKER_CONFIG=$HOME/.docker
  mkdir -p "$HOME" "$XDG_RUNTIME_DIR" "$DOCKER_CONFIG"
  # buildah refuses a file that the variable names and that is not there
  [ -e "$DOCKER_CONFIG/config.json" ] || echo '{}' >"$DOCKER_CONFIG/config.json"
  chmod 700 "$XDG_RUNTIME_DIR"
}

# podman, buildah and skopeo with their own storage. runc, because crun refuses the mixed cgroup tree of some
# machines; fixed limits, because raising them needs a capability that not every root has.
own_containers() {
  mkdir -p "$work/containers"
  cat >"$work/containers/storage.conf" <<TOML
[storage]
driver = "${E2E_STORAGE_DRIVER:-overlay}"
graphroot = "$work/containers/graph"
runroot = "$work/containers/run"
TOML
  cat >"$work/containers/containers.conf" <<TOML
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
netns = "host"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "runc"
tmp_dir = "$work/containers/tmp"
TOML
  # Debian's podman logs in nowhere and rewrites no name unless told to.
  printf 'unqualified-search-registries = []\n' >"$work/containers/registries.conf"
  export CONTAINERS_STORAGE_CONF=$work/containers/storage.conf CONTAINERS_CONF=$work/containers/containers.conf
  export CONTAINERS_REGISTRIES_CONF=$work/containers/registries.conf BUILDAH_ISOLATION=chroot
}

docker() { /usr/bin/docker "$@"; }

# A docker daemon of the journey's own; no bridge and no packet filter, since nothing here needs a container network.
start_dockerd() {
  mkdir -p "$work/docker"
  export DOCKER_HOST=unix://$work/docker/socket DOCKER_BUILDKIT=0
  start_process "$work/dockerd.log" /usr/sbin/dockerd --host "$DOCKER_HOST" --data-root "$work/docker/data" --exec-root "$work/docker/exec" \
    --pidfile "$work/docker/pid" --iptables=false --ip6tables=false --bridge=none --max-concurrent-uploads 3
  dockerd_pid=$started
  wait_until 60 docker version && running "$dockerd_pid" || give_up "dockerd starts" "$(tail -n 15 "$work/dockerd.log")"
}

start_containerd() {
  mkdir -p "$work/containerd"
  printf 'version = 2\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n' >"$work/containerd/config.toml"
  export CONTAINERD_ADDRESS=$work/containerd/socket
  start_process "$work/containerd.log" containerd --config "$work/containerd/config.toml" --root "$work/containerd/root" \
    --state "$work/containerd/state" --address "$CONTAINERD_ADDRESS"
  wait_until 30 ctr version && running "$started" || give_up "containerd starts" "$(tail -n 15 "$work/containerd.log")"
}

# ---- filesystems --------------------------------------------------------------------------------------------------------

# small_filesystem FOLDER MEGABYTES: an ext4 of its own on a loop device, $loop. It helps no program that forgets to flush.
small_filesystem() {
  local folder=$1 megabytes=$2 file=$work/disk-$2-$RANDOM
  truncate -s "${megabytes}M" "$file"
  mkfs.ext4 -q -F -m 0 "$file" || give_up "mkfs.ext4 makes a filesystem"
  loop=$(losetup --find --show "$file") || give_up "there is a free loop device"
  loops+=("$loop")
  mkdir -p "$folder"
  mount -t ext4 -o noauto_da_alloc "$loop" "$folder" || give_up "the filesystem mounts"
}
