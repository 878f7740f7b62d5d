"""Holds a registry to what it acknowledged to pushers.py.

    verify.py ADDRESS JOURNAL [--round N] [--when TEXT]

Every acknowledged image pulls whole by its digest; every tag names the last thing acknowledged for it, or something
that was under way when the server died; an acknowledged deletion stays; every upload that was open can be gone on with
or is forgotten. With --round, only what that round wrote.
"""

import argparse
import collections
import json

from registry import Client, Report, Unexpected, digest


def read(path, only):
    with open(path, encoding="utf-8") as file:
        lines = [json.loads(line) for line in file]
    return [line for line in lines if only is None or line["round"] == only]


def check_images(client, lines):
    seen, problems, count = set(), [], 0
    for line in lines:
        if line["what"] != "pushed":
            continue
        count += 1
        try:
            client.pull_image(line["repository"], line["digest"], seen)
        except Unexpected as problem:
            problems.append(f"{line['repository']}:{line['tag']}: {problem}")
    return count, problems


def allowed_states(lines):
    """For each tag the digests it may have now; None stands for no such tag."""
    states = collections.defaultdict(lambda: [None])
    for line in lines:
        key = (line["repository"], line.get("tag"))
        if line["what"] == "begin":
            states[key].append(line["digest"])
        elif line["what"] == "delete":
            states[key].append(None)
        elif line["what"] == "pushed":
            states[key] = [line["digest"]]
        elif line["what"] == "deleted":
            states[key] = [None]
    return states


def check_tags(client, lines, known):
    problems = []
    for (repository, tag), allowed in known.items():
        answer = client.request("GET", f"/v2/{repository}/manifests/{tag}")
        found = {200: digest(answer.body), 404: None}.get(answer.status, f"status {answer.status}")
        if found not in allowed:
            problems.append(f"{repository}:{tag} is {found}, acknowledged was {allowed}")
    return problems


def check_uploads(client, lines):
    """An upload is gone on with from where the registry says, or it is unknown and a new one takes its place."""
    problems, continued, count = [], 0, 0
    for line in lines:
        if line["what"] != "upload":
            continue
        count += 1
        sent = bytes.fromhex(line["sent"])
        data = sent + b"the rest"
        try:
            status = client.expect([204, 404], "ask for an upload", "GET", line["location"])
            if status.status == 204:
                end = status.headers["range"].split("-")[1]
                start = 0 if end == "0" else int(end) + 1
                answer = client.patch(status.headers["location"], data[start:], start)
                if answer.status != 202:
                    raise Unexpected("go on with an upload", answer)
                client.finish_upload(answer.headers["location"], digest(data))
                continued += 1
            else:
                client.push_blob(line["repository"], data)
            client.pull_blob(line["repository"], digest(data))
        except Unexpected as problem:
            problems.append(str(problem))
    return count, continued, problems


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("address")
    parser.add_argument("journal")
    parser.add_argument("--round", type=int)
    parser.add_argument("--when", default="now")
    args = parser.parse_args()
    client, report = Client(args.address), Report()
    everything = read(args.journal, None)
    lines = [line for line in everything if args.round in (None, line["round"])]
    count, problems = check_images(client, lines)
    report.check(f"{args.when}: {count} acknowledged images pull whole", not problems, "\n".join(problems))
    touched = {(line["repository"], line.get("tag")) for line in lines if line.get("tag")}
    known = {key: allowed for key, allowed in allowed_states(everything).items() if key in touched}
    problems = check_tags(client, lines, known)
    report.check(f"{args.when}: {len(known)} tags name what was acknowledged last", not problems, "\n".join(problems))
    count, continued, problems = check_uploads(client, lines if args.round is not None else [])
    if count:
        report.check(f"{args.when}: none of {count} open uploads is stuck ({continued} went on)", not problems, "\n".join(problems))
    report.exit()


main()
