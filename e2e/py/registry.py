"""A registry client that says exactly what was answered, and images made from a seed. Standard library only."""

import base64
import hashlib
import http.client
import json
import os
import random
import urllib.parse

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
ACCEPT = ", ".join([
    "application/vnd.oci.image.index.v1+json", MANIFEST,
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.docker.distribution.manifest.v2+json",
])
USER = os.environ.get("E2E_USER", "tester")
PASSWORD = os.environ.get("E2E_PASSWORD", "secret-e2e")

# What a connection to a server that dies looks like.
BROKEN = (ConnectionError, http.client.HTTPException, TimeoutError, OSError)


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


class Unexpected(Exception):
    """The server answered, but with a status that the protocol does not allow here."""

    def __init__(self, what, answer):
        super().__init__(f"{what}: answered {answer.status} {answer.body[:300]!r}")
        self.answer = answer


class Answer:
    """Status, headers (names in lower case) and body of one response."""

    def __init__(self, status, headers, body):
        self.status = status
        self.headers = headers
        self.body = body

    def codes(self):
        """The codes of distribution's error body, or what is wrong with that body."""
        if not self.headers.get("content-type", "").startswith("application/json"):
            return [f"content-type is {self.headers.get('content-type')}"]
        try:
            errors = json.loads(self.body)["errors"]
            assert errors and all(isinstance(error["message"], str) and error["message"] for error in errors)
            return [error["code"] for error in errors]
        except Exception:  # every other shape is the same finding
            return [f"not an error body: {self.body[:200]!r}"]


class Client:
    """One connection, kept alive; not shared between threads."""

    def __init__(self, address, user=USER, password=PASSWORD, timeout=60):
        self.address = address
        self.timeout = timeout
        self.connection = None
        self.authorization = user and "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()

    def close(self):
        if self.connection:
            self.connection.close()
        self.connection = None

    def request(self, method, path, body=None, headers=None, encode_chunked=False):
        """`path` may be a Location: absolute or relative."""
        parts = urllib.parse.urlsplit(path)
        path = parts.path + ("?" + parts.query if parts.query else "")
        send = {"Accept": ACCEPT}
        if self.authorization:
            send["Authorization"] = self.authorization
        if encode_chunked:
            send["Transfer-Encoding"] = "chunked"
        send.update(headers or {})
        if self.connection is None:
            self.connection = http.client.HTTPConnection(self.address, timeout=self.timeout)
        try:
            try:
                self.connection.request(method, path, body=body, headers=send, encode_chunked=encode_chunked)
            except (BrokenPipeError, ConnectionResetError):
                pass  # a refusal may come before the whole body was taken
            response = self.connection.getresponse()
            headers = {}
            for key, value in response.getheaders():
                # A header that comes several times is one list (RFC 9110, section 5.2).
                key = key.lower()
                headers[key] = f"{headers[key]}, {value}" if key in headers else value
            answer = Answer(response.status, headers, response.read())
            if response.will_close:
                self.close()
            return answer
        except BROKEN:
            self.close()
            raise

    def expect(self, statuses, what, *args, **kwargs):
        answer = self.request(*args, **kwargs)
        if answer.status not in statuses:
            raise Unexpected(what, answer)
        return answer

    # -- blobs

    def begin_upload(self, repository):
        answer = self.expect([202], "begin an upload", "POST", f"/v2/{repository}/blobs/uploads/", body=b"")
        return answer.headers["location"]

    def finish_upload(self, location, name, data=b""):
        headers = {"Content-Type": "application/octet-stream"}
        return self.expect([201], "finish an upload", "PUT", with_digest(location, name), body=data, headers=headers)

    def patch(self, location, data, start=None):
        headers = {"Content-Type": "application/octet-stream"}
        if start is not None:
            headers["Content-Range"] = f"{start}-{start + len(data) - 1}"
        return self.request("PATCH", location, body=data, headers=headers)

    def push_blob(self, repository, data, way="put"):
        """`way`: put (POST, PUT), stream (one PATCH of unknown length), chunks (PATCHes with ranges)."""
        name = digest(data)
        if self.expect([200, 404], "ask for a blob", "HEAD", f"/v2/{repository}/blobs/{name}").status == 200:
            return name
        location = self.begin_upload(repository)
        if way == "stream":
            pieces = (data[i:i + 65536] for i in range(0, len(data), 65536))
            headers = {"Content-Type": "application/octet-stream"}
            location = self.expect([202], "stream", "PATCH", location, body=pieces, headers=headers, encode_chunked=True).headers["location"]
            self.finish_upload(location, name)
        elif way == "chunks":
            step = max(1, len(data) // 3 + 1)
            for start in range(0, len(data), step):
                answer = self.patch(location, data[start:start + step], start)
                if answer.status != 202:
                    raise Unexpected("send a chunk", answer)
                location = answer.headers["location"]
            self.finish_upload(location, name)
        else:
            self.finish_upload(location, name, data)
        return name

    def pull_blob(self, repository, name):
        answer = self.expect([200], f"pull {repository} {name}", "GET", f"/v2/{repository}/blobs/{name}")
        if digest(answer.body) != name:
            raise Unexpected(f"the bytes of {repository} {name} have another digest", answer)
        return answer.body

    # -- images

    def push_image(self, repository, reference, image, ways=("put",)):
        """Pushes every blob, then the manifest; returns the manifest's digest when the registry acknowledged it."""
        for position, data in enumerate(image.blobs):
            self.push_blob(repository, data, ways[position % len(ways)])
        self.expect([201], "push a manifest", "PUT", f"/v2/{repository}/manifests/{reference}", body=image.manifest, headers={"Content-Type": MANIFEST})
        return image.digest

    def pull_image(self, repository, reference, seen=None):
        """Pulls the manifest and every blob and compares all digests; returns the manifest's digest."""
        answer = self.expect([200], f"pull {repository} {reference}", "GET", f"/v2/{repository}/manifests/{reference}")
        found = digest(answer.body)
        if found != answer.headers.get("docker-content-digest") or (":" in reference and found != reference):
            raise Unexpected(f"{repository} {reference} came with the digest {found}", answer)
        manifest = json.loads(answer.body)
        for part in [manifest["config"], *manifest["layers"]]:
            key = (repository, part["digest"])
            if seen is None or key not in seen:
                data = self.pull_blob(repository, part["digest"])
                if len(data) != part["size"]:
                    raise Unexpected(f"{part['digest']} has another size", answer)
                if seen is not None:
                    seen.add(key)
        return found


def with_digest(location, name):
    return location + ("&" if "?" in location else "?") + "digest=" + urllib.parse.quote(name)


class Image:
    """Layers of the given sizes, filled from the seed; the same seed makes the same image."""

    def __init__(self, seed, sizes, shared=()):
        dice = random.Random(seed)
        layers = [dice.randbytes(size) for size in sizes] + list(shared)
        config = json.dumps({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [digest(layer) for layer in layers]}, "seed": str(seed)}).encode()
        self.blobs = [*layers, config]
        self.manifest = json.dumps({
            "schemaVersion": 2, "mediaType": MANIFEST, "config": describe(CONFIG, config),
            "layers": [describe(LAYER, layer) for layer in layers],
        }).encode()
        self.digest = digest(self.manifest)


def describe(media_type, data):
    return {"mediaType": media_type, "digest": digest(data), "size": len(data)}


class Report:
    """Prints `ok` and `not ok` lines and counts them."""

    def __init__(self):
        self.failed = 0

    def check(self, name, good, detail=""):
        if good:
            print(f"ok - {name}", flush=True)
        else:
            self.failed += 1
            print(f"not ok - {name}", flush=True)
            for line in str(detail).splitlines()[:15]:
                print("    " + line[:400], flush=True)
        return good

    def exit(self):
        raise SystemExit(1 if self.failed else 0)
