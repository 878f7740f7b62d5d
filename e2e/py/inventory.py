"""Prints everything that a registry says it has, one sorted line each, so that two moments can be compared.

    inventory.py ADDRESS [--pull] [--without REPOSITORY]

Repositories, tags with digest and type, children of indexes, referrers. With --pull every blob's bytes are compared with
its digest on the way.
"""

import argparse
import json

from registry import Client, Unexpected, digest


def pages(client, path, key):
    last, found = "", []
    while True:
        answer = client.expect([200], "list", "GET", f"{path}?n=200" + (f"&last={last}" if last else ""))
        names = json.loads(answer.body)[key] or []
        found += names
        if len(names) < 200:
            return found
        last = names[-1]


class Inventory:
    def __init__(self, client, pull):
        self.client, self.pull = client, pull
        self.lines, self.seen = set(), set()

    def repository(self, name):
        self.lines.add(f"repository {name}")
        try:
            tags = pages(self.client, f"/v2/{name}/tags/list", "tags")
        except Unexpected as problem:
            # docker-registry lists repositories whose tags it then does not know
            if problem.answer.status != 404:
                raise
            tags = []
        for tag in tags:
            answer = self.client.request("GET", f"/v2/{name}/manifests/{tag}")
            if answer.status != 200:
                self.lines.add(f"tag {name}:{tag} answers {answer.status}")
                continue
            self.lines.add(f"tag {name}:{tag} {digest(answer.body)} {answer.headers['content-type']}")
            self.manifest(name, answer)

    def manifest(self, name, answer):
        found = digest(answer.body)
        if (name, found) in self.seen:
            return
        self.seen.add((name, found))
        if answer.headers["docker-content-digest"] != found:
            raise Unexpected(f"{name} has {found} under another digest", answer)
        self.lines.add(f"manifest {name}@{found}")
        body = json.loads(answer.body)
        for child in body.get("manifests", []):
            self.by_digest(name, child["digest"])
        if self.pull:
            for part in [body.get("config"), *body.get("layers", [])]:
                if part and (name, part["digest"]) not in self.seen:
                    self.seen.add((name, part["digest"]))
                    self.blob(name, part["digest"])
        answer = self.client.request("GET", f"/v2/{name}/referrers/{found}")
        if answer.status == 200:
            for referrer in json.loads(answer.body)["manifests"]:
                self.lines.add(f"referrer {name} {found} {referrer['digest']} {referrer.get('artifactType')}")
                self.by_digest(name, referrer["digest"])

    def blob(self, name, wanted):
        answer = self.client.request("GET", f"/v2/{name}/blobs/{wanted}")
        if answer.status == 200 and wanted.startswith("sha256:") and digest(answer.body) != wanted:
            raise Unexpected(f"the bytes of {name} {wanted} have another digest", answer)
        self.lines.add(f"blob {name}@{wanted} answers {answer.status}")

    def by_digest(self, name, wanted):
        answer = self.client.request("GET", f"/v2/{name}/manifests/{wanted}")
        if answer.status == 200:
            self.manifest(name, answer)
        else:
            self.lines.add(f"manifest {name}@{wanted} answers {answer.status}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("address")
    parser.add_argument("--pull", action="store_true")
    parser.add_argument("--without", action="append", default=[], help="a repository, or the begin of several with a slash at the end")
    args = parser.parse_args()
    client = Client(args.address)
    inventory = Inventory(client, args.pull)
    for name in pages(client, "/v2/_catalog", "repositories"):
        if not any(name == left_out or left_out.endswith("/") and name.startswith(left_out) for left_out in args.without):
            inventory.repository(name)
    print("\n".join(sorted(inventory.lines)))


main()
