"""Walks a storage folder in distribution's layout and says what in it is not as it must be.

    tree.py ROOT [--blobs-only] [--changed-since SECONDS]

Every `data` below blobs/ has the digest that its path says; every link names a digest, and what it names is there.
"""

import argparse
import hashlib
import os
import re

from registry import Report

DIGEST = re.compile(r"^(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$")


def hash_file(path, algorithm):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


def blob_path(root, name):
    algorithm, value = name.split(":")
    return os.path.join(root, "blobs", algorithm, value[:2], value, "data")


def check_blobs(root, since):
    """Broken blobs and the number of good ones."""
    broken, good = [], 0
    for folder, _, files in os.walk(os.path.join(root, "blobs")):
        if "data" not in files:
            continue
        path = os.path.join(folder, "data")
        if os.stat(path).st_mtime < since:
            continue
        prefix, value = os.path.split(folder)
        algorithm = os.path.basename(os.path.dirname(prefix))
        if hash_file(path, algorithm) == value:
            good += 1
        else:
            broken.append(f"{algorithm}:{value} holds {os.path.getsize(path)} bytes of something else")
    return broken, good


def check_link(root, path):
    """What is wrong with one link, or None."""
    with open(path, encoding="utf-8", errors="replace") as file:
        name = file.read()
    if not DIGEST.match(name):
        return f"{path} says {name!r}"
    if not os.path.exists(blob_path(root, name)):
        return f"{path} names {name}, which is not there"
    parts = path.split(os.sep)
    if parts[-2] == "current":
        repository = path.split(os.sep + "_manifests" + os.sep)[0]
        algorithm, value = name.split(":")
        if not os.path.exists(os.path.join(repository, "_manifests", "revisions", algorithm, value, "link")):
            return f"{path} names {name}, which is no revision of the repository"
    return None


def check_links(root):
    broken, good = [], 0
    for folder, folders, files in os.walk(os.path.join(root, "repositories")):
        if "_uploads" in folders:
            folders.remove("_uploads")
        # The history of a tag may name what was deleted since.
        if os.path.basename(folder) == "index" and os.sep + "_manifests" + os.sep + "tags" + os.sep in folder:
            folders.clear()
            continue
        if "link" not in files:
            continue
        problem = check_link(root, os.path.join(folder, "link"))
        if problem:
            broken.append(problem)
        else:
            good += 1
    return broken, good


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("root")
    parser.add_argument("--blobs-only", action="store_true")
    parser.add_argument("--changed-since", type=float, default=0)
    parser.add_argument("--when", default="in the storage")
    args = parser.parse_args()
    root = os.path.join(args.root, "docker", "registry", "v2")
    report = Report()
    broken, good = check_blobs(root, args.changed_since)
    report.check(f"{args.when}: {good} blobs have the digest that their path says", not broken, "\n".join(broken))
    if not args.blobs_only:
        broken, good = check_links(root)
        report.check(f"{args.when}: {good} links name what is there", not broken, "\n".join(broken))
    report.exit()


main()
