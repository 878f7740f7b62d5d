"""What years of another registry leave in a folder.

    predecessor.py push ADDRESS             images of all kinds, through the API of a running registry
    predecessor.py leave FOLDER RECORD      leftovers and damage, written into the folder of a stopped one
    predecessor.py check ADDRESS RECORD     what a registry must make of the leftovers
    predecessor.py mend ADDRESS             pushes again what was damaged
"""

import hashlib
import json
import os
import shutil
import sys
import urllib.parse

from registry import CONFIG, LAYER, MANIFEST, Client, Image, Report, Unexpected, describe, digest

INDEX = "application/vnd.oci.image.index.v1+json"
DOCKER = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"


# ---- push

def put(client, repository, reference, manifest, media_type):
    data = json.dumps(manifest).encode()
    client.expect([201], "push a manifest", "PUT", f"/v2/{repository}/manifests/{reference}", body=data, headers={"Content-Type": media_type})
    return data


def push_index(client, repository, tag):
    children = [Image(f"{repository} {number}", [3000, 2000]) for number in range(3)]
    for child in children:
        client.push_image(repository, child.digest, child)
    put(client, repository, tag, {"schemaVersion": 2, "mediaType": INDEX, "manifests": [describe(MANIFEST, child.manifest) for child in children]}, INDEX)


def push_referrers(client, repository, tag):
    image = Image(repository, [5000])
    client.push_image(repository, tag, image)
    empty = b"{}"
    client.push_blob(repository, empty)
    for kind in ["signature", "sbom"]:
        data = f"the {kind} of {image.digest}".encode()
        client.push_blob(repository, data)
        manifest = {
            "schemaVersion": 2, "mediaType": MANIFEST, "artifactType": f"application/vnd.example.{kind}",
            "config": describe("application/vnd.oci.empty.v1+json", empty), "layers": [describe("application/octet-stream", data)],
            "subject": describe(MANIFEST, image.manifest),
        }
        name = digest(json.dumps(manifest).encode())
        put(client, repository, name, manifest, MANIFEST)


def push_docker(client, repository):
    image = Image(repository, [4000])
    for data in image.blobs:
        client.push_blob(repository, data)
    layer, config = image.blobs
    manifest = {
        "schemaVersion": 2, "mediaType": DOCKER, "config": describe("application/vnd.docker.container.image.v1+json", config),
        "layers": [describe("application/vnd.docker.image.rootfs.diff.tar.gzip", layer)],
    }
    data = put(client, repository, "image", manifest, DOCKER)
    platform = {"architecture": "amd64", "os": "linux"}
    put(client, repository, "list", {"schemaVersion": 2, "mediaType": DOCKER_LIST, "manifests": [{**describe(DOCKER, data), "platform": platform}]}, DOCKER_LIST)


def push_sha512(client, repository):
    """Both links, content the sha256: what distribution makes of a blob that is pushed by its sha512."""
    layer, config = b"a layer named by its sha512", b'{"architecture": "amd64", "os": "linux"}'
    name = "sha512:" + hashlib.sha512(layer).hexdigest()
    location = client.begin_upload(repository)
    client.finish_upload(location, name, layer)
    client.push_blob(repository, config)
    manifest = {
        "schemaVersion": 2, "mediaType": MANIFEST, "config": describe(CONFIG, config),
        "layers": [{"mediaType": LAYER, "digest": name, "size": len(layer)}],
    }
    put(client, repository, "1", manifest, MANIFEST)


def push(address):
    client = Client(address)
    push_index(client, "old/index", "1")
    push_referrers(client, "old/referrers", "1")
    push_docker(client, "old/docker")
    push_sha512(client, "old/sha512")
    for number in range(40):
        image = Image(f"tags {number % 7}", [1000 + number % 7])
        client.push_image("old/tags", f"t{number}", image)
    client.push_image("one", "latest", Image("one", [100]))
    client.push_image("old/moved", "latest", Image("before", [700]))
    client.push_image("old/moved", "latest", Image("after", [800]))
    image = Image("emptied", [900])
    client.push_image("old/emptied", "1", image)
    client.expect([202], "delete", "DELETE", f"/v2/old/emptied/manifests/{image.digest}")
    # what the damage will be done to
    for number in range(6):
        client.push_image("broken/images", f"b{number}", Image(f"broken {number}", [1500, 1600]))
    # uploads that nobody finished
    for number in range(3):
        client.patch(client.begin_upload(f"old/open-{number}"), b"x" * 5000)


# ---- leave

class Folder:
    def __init__(self, root):
        self.root = os.path.join(root, "docker", "registry", "v2")

    def path(self, *parts):
        return os.path.join(self.root, *parts)

    def write(self, content, *parts):
        path = self.path(*parts)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(content)

    def data(self, name):
        algorithm, value = name.split(":")
        return self.path("blobs", algorithm, value[:2], value, "data")

    def tag(self, repository, tag):
        """The digest of a tag."""
        with open(self.path("repositories", repository, "_manifests", "tags", tag, "current", "link"), encoding="ascii") as file:
            return file.read()

    def manifest(self, name):
        with open(self.data(name), encoding="utf-8") as file:
            return json.load(file)


def break_images(folder, record):
    """One fault in each of several images; their neighbours stay whole."""
    images = ["repositories", "broken/images", "_manifests"]
    expect = lambda reference, status, kind="manifests": record.append(["broken/images", kind, reference, status])
    # b0: the tag's link was never written
    folder.write(b"", *images, "tags", "b0", "current", "link")
    expect("b0", 404)
    # b1: the tag's link is something else
    folder.write(b"this is no digest", *images, "tags", "b1", "current", "link")
    expect("b1", 404)
    # b2: its revision is gone
    name = folder.tag("broken/images", "b2")
    shutil.rmtree(folder.path(*images, "revisions", "sha256", name.split(":")[1]))
    expect("b2", 404)
    expect(name, 404)
    # b3: its bytes are gone
    name = folder.tag("broken/images", "b3")
    shutil.rmtree(os.path.dirname(folder.data(name)))
    expect("b3", 404)
    expect(name, 404)
    # b4: the bytes of a layer are gone
    name = folder.tag("broken/images", "b4")
    layer = folder.manifest(name)["layers"][0]["digest"]
    shutil.rmtree(os.path.dirname(folder.data(layer)))
    expect("b4", 200)
    expect(layer, 404, "blobs")
    # b5 is whole
    expect("b5", 200)


def leave_foreign_files(folder):
    folder.write(b"notes\n", "repositories", "README")
    folder.write(b"notes\n", "README.txt")
    folder.write(b"\0", "repositories", ".DS_Store")
    folder.write(b"\0", "repositories", "old", ".DS_Store")
    folder.write(b"\0", "blobs", "sha256", "README")
    folder.write(b"half", "blobs", "sha256", "ab", ".data.rsync")
    folder.write(b"what", "blobs", "sha256", "ab", "ab" * 32, "datum")
    folder.write(b"what", "blobs", "md5", "ab", "ab" * 16, "data")
    folder.write(b"", "repositories", "old", "tags", "_manifests", "tags", ".hidden", "note")
    folder.write(b"", "repositories", "old", "tags", "_manifests", "tags", "with space", "current", "link")
    folder.write(b"x", "repositories", "old", "tags", "_uploads", "no-uuid", "data")
    folder.write(b"x", "repositories", "old", "tags", "_uploads", "00000000-0000-4000-8000-000000000000", "data")
    folder.write(b"x", "repositories", "old", "tags", "_layers", "sha256", "short", "link")
    os.makedirs(folder.path("repositories", "lost+found"))
    os.makedirs(folder.path("repositories", "UPPER", "_manifests", "tags", "a", "current"))
    os.makedirs(folder.path("repositories", "old", "tags", "_manifests", "tags", "unfinished", "current"))
    os.symlink("/nonexistent", folder.path("repositories", "dangling"))


def leave_schema_1(folder, record):
    """An image of the first schema, with its signatures beside it, as registries up to 2.4 left them."""
    layer = b"a layer of schema 1"
    folder.write(layer, "blobs", "sha256", digest(layer)[7:9], digest(layer)[7:], "data")
    body = json.dumps({
        "schemaVersion": 1, "name": "old/schema1", "tag": "1", "architecture": "amd64", "fsLayers": [{"blobSum": digest(layer)}],
        "history": [{"v1Compatibility": json.dumps({"id": "e" * 64})}],
        "signatures": [{"header": {"alg": "ES256"}, "signature": "c2lnbmVk", "protected": "e30"}],
    }, indent=3).encode()
    name = digest(body)
    folder.write(body, "blobs", "sha256", name[7:9], name[7:], "data")
    repository = ["repositories", "old/schema1"]
    folder.write(name.encode(), *repository, "_manifests", "revisions", "sha256", name[7:], "link")
    signature = b'{"signature": "signed"}'
    folder.write(signature, "blobs", "sha256", digest(signature)[7:9], digest(signature)[7:], "data")
    folder.write(digest(signature).encode(), *repository, "_manifests", "revisions", "sha256", name[7:], "signatures", "sha256", digest(signature)[7:], "link")
    for kind in ["current", f"index/sha256/{name[7:]}"]:
        folder.write(name.encode(), *repository, "_manifests", "tags", "1", *kind.split("/"), "link")
    folder.write(digest(layer).encode(), *repository, "_layers", "sha256", digest(layer)[7:], "link")
    record.append(["old/schema1", "manifests", name, 200])
    record.append(["old/schema1", "blobs", digest(layer), 200])


def leave(root, path):
    folder, record = Folder(root), []
    break_images(folder, record)
    leave_foreign_files(folder)
    leave_schema_1(folder, record)
    os.makedirs(folder.path("repositories", "empty", "one", "_manifests", "tags"))
    os.makedirs(folder.path("repositories", "empty", "two"))
    with open(path, "w", encoding="utf-8") as file:
        json.dump(record, file)


# ---- check

def check(address, path):
    client, report = Client(address), Report()
    with open(path, encoding="utf-8") as file:
        record = json.load(file)
    for repository, kind, reference, status in record:
        answer = client.request("GET", f"/v2/{repository}/{kind}/{urllib.parse.quote(reference)}")
        report.check(f"{repository} {reference[:19]}: {status}", answer.status == status, f"{answer.status} {answer.body[:300]}")
        if answer.status == 404:
            report.check(f"{repository} {reference[:19]}: the refusal says what is unknown", answer.codes()[0] in ("MANIFEST_UNKNOWN", "BLOB_UNKNOWN"), answer.body)
    names = json.loads(client.expect([200], "list", "GET", "/v2/_catalog?n=1000").body)["repositories"]
    wrong = [name for name in names if name != name.lower() or "+" in name or name in ("dangling", "README")]
    report.check("no foreign file is a repository", not wrong, wrong)
    tags = json.loads(client.expect([200], "list", "GET", "/v2/old/tags/tags/list").body)["tags"]
    report.check("no foreign file is a tag", sorted(tags) == sorted(f"t{number}" for number in range(40)), tags)
    report.exit()


def mend(address):
    """What was broken is whole again after a push."""
    client = Client(address)
    for number in range(6):
        client.push_image("broken/images", f"b{number}", Image(f"broken {number}", [1500, 1600]))
        client.pull_image("broken/images", f"b{number}")


{"push": push, "leave": leave, "check": check, "mend": mend}[sys.argv[1]](*sys.argv[2:])
