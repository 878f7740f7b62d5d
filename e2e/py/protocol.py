"""The distribution specification's promises, one by one, for sha256 and sha512: protocol.py ADDRESS

Complements the specification's own suite, which is not on every machine; written from the text of the specification
(1.1 and the draft after it), with what real clients lean on beside it.
"""

import hashlib
import json
import sys
import time

from registry import CONFIG, LAYER, MANIFEST, Client, Report, describe, with_digest

OCTETS = {"Content-Type": "application/octet-stream"}
INDEX = "application/vnd.oci.image.index.v1+json"


def named(algorithm, data):
    return f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}"


class Protocol:
    def __init__(self, address, algorithm):
        self.client = Client(address)
        self.algorithm = algorithm
        self.report = Report()
        self.base = f"protocol-{time.time_ns()}/{algorithm}"
        self.repository = self.base + "/one"
        self.turn = 0

    def check(self, name, good, detail=""):
        self.report.check(f"{self.algorithm}: {name}", good, detail)

    def answered(self, name, status, method, path, headers=None):
        """The answer has this status and these headers."""
        answer = self.client.request(method, path)
        wrong = {key: answer.headers.get(key) for key, value in (headers or {}).items() if answer.headers.get(key) != value}
        self.check(name, answer.status == status and not wrong, f"{method} {path} answered {answer.status}, not {status}; differing headers {wrong}; {answer.body[:300]!r}")
        return answer

    def data(self, size=2000):
        self.turn += 1
        data = f"{self.base} {self.turn} ".encode()
        return (data * (size // len(data) + 1))[:size]

    def location(self, answer):
        return answer.headers.get("location", "/missing")

    def begin(self, extra=""):
        return self.location(self.client.request("POST", f"/v2/{self.repository}/blobs/uploads/{extra}", body=b""))

    def blob_path(self, name, repository=None):
        return f"/v2/{repository or self.repository}/blobs/{name}"

    def stored(self, name, data, way):
        digest_header = {"docker-content-digest": name}
        self.answered(f"{way}: HEAD tells its size and digest", 200, "HEAD", self.blob_path(name), headers={**digest_header, "content-length": str(len(data))})
        answer = self.answered(f"{way}: GET gives it", 200, "GET", self.blob_path(name), headers=digest_header)
        self.check(f"{way}: byte for byte", answer.body == data)

    # -- blobs

    def uploads(self):
        for way in ["one POST", "POST and PUT", "streamed PATCH", "chunks", "chunks, the last in the PUT", "chunks without ranges", "nothing at all"]:
            data = b"" if way == "nothing at all" else self.data()
            name = named(self.algorithm, data)
            if way == "one POST":
                answer = self.client.request("POST", f"/v2/{self.repository}/blobs/uploads/?digest={name}", body=data, headers=OCTETS)
                self.check(f"{way}: 201 with Location and digest", answer.status == 201 and "location" in answer.headers and answer.headers.get("docker-content-digest") == name, (answer.status, answer.headers))
            else:
                location, last = self.begin(f"?digest-algorithm={self.algorithm}" if way == "chunks" else ""), b""
                if way in ("POST and PUT", "nothing at all"):
                    last = data
                elif way == "streamed PATCH":
                    answer = self.client.request("PATCH", location, body=iter([data[:700], data[700:]]), headers=OCTETS, encode_chunked=True)
                    self.check(f"{way}: 202 with the range", answer.status == 202 and answer.headers.get("range") == f"0-{len(data) - 1}", (answer.status, answer.headers))
                    location = self.location(answer)
                else:
                    for start in (0, 700, 1400):
                        part = data[start:start + 700]
                        if start == 1400 and "PUT" in way:
                            last = part
                            continue
                        answer = self.client.patch(location, part, None if "without" in way else start)
                        self.check(f"{way}: 202 with the range up to {start + len(part)}", answer.status == 202 and answer.headers.get("range") == f"0-{start + len(part) - 1}", (answer.status, answer.headers))
                        location = self.location(answer)
                        state = self.client.request("GET", location)
                        self.check(f"{way}: the state says the same", state.status == 204 and state.headers.get("range") == f"0-{start + len(part) - 1}" and "location" in state.headers, (state.status, state.headers))
                headers = {**OCTETS, **({"Content-Range": f"1400-{len(data) - 1}"} if last and "PUT" in way and way != "POST and PUT" else {})}
                answer = self.client.request("PUT", with_digest(location, name), body=last, headers=headers)
                self.check(f"{way}: 201 with Location and digest", answer.status == 201 and "location" in answer.headers and answer.headers.get("docker-content-digest") == name, (answer.status, answer.headers, answer.body[:200]))
            self.stored(name, data, way)

    def cancelling(self):
        location = self.begin()
        self.answered("an upload is cancelled", 204, "DELETE", location)
        self.answered("then it is unknown", 404, "GET", location)

    def mounting(self):
        data = self.data()
        name = self.push(data)
        other = self.base + "/two"
        answer = self.client.request("POST", f"/v2/{other}/blobs/uploads/?mount={name}&from={self.repository}", body=b"")
        self.check("a blob is mounted", answer.status == 201 and answer.headers.get("docker-content-digest") == name, (answer.status, answer.headers))
        self.check("and served there", self.client.request("GET", self.blob_path(name, other)).body == data)
        answer = self.client.request("POST", f"/v2/{self.base}/three/blobs/uploads/?mount={name}", body=b"")
        self.check("a mount without a source mounts or begins an upload", answer.status in (201, 202) and "location" in answer.headers, answer.status)
        answer = self.client.request("POST", f"/v2/{other}/blobs/uploads/?mount={named(self.algorithm, b'never')}&from={self.repository}", body=b"")
        self.check("a mount of what is not there begins an upload", answer.status == 202 and "location" in answer.headers, answer.status)
        self.client.request("DELETE", self.location(answer))

    def push(self, data):
        name = named(self.algorithm, data)
        answer = self.client.request("PUT", with_digest(self.begin(), name), body=data, headers=OCTETS)
        if answer.status != 201:
            self.check("a blob is pushed", False, (answer.status, answer.body[:300]))
        return name

    def reading(self):
        data = self.data(10000)
        path = self.blob_path(self.push(data))
        for text, first, last in [("bytes=0-99", 0, 99), ("bytes=100-100", 100, 100), ("bytes=9990-", 9990, 9999), ("bytes=-10", 9990, 9999), ("bytes=0-20000", 0, 9999)]:
            answer = self.client.request("GET", path, headers={"Range": text})
            good = answer.status == 206 and answer.body == data[first:last + 1] and answer.headers.get("content-range") == f"bytes {first}-{last}/10000"
            self.check(f"the range {text}", good, (answer.status, answer.headers))
        answer = self.client.request("GET", path)
        self.check("a blob tells that it has ranges and an entity tag", answer.headers.get("accept-ranges") == "bytes" and bool(answer.headers.get("etag")), answer.headers)
        self.not_modified(path, answer.headers.get("etag", ""))
        answer = self.client.request("GET", path, headers={"Accept-Encoding": "gzip, zstd, br"})
        self.check("a blob is never encoded", answer.body == data and "content-encoding" not in answer.headers, answer.headers)

    def not_modified(self, path, etag):
        answer = self.client.request("GET", path, headers={"If-None-Match": etag})
        self.check(f"what did not change is not sent again: {path.split('/')[-2]}", answer.status == 304 and answer.body == b"", answer.status)

    # -- manifests

    def manifest(self, **more):
        config, layer = self.data(300), self.data(500)
        parts = [{**describe(kind, data), "digest": self.push(data)} for kind, data in [(CONFIG, config), (LAYER, layer)]]
        return json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "config": parts[0], "layers": [parts[1]], **more}).encode()

    def put(self, body, reference, media_type=MANIFEST, query=""):
        return self.client.request("PUT", f"/v2/{self.repository}/manifests/{reference}{query}", body=body, headers={"Content-Type": media_type})

    def manifests(self):
        body = self.manifest()
        name = named(self.algorithm, body)
        answer = self.put(body, name)
        self.check("a manifest is pushed by digest", answer.status == 201 and "location" in answer.headers and answer.headers.get("docker-content-digest") == name, (answer.status, answer.headers, answer.body[:200]))
        path = f"/v2/{self.repository}/manifests/{name}"
        headers = {"docker-content-digest": name, "content-type": MANIFEST, "content-length": str(len(body))}
        self.answered("HEAD by digest tells type, size and digest", 200, "HEAD", path, headers=headers)
        answer = self.answered("GET by digest gives it", 200, "GET", path, headers=headers)
        self.check("byte for byte", answer.body == body)
        self.not_modified(path, answer.headers.get("etag", f'"{name}"'))
        bare = Client(self.client.address)
        for accept in ["*/*", "application/json", "application/vnd.docker.distribution.manifest.v2+json"]:
            answer = bare.request("GET", path, headers={"Accept": accept})
            self.check(f"Accept {accept} changes nothing", answer.status == 200 and answer.body == body, answer.status)
        answer = self.put(body, name, query="?tag=by-parameter-1&tag=by-parameter-2")
        self.check("tags come as parameters", answer.status == 201 and {"by-parameter-1", "by-parameter-2"} <= set(answer.headers.get("oci-tag", "").split(", ")), (answer.status, answer.headers))
        for tag in ("by-parameter-1", "by-parameter-2"):
            self.answered(f"the tag {tag} names it", 200, "HEAD", f"/v2/{self.repository}/manifests/{tag}", headers={"docker-content-digest": name})
        index = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": [{"mediaType": MANIFEST, "digest": name, "size": len(body)}]}).encode()
        answer = self.put(index, "an-index", INDEX)
        self.check("an index is pushed by tag", answer.status == 201, (answer.status, answer.body[:300]))
        nested = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": [{"mediaType": INDEX, "digest": answer.headers.get("docker-content-digest"), "size": len(index)}]}).encode()
        self.check("an index in an index too", self.put(nested, "nested", INDEX).status == 201)
        answer = self.client.request("GET", f"/v2/{self.repository}/manifests/an-index", headers={"Accept": MANIFEST})
        self.check("an index is never turned into one of its children", answer.status == 200 and answer.body == index, answer.status)

    def referrers(self):
        subject_body = self.manifest()
        subject = {"mediaType": MANIFEST, "digest": named(self.algorithm, subject_body), "size": len(subject_body)}
        path = f"/v2/{self.repository}/referrers/{subject['digest']}"
        kind = {"content-type": INDEX}
        answer = self.answered("nothing refers to what is not there", 200, "GET", path, headers=kind)
        self.check("as an empty list", json.loads(answer.body or b"{}").get("manifests") == [], answer.body)
        pushed = []
        for number, artifact in enumerate(["application/x.signature", "application/x.sbom"]):
            body = self.manifest(subject=subject, artifactType=artifact, annotations={"number": str(number)})
            answer = self.put(body, named(self.algorithm, body))
            self.check(f"{artifact} is pushed before its subject, which the answer names", answer.status == 201 and answer.headers.get("oci-subject") == subject["digest"], (answer.status, answer.headers))
            pushed.append({"digest": named(self.algorithm, body), "artifactType": artifact, "annotations": {"number": str(number)}, "size": len(body), "mediaType": MANIFEST})
        self.check("the subject follows", self.put(subject_body, "subject").status == 201)
        listed = json.loads(self.answered("the referrers are listed", 200, "GET", path, headers=kind).body)["manifests"]
        self.check("with type, size, artifact type and annotations", sorted(listed, key=lambda one: one["annotations"]["number"]) == pushed, listed)
        answer = self.answered("they are filtered, and the answer says so", 200, "GET", path + "?artifactType=application/x.sbom", headers={**kind, "oci-filters-applied": "artifactType"})
        self.check("to the one", [one["digest"] for one in json.loads(answer.body)["manifests"]] == [pushed[1]["digest"]], answer.body)
        self.answered("a referrer is deleted", 202, "DELETE", f"/v2/{self.repository}/manifests/{pushed[0]['digest']}")
        left = json.loads(self.client.request("GET", path).body)["manifests"]
        self.check("and listed no more", [one["digest"] for one in left] == [pushed[1]["digest"]], left)

    # -- lists and deleting

    def lists(self):
        self.repository = self.base + "/listed"
        body = self.manifest()
        tags = sorted(f"t{n}" for n in range(7))
        for tag in reversed(tags):
            self.put(body, tag)
        path = f"/v2/{self.repository}/tags/list"
        self.check("all tags are listed in order", json.loads(self.client.request("GET", path).body) == {"name": self.repository, "tags": tags})
        found, page, pages = [], path + "?n=3", 0
        while page and pages < 10:
            answer = self.client.request("GET", page)
            found += json.loads(answer.body)["tags"]
            link = answer.headers.get("link", "")
            page = link[link.index("<") + 1:link.index(">")] if 'rel="next"' in link else None
            pages += 1
        self.check("pages lead from one to the next", found == tags and pages == 3, (found, pages))
        self.check("n=0 gives none", json.loads(self.client.request("GET", path + "?n=0").body)["tags"] == [])
        self.check("a tag that is none may stand for the last", json.loads(self.client.request("GET", path + "?last=t3x").body)["tags"] == tags[4:])
        names = json.loads(self.client.request("GET", "/v2/_catalog?n=1000").body)["repositories"]
        self.check("the catalog has it", self.repository in names, names)

    def deleting(self):
        body = self.manifest()
        name = named(self.algorithm, body)
        for tag in ("one", "two"):
            self.put(body, tag)
            self.put(body, name, query=f"?tag={tag}")
        path = f"/v2/{self.repository}/manifests/"
        self.answered("a tag is deleted", 202, "DELETE", path + "one")
        self.answered("it is gone", 404, "GET", path + "one")
        self.answered("it is not deleted twice", 404, "DELETE", path + "one")
        self.answered("its neighbour is there", 200, "GET", path + "two")
        self.answered("a manifest is deleted", 202, "DELETE", path + name)
        self.answered("it is gone too", 404, "GET", path + name)
        self.answered("so is its tag", 404, "GET", path + "two")
        blob = self.blob_path(self.push(self.data()))
        self.answered("a blob is deleted", 202, "DELETE", blob)
        self.answered("that is gone as well", 404, "GET", blob)
        self.answered("and not deleted twice", 404, "DELETE", blob)


def main():
    failed = 0
    for algorithm in ("sha256", "sha512"):
        tests = Protocol(sys.argv[1], algorithm)
        for part in [tests.uploads, tests.cancelling, tests.mounting, tests.reading, tests.manifests, tests.referrers, tests.lists, tests.deleting]:
            try:
                part()
            except Exception as problem:  # one part's surprise is a finding and must not hide the others
                tests.check(f"{part.__name__} runs to its end", False, repr(problem))
                tests.client.close()
        failed += tests.report.failed
    raise SystemExit(1 if failed else 0)


main()
