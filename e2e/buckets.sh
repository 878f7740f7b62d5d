# Buckets of a real S3 server, SeaweedFS; sourced after lib.sh by the journeys that need one.

# The variables of the caller for AWS are none of the journeys'; docker-registry even fails on some.
unset ${!AWS_@}
bucket_key=wharf-key
bucket_secret=secret-of-the-bucket

# start_seaweedfs: $s3 is the URL of its S3 endpoint.
start_seaweedfs() {
  local folder=$work/seaweedfs names=(master.port master.port.grpc volume.port volume.port.grpc filer.port filer.port.grpc s3.port s3.port.grpc)
  local ports=() arguments=() i
  command -v weed >/dev/null || give_up "there is an S3 server" "run e2e/install"
  mkdir -p "$folder"
  cat >"$folder/s3.json" <<JSON
{"identities": [{"name": "wharf", "credentials": [{"accessKey": "$bucket_key", "secretKey": "$bucket_secret"}],
 "actions": ["Admin", "Read", "List", "Tagging", "Write"]}]}
JSON
  # all of them at once, so that no two are the same
  read -ra ports < <(python3 -c 'import socket
s = [socket.socket() for _ in range(8)]
for one in s: one.bind(("127.0.0.1", 0))
print(*(one.getsockname()[1] for one in s))')
  for i in "${!names[@]}"; do arguments+=("-${names[i]}=${ports[i]}"); done
  # every bucket grows volumes of its own, and needs one
  WEED_MASTER_VOLUME_GROWTH_COPY_1=1 start_process "$work/seaweedfs.log" weed server "-dir=$folder" "${arguments[@]}" \
    -ip=127.0.0.1 -ip.bind=127.0.0.1 -master.telemetry=false -master.volumeSizeLimitMB=1024 -volume.max=0 -filer -s3 \
    -s3.port.iceberg=0 -s3.port.lance=0 "-s3.config=$folder/s3.json"
  seaweedfs_pid=$started
  s3=http://127.0.0.1:${ports[6]} filer=http://127.0.0.1:${ports[4]}
  wait_until 60 seaweedfs_works || give_up "SeaweedFS starts" "$(tail -n 15 "$work/seaweedfs.log")"
}
seaweedfs_works() {
  case $(curl -s -o /dev/null -m 2 -w '%{http_code}' -X POST "$filer/ready/") in 200 | 201 | 409) ;; *) return 1 ;; esac
  curl -s -o /dev/null -m 2 "$s3"
}

# It would take its time to end in order.
stop_seaweedfs() { stop_process "$seaweedfs_pid" KILL; }

# new_bucket NAME
new_bucket() {
  [[ $(curl -s -o /dev/null -w '%{http_code}' -X POST "$filer/buckets/$1/") = 20[01] ]] || give_up "the bucket $1 is made"
}

# write_bucket_config FILE BUCKET PORT [MORE]: a config.yml that both registries read; blobs come from the registry itself
# unless REDIRECTS is set.
write_bucket_config() {
  local file=$1 bucket=$2 port=$3 more=${4:-} disable=true
  [ -z "${REDIRECTS:-}" ] || disable=false
  printf '%s\n' "$htpasswd_line" >"$work/htpasswd"
  cat >"$file" <<YAML
version: 0.1
log: {level: info}
storage:
  s3:
    accesskey: $bucket_key
    secretkey: $bucket_secret
    region: us-east-1
    regionendpoint: $s3
    bucket: $bucket
    rootdirectory: /registry
  delete: {enabled: true}
  redirect: {disable: $disable}
http:
  addr: 127.0.0.1:$port
  secret: a-secret-of-the-journeys
$more
YAML
}
