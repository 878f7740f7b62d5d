"""Registries that are started for measuring, and the table of what was found. Standard library only."""

import base64
import hashlib
import http.client
import json
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.parse

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
ACCEPT = MANIFEST + ", application/vnd.oci.image.index.v1+json, application/vnd.docker.distribution.manifest.v2+json"
# user bench, password bench, bcrypt with the lowest cost: a verified password is remembered, so the cost does not count
HTPASSWD = "bench:$2y$04$LKY.HlsLvGHmB5MiTsC2Yu/8SK3nv9xImvQG9WHERWtCn4pXkH2ki\n"
CONFIG = """version: 0.1
log: {{level: warn, accesslog: {{disabled: false}}}}
storage:
  filesystem: {{rootdirectory: {root}}}
  cache: {{blobdescriptor: inmemory}}
  delete: {{enabled: true}}
http: {{addr: 127.0.0.1:{port}}}
"""


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Registry:
    def __init__(self, name, command, folder, auth=None, root=None):
        self.name, self.command, self.folder, self.auth = name, command, folder, auth
        self.root = root or os.path.join(folder, "data")
        self.headers = {}
        self.process = None
        os.makedirs(folder, exist_ok=True)
        os.makedirs(self.root, exist_ok=True)

    def start(self, more_config="", more_env=None):
        """Starts it and returns after how many milliseconds it answered."""
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        config_path = os.path.join(self.folder, "config.yml")
        config = CONFIG.format(root=self.root, port=self.port) + more_config
        env = {k: v for k, v in os.environ.items() if not k.startswith(("REGISTRY_", "WHARF_"))} | (more_env or {})
        if self.auth == "basic":
            path = os.path.join(self.folder, "htpasswd")
            with open(path, "w") as file:
                file.write(HTPASSWD)
            config += f"auth: {{htpasswd: {{realm: bench, path: {path}}}}}\n"
        if self.auth == "bearer":
            config += "access: {accounts: true}\n"
            env["WHARF_ADMIN_PASSWORD"] = "bench-bench"
        with open(config_path, "w") as file:
            file.write(config)
        began = time.monotonic()
        with open(os.path.join(self.folder, "log"), "a") as log:
            self.process = subprocess.Popen([*self.command, "serve", config_path], env=env, cwd=self.folder, stdout=subprocess.DEVNULL, stderr=log)
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                break
            except OSError:
                if self.process.poll() is not None or time.monotonic() - began > 60:
                    sys.exit(f"{self.name} did not start: " + open(os.path.join(self.folder, "log")).read())
                time.sleep(0.001)
        if not self.headers:
            self.sign_in()
        while self.request("GET", "/v2/")[0] != 200:
            if time.monotonic() - began > 60:
                sys.exit(f"{self.name} does not answer: " + open(os.path.join(self.folder, "log")).read())
            time.sleep(0.001)
        return (time.monotonic() - began) * 1000

    def sign_in(self):
        if self.auth == "basic":
            self.headers = {"Authorization": "Basic " + base64.b64encode(b"bench:bench").decode()}
        if self.auth == "bearer":
            basic = {"Authorization": "Basic " + base64.b64encode(b"admin:bench-bench").decode()}
            scopes = "&".join(f"scope=repository:bench/{name}:pull,push,delete" for name in ("image", "push"))
            status, _, body = self.request("GET", f"/service/token?{scopes}", headers=basic)
            assert status == 200, body
            self.headers = {"Authorization": "Bearer " + json.loads(body)["token"]}

    def stop(self):
        if self.process:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(60)
            self.process = None

    def cpu(self):
        fields = open(f"/proc/{self.process.pid}/stat").read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory(self):
        """Resident now and at its highest, in MiB."""
        status = open(f"/proc/{self.process.pid}/status").read()
        return [int(re.search(key + r":\s+(\d+)", status)[1]) / 1024 for key in ("VmRSS", "VmHWM")]

    def request(self, method, path, body=None, headers=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=600)
        connection.request(method, path, body=body, headers=self.headers | (headers or {}))
        response = connection.getresponse()
        data = response.read()
        connection.close()
        return response.status, {k.lower(): v for k, v in response.getheaders()}, data

    def curl(self):
        return ["curl", "-s", "-o", "/dev/null", *[x for k, v in self.headers.items() for x in ("-H", f"{k}: {v}")]]

    def upload(self, repository):
        status, headers, _ = self.request("POST", f"/v2/{repository}/blobs/uploads/", b"")
        assert status == 202, (self.name, status)
        return absolute(self, headers["location"])

    def push_blob(self, repository, data):
        place = urllib.parse.urlparse(with_digest(self.upload(repository), digest(data)))
        status = self.request("PUT", f"{place.path}?{place.query}", data)[0]
        assert status == 201, (self.name, status)

    def push_manifest(self, repository, tag, manifest):
        status, _, body = self.request("PUT", f"/v2/{repository}/manifests/{tag}", manifest, {"Content-Type": MANIFEST})
        assert status == 201, (self.name, status, body)


def absolute(registry, location):
    parts = urllib.parse.urlparse(location)
    return registry.url + parts.path + ("?" + parts.query if parts.query else "")


def with_digest(url, name):
    return url + ("&" if "?" in url else "?") + "digest=" + name


def image(registry, repository, tag, layer, more=()):
    """Pushes an image of one layer; returns its manifest's digest and its layer's."""
    config = json.dumps({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [digest(layer)]}}).encode()
    for data in (config, layer):
        registry.push_blob(repository, data)
    manifest = json.dumps({
        "schemaVersion": 2, "mediaType": MANIFEST,
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest(config), "size": len(config)},
        "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": digest(layer), "size": len(layer)}],
    }).encode()
    for name in (tag, *more):
        registry.push_manifest(repository, name, manifest)
    return digest(manifest), digest(layer)


def fsync_ms(folder):
    """The disk: 4 KiB appended and fsynced, median of 50."""
    times = []
    with tempfile.NamedTemporaryFile(dir=folder) as file:
        for _ in range(50):
            file.write(os.urandom(4096))
            file.flush()
            began = time.monotonic()
            os.fsync(file.fileno())
            times.append((time.monotonic() - began) * 1000)
    return statistics.median(times)


class Table:
    def __init__(self, registries):
        self.rows = {}
        self.registries = registries

    def add(self, registry, key, value):
        self.rows.setdefault(key, {}).setdefault(registry.name, []).append(value)

    def print(self):
        names = [r.name for r in self.registries]
        base = names[-1]
        print("| median | " + " | ".join(names) + f" | {names[0]} / {base} |\n|---|" + "---:|" * (len(names) + 1))
        for key, values in self.rows.items():
            medians = {name: statistics.median(values[name]) for name in values}
            shown = [f"{medians[name]:,.2f}" if name in medians else "" for name in names]
            ratio = medians[names[0]] / medians[base] if names[0] in medians and medians.get(base) else None
            print(f"| {key} | " + " | ".join(shown) + f" | {ratio:.2f} |" if ratio is not None else f"| {key} | " + " | ".join(shown) + " | |")


def binary():
    here = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    return os.environ.get("WHARF_BIN") or os.path.join(here, "target/release/wharf")
