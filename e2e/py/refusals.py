"""Everything a registry must refuse, and how: refusals.py ADDRESS

Each refusal has distribution's error body with one of the allowed codes and statuses, and leaves nothing behind.
Where the specification and distribution allow several answers, all of them are listed.
"""

import json
import sys
import urllib.parse

from registry import CONFIG, LAYER, MANIFEST, Client, Image, Report, describe, digest, with_digest

ABSENT = "sha256:" + "0" * 64
REPOSITORY = "refusals/good"
INDEX = "application/vnd.oci.image.index.v1+json"
OCTETS = {"Content-Type": "application/octet-stream"}


class Refusals:
    def __init__(self, address):
        self.address = address
        self.client = Client(address)
        self.report = Report()
        self.image = Image("refusals", [2000, 3000])
        self.client.push_image(REPOSITORY, "1", self.image)

    def refused(self, name, answers, method, path, body=None, headers=None, client=None, **kwargs):
        """`answers`: the allowed {status: codes}."""
        answer = (client or self.client).request(method, path, body=body, headers=headers, **kwargs)
        codes = answer.codes() if method != "HEAD" else ["-"]
        allowed = answers.get(answer.status)
        good = allowed is not None and (method == "HEAD" or any(code in allowed for code in codes))
        self.report.check(f"{name}: {answer.status} {codes[0]}" if good else name, good, f"{method} {path[:200]} answered {answer.status} {codes}, allowed are {answers}\n{answer.body[:300]!r}")
        return answer

    def upload(self):
        return self.client.begin_upload(REPOSITORY)

    # -- names, tags and digests

    def names(self):
        bad = {400: ["NAME_INVALID"], 404: ["NAME_INVALID", "NAME_UNKNOWN"]}
        for name in ["UPPER/case", "-dash", "a/-b", "a//b", "a/b_", "a___b", "a..b", "a/.hidden", "ü", "x" * 300, "a/" * 150 + "a"]:
            shown = name if len(name) < 30 else f"{name[:10]}... of {len(name)}"
            self.refused(f"the name {shown!r} is refused on a push", bad, "POST", f"/v2/{urllib.parse.quote(name)}/blobs/uploads/", b"")
            self.refused(f"the name {shown!r} is refused on a pull", bad, "GET", f"/v2/{urllib.parse.quote(name)}/tags/list")

    def tags(self):
        bad = {400: ["TAG_INVALID", "MANIFEST_INVALID", "NAME_INVALID"], 404: ["TAG_INVALID", "MANIFEST_UNKNOWN", "NAME_INVALID"]}
        for tag in [".dot", "-dash", "a%20b", "a%2Fb", "%00", "t" * 129, "a%0d%0aX-Injected:1", "sha256:short", "%F0%9F%90%B3"]:
            shown = tag if len(tag) < 30 else f"{tag[:5]}... of {len(tag)}"
            answers = {status: [*codes, "DIGEST_INVALID"] for status, codes in bad.items()}
            if tag == "a%2Fb":  # a slash is a slash, so this is no endpoint at all
                answers[404] = [*answers[404], "UNSUPPORTED"]
            answer = self.refused(f"the tag {shown!r} is refused on a push", answers, "PUT", f"/v2/{REPOSITORY}/manifests/{tag}", self.image.manifest, {"Content-Type": MANIFEST})
            self.report.check(f"the tag {shown!r} puts no header into the answer", "x-injected" not in answer.headers)
            self.refused(f"the tag {shown!r} is refused on a pull", answers, "GET", f"/v2/{REPOSITORY}/manifests/{tag}")

    def climbs(self):
        bad = {400: ["NAME_INVALID", "DIGEST_INVALID", "TAG_INVALID", "BLOB_UPLOAD_INVALID", "UNSUPPORTED"],
               404: ["NAME_INVALID", "NAME_UNKNOWN", "TAG_INVALID", "MANIFEST_UNKNOWN", "BLOB_UPLOAD_UNKNOWN", "UNSUPPORTED", "DIGEST_INVALID", "UNKNOWN"]}
        for path in [
            "/v2/../../../etc/passwd/manifests/1", "/v2/%2e%2e/%2e%2e/etc/manifests/1", "/v2/..%2f..%2fetc/manifests/1",
            "/v2/a/%2e%2e/b/tags/list", "/v2/a%00b/tags/list", "/v2/a%5c..%5cb/tags/list", "/v2//etc/passwd/manifests/1",
            f"/v2/{REPOSITORY}/manifests/..%2f..%2f..%2flink", f"/v2/{REPOSITORY}/blobs/sha256:..%2f..%2f..%2fetc%2fpasswd",
            f"/v2/{REPOSITORY}/blobs/uploads/..%2f..%2f..%2f", f"/v2/{REPOSITORY}/blobs/uploads/%2e%2e",
        ]:
            self.refused(f"a climb is refused: {path}", bad, "GET", path)
        self.refused("a climb is refused on a push", bad, "POST", "/v2/%2e%2e/%2e%2e/%2e%2e/tmp/blobs/uploads/", b"")
        self.refused("a climb is refused as the source of a mount", {400: ["NAME_INVALID"], 202: ["content-type is None"]}, "POST",
                     f"/v2/{REPOSITORY}/blobs/uploads/?mount={self.image.digest}&from=..%2F..%2Fetc", b"")

    def unknown_things(self):
        self.refused("an unknown blob", {404: ["BLOB_UNKNOWN"]}, "GET", f"/v2/{REPOSITORY}/blobs/{ABSENT}")
        self.refused("an unknown blob, asked with HEAD", {404: []}, "HEAD", f"/v2/{REPOSITORY}/blobs/{ABSENT}")
        self.refused("an unknown blob, to delete", {404: ["BLOB_UNKNOWN"]}, "DELETE", f"/v2/{REPOSITORY}/blobs/{ABSENT}")
        self.refused("an unknown manifest by digest", {404: ["MANIFEST_UNKNOWN"]}, "GET", f"/v2/{REPOSITORY}/manifests/{ABSENT}")
        self.refused("an unknown tag", {404: ["MANIFEST_UNKNOWN"]}, "GET", f"/v2/{REPOSITORY}/manifests/never")
        self.refused("an unknown tag, to delete", {404: ["MANIFEST_UNKNOWN", "TAG_INVALID"]}, "DELETE", f"/v2/{REPOSITORY}/manifests/never")
        self.refused("an unknown repository's tags", {404: ["NAME_UNKNOWN"]}, "GET", "/v2/refusals/nowhere/tags/list")
        self.refused("a blob of another repository", {404: ["BLOB_UNKNOWN", "NAME_UNKNOWN"]}, "GET", f"/v2/refusals/nowhere/blobs/{digest(self.image.blobs[0])}")
        self.refused("an unknown route", {404: ["UNKNOWN", "UNSUPPORTED", "NAME_INVALID", "NAME_UNKNOWN"]}, "GET", f"/v2/{REPOSITORY}/nothing/here")
        for text in ["sha256:abc", "sha256:" + "G" * 64, "sha256:" + "A" * 64, "md5:" + "0" * 32, "sha256", ":", "sha512:" + "0" * 64]:
            self.refused(f"the digest {text[:12]!r}... of {len(text)} for a blob", {400: ["DIGEST_INVALID"], 404: ["BLOB_UNKNOWN", "DIGEST_INVALID"]}, "GET", f"/v2/{REPOSITORY}/blobs/{text}")
        self.refused("a broken digest for referrers", {400: ["DIGEST_INVALID"], 404: ["DIGEST_INVALID"]}, "GET", f"/v2/{REPOSITORY}/referrers/sha256:abc")

    # -- uploads

    def uploads(self):
        data = b"x" * 5000
        bad_digest = {400: ["DIGEST_INVALID"]}
        self.refused("an upload with another's digest", bad_digest, "PUT", with_digest(self.upload(), ABSENT), data, OCTETS)
        self.refused("nothing of it is there", {404: []}, "HEAD", f"/v2/{REPOSITORY}/blobs/{ABSENT}")
        self.refused("nor under its true digest", {404: []}, "HEAD", f"/v2/{REPOSITORY}/blobs/{digest(data)}")
        self.refused("an upload with a broken digest", bad_digest, "PUT", with_digest(self.upload(), "sha256:abc"), data, OCTETS)
        self.refused("an upload with a digest of an unknown kind", {400: ["DIGEST_INVALID", "UNSUPPORTED"]}, "PUT", with_digest(self.upload(), "crc32:00000000"), data, OCTETS)
        self.refused("an upload without a digest", bad_digest, "PUT", self.upload(), data, OCTETS)
        self.refused("a single POST with another's digest", bad_digest, "POST", f"/v2/{REPOSITORY}/blobs/uploads/?digest={ABSENT}", data, OCTETS)
        self.refused("a single POST with a broken digest", bad_digest, "POST", f"/v2/{REPOSITORY}/blobs/uploads/?digest=sha256:abc", data, OCTETS)
        self.refused("a mount with a broken digest", {**bad_digest, 202: ["content-type is None"]}, "POST", f"/v2/{REPOSITORY}/blobs/uploads/?mount=sha256:abc&from={REPOSITORY}", b"")
        unknown = {404: ["BLOB_UPLOAD_UNKNOWN", "BLOB_UPLOAD_INVALID"], 400: ["BLOB_UPLOAD_INVALID"]}
        for upload in ["00000000-0000-4000-8000-000000000000", "not-an-upload", "x" * 500]:
            path = f"/v2/{REPOSITORY}/blobs/uploads/{upload}"
            shown = upload[:20]
            self.refused(f"the state of the unknown upload {shown}", unknown, "GET", path)
            self.refused(f"a part for the unknown upload {shown}", unknown, "PATCH", path, data, OCTETS)
            self.refused(f"the end of the unknown upload {shown}", unknown, "PUT", with_digest(path, digest(data)), data, OCTETS)
            self.refused(f"to cancel the unknown upload {shown}", unknown, "DELETE", path)
        location = self.upload()
        self.refused("the upload of another repository", unknown, "PATCH", location.replace(REPOSITORY, "refusals/other"), data, OCTETS)
        self.client.expect([204], "cancel", "DELETE", location)
        self.refused("a cancelled upload", unknown, "PATCH", location, data, OCTETS)

    def ranges(self):
        data = bytes(range(250)) * 40
        location = self.client.expect([202], "first part", "PATCH", self.upload(), body=data[:4000], headers=OCTETS).headers["location"]
        bad = {416: ["RANGE_INVALID", "BLOB_UPLOAD_INVALID"]}
        malformed = {416: ["RANGE_INVALID", "BLOB_UPLOAD_INVALID"], 400: ["RANGE_INVALID", "BLOB_UPLOAD_INVALID", "SIZE_INVALID"]}
        answer = self.refused("a part that leaves a gap", bad, "PATCH", location, data[5000:], {**OCTETS, "Content-Range": "5000-9999"})
        self.report.check("it is told where the upload stands", answer.headers.get("range") in ("0-3999", "bytes=0-3999") and "location" in answer.headers, answer.headers)
        self.refused("a part that is there already", bad, "PATCH", location, data[:4000], {**OCTETS, "Content-Range": "0-3999"})
        self.refused("a part that is longer than its range", malformed, "PATCH", location, data[4000:], {**OCTETS, "Content-Range": "4000-4999"})
        self.refused("a part that is shorter than its range", malformed, "PATCH", location, data[4000:5000], {**OCTETS, "Content-Range": "4000-9999"})
        for text in ["4000-", "9999-4000", "abc", "-5", "4000-9999999999999999999999", "4000-9999, 1-2"]:
            self.refused(f"the range {text!r}", malformed, "PATCH", location, data[4000:], {**OCTETS, "Content-Range": text})
        state = self.client.expect([204], "state", "GET", location)
        self.report.check("none of these moved the upload", state.headers.get("range") == "0-3999", state.headers)
        location = self.client.expect([202], "second part", "PATCH", state.headers["location"], body=data[4000:], headers={**OCTETS, "Content-Range": "4000-9999"}).headers["location"]
        self.client.finish_upload(location, digest(data))
        self.report.check("the upload then ends well", self.client.pull_blob(REPOSITORY, digest(data)) == data)
        blob = f"/v2/{REPOSITORY}/blobs/{digest(data)}"
        for text in ["bytes=10000-", "bytes=20000-30000"]:
            answer = self.client.request("GET", blob, headers={"Range": text})
            self.report.check(f"a pull of {text} is refused with 416 and the size", answer.status == 416 and answer.headers.get("content-range") == "bytes */10000", (answer.status, answer.headers))
        for text in ["bytes=5-2", "bytes=abc", "lines=1-2", "bytes=-", "bytes=1-2,5-6"]:
            answer = self.client.request("GET", blob, headers={"Range": text})
            whole = answer.status == 200 and answer.body == data
            self.report.check(f"a pull of {text} gives the whole, parts or 416", whole or answer.status in (206, 416), answer.status)

    # -- manifests

    def put(self, name, answers, body, media_type=MANIFEST, reference="bad", **kwargs):
        return self.refused(name, answers, "PUT", f"/v2/{REPOSITORY}/manifests/{reference}", body, {"Content-Type": media_type}, **kwargs)

    def manifests(self):
        invalid = {400: ["MANIFEST_INVALID"]}
        good = json.loads(self.image.manifest)
        for name, body in {
            "no JSON": b"not json", "nothing": b"", "half of it": self.image.manifest[:-20], "a list": b"[]", "null": b"null", "a number": b"7",
            "bytes that are no text": b"\xff\xfe\x00{", "a hundred thousand brackets": b"[" * 100000, "deep nesting": b'{"a":' * 50000 + b"1" + b"}" * 50000,
            "config that is no object": json.dumps({**good, "config": 7}).encode(), "layers that are no list": json.dumps({**good, "layers": {}}).encode(),
            "a broken digest": json.dumps({**good, "config": {**good["config"], "digest": "sha256:abc"}}).encode(),
            "a digest that climbs": json.dumps({**good, "config": {**good["config"], "digest": "sha256:../../../../etc/passwd"}}).encode(),
            "a size below zero": json.dumps({**good, "layers": [{**good["layers"][0], "size": -1}]}).encode(),
            "two documents": self.image.manifest + self.image.manifest,
        }.items():
            answers = {400: ["MANIFEST_INVALID", "DIGEST_INVALID", "SIZE_INVALID"]} if "digest" in name or "size" in name else invalid
            self.put(f"a manifest with {name}", answers, body)
        other = json.dumps({**good, "mediaType": "application/vnd.docker.distribution.manifest.v2+json"}).encode()
        self.put("a manifest whose type differs from the header's", invalid, other)
        self.put("a manifest under another's digest", {400: ["DIGEST_INVALID"]}, self.image.manifest, reference=ABSENT)
        missing = {404: ["MANIFEST_BLOB_UNKNOWN", "BLOB_UNKNOWN"], 400: ["MANIFEST_BLOB_UNKNOWN"]}
        absent_layer = {"mediaType": LAYER, "digest": ABSENT, "size": 10}
        answer = self.put("a manifest with a layer that is not there", missing, json.dumps({**good, "layers": [absent_layer]}).encode())
        self.report.check("the message or detail names the missing digest", ABSENT.encode() in answer.body, answer.body[:300])
        self.put("a manifest with a config that is not there", missing, json.dumps({**good, "config": {"mediaType": CONFIG, "digest": ABSENT, "size": 2}}).encode())
        schema1 = json.dumps({"schemaVersion": 1, "name": REPOSITORY, "tag": "bad", "architecture": "amd64", "fsLayers": [], "history": [], "signatures": []}).encode()
        for media_type in ["application/vnd.docker.distribution.manifest.v1+prettyjws", "application/vnd.docker.distribution.manifest.v1+json"]:
            answer = self.put(f"{media_type.rsplit('.', 1)[1]} of the old schema 1", {400: ["MANIFEST_INVALID", "UNSUPPORTED"]}, schema1, media_type)
            self.report.check("its message says so", b"schema" in answer.body.lower(), answer.body[:300])
        self.refused("none of these made a tag", {404: ["MANIFEST_UNKNOWN"]}, "GET", f"/v2/{REPOSITORY}/manifests/bad")

    def sizes(self):
        big = json.dumps({**json.loads(self.image.manifest), "annotations": {"filler": "x" * 5_000_000}}).encode()
        large = {413: ["MANIFEST_INVALID", "SIZE_INVALID", "UNKNOWN", "DENIED"]}
        client = Client(self.address)
        self.put("a manifest of 5 MB", large, big, client=client)
        client = Client(self.address)
        self.put("a manifest of 5 MB whose size comes last", large, (big[i:i + 65536] for i in range(0, len(big), 65536)), client=client, encode_chunked=True)
        fits = json.dumps({**json.loads(self.image.manifest), "annotations": {"filler": "x" * 3_900_000}}).encode()
        answer = self.client.request("PUT", f"/v2/{REPOSITORY}/manifests/large", body=fits, headers={"Content-Type": MANIFEST})
        self.report.check("one of 3.9 MB is taken", answer.status == 201, (answer.status, answer.body[:300]))
        index = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": [describe(MANIFEST, self.image.manifest)] * 2000}).encode()
        answer = self.client.request("PUT", f"/v2/{REPOSITORY}/manifests/wide", body=index, headers={"Content-Type": INDEX})
        self.report.check("an index that names one child 2,000 times is taken or refused, not crashed on", answer.status in (201, 400), (answer.status, answer.body[:300]))

    # -- methods, lists, signing in

    def methods(self):
        for method, path in [("POST", f"/v2/{REPOSITORY}/tags/list"), ("PUT", "/v2/"), ("DELETE", "/v2/_catalog"), ("PATCH", f"/v2/{REPOSITORY}/manifests/1"),
                             ("POST", f"/v2/{REPOSITORY}/blobs/{digest(self.image.blobs[0])}"), ("BREW", f"/v2/{REPOSITORY}/manifests/1"), ("PROPFIND", "/v2/"), ("TRACE", "/v2/")]:
            answer = self.refused(f"{method} {path[:40]}", {405: ["UNSUPPORTED"]}, method, path, b"" if method in ("POST", "PUT", "PATCH") else None)
            self.report.check(f"{method} {path[:40]} is told which methods there are", bool(answer.headers.get("allow")), answer.headers)

    def lists(self):
        for query in ["n=-1", "n=abc", "n=99999999999999999999999", "n=1.5"]:
            if query.startswith("n=9999"):
                # As many tags as there are are fewer than that; the catalog alone has a limit (catalog.maxentries).
                answer = self.client.request("GET", f"/v2/{REPOSITORY}/tags/list?{query}")
                self.report.check(f"tags with {query} are all", answer.status == 200 and len(json.loads(answer.body)["tags"]) > 0, answer.body[:200])
            else:
                self.refused(f"tags with {query}", {400: ["PAGINATION_NUMBER_INVALID"]}, "GET", f"/v2/{REPOSITORY}/tags/list?{query}")
            self.refused(f"the catalog with {query}", {400: ["PAGINATION_NUMBER_INVALID"]}, "GET", f"/v2/_catalog?{query}")
        for query in ["last=%00", "last=" + "z" * 3000, "last=..%2F..", "n=1&n=2", "last=%FF", "%ZZ=1", "&&&=="]:
            answer = self.client.request("GET", f"/v2/{REPOSITORY}/tags/list?{query}")
            self.report.check(f"tags with {query[:20]} are listed or refused with 400", answer.status in (200, 400, 414), (answer.status, answer.body[:200]))

    def signing_in(self):
        refused = {401: ["UNAUTHORIZED"]}
        for name, value in {"nothing": None, "a wrong password": "Basic dGVzdGVyOmh1c2gtaHVzaA==", "no base64": "Basic ???", "no colon": "Basic dGVzdGVy", "an empty Basic": "Basic",
                            "a token that is none": "Bearer garbage.garbage.garbage", "an unknown scheme": "Negotiate abc", "100 KB": None}.items():
            client = Client(self.address, user=None)
            headers = {"Authorization": value} if value else {}
            if name == "100 KB":
                headers = {"Authorization": "Basic " + "QUFB" * 25000}
            answers = {**refused, 431: [], 400: ["UNAUTHORIZED"]} if name == "100 KB" else refused
            answer = client.request("GET", f"/v2/{REPOSITORY}/manifests/1", headers=headers)
            good = answer.status in answers and (answer.status == 431 or answer.codes()[0] in answers[answer.status])
            self.report.check(f"signing in with {name} is refused", good, (answer.status, answer.body[:300]))
            if answer.status == 401:
                self.report.check(f"signing in with {name}: the answer has a challenge", "www-authenticate" in answer.headers, answer.headers)
            secret = b"hush" in answer.body or b"garbage" in answer.body
            self.report.check(f"signing in with {name}: the answer repeats nothing of it", not secret, answer.body[:300])

    def nothing_was_left(self):
        answer = self.client.expect([200], "tags", "GET", f"/v2/{REPOSITORY}/tags/list")
        self.report.check("only what was good is there", set(json.loads(answer.body)["tags"]) <= {"1", "large", "wide"}, answer.body)
        names = json.loads(self.client.expect([200], "catalog", "GET", "/v2/_catalog").body)["repositories"]
        self.report.check("no refused name became a repository", [n for n in names if n.startswith("refusals/")] == [REPOSITORY] and len(names) == 1, names)
        self.client.pull_image(REPOSITORY, "1")
        self.report.check("the good image still pulls whole", True)


def main():
    tests = Refusals(sys.argv[1])
    for part in [tests.names, tests.tags, tests.climbs, tests.unknown_things, tests.uploads, tests.ranges, tests.manifests, tests.sizes,
                 tests.methods, tests.lists, tests.signing_in, tests.nothing_was_left]:
        try:
            part()
        except Exception as problem:  # one part's surprise is a finding and must not hide the others
            tests.report.check(f"{part.__name__} runs to its end", False, repr(problem))
            tests.client.close()
    tests.report.exit()


main()
