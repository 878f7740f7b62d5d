"""Uploads that break in the middle go on where the registry says: resume.py ADDRESS before|after STATE_FILE

`before` breaks uploads in several ways and goes on with them at once; two it leaves for `after`, which runs when the
registry was restarted in between.
"""

import json
import random
import socket
import struct
import sys
import time

from registry import Client, Report, digest

REPOSITORY = "cut/raw"


def path_of(location):
    return "/" + location.split("://", 1)[-1].split("/", 1)[-1] if "://" in location else location


def broken_patch(client, location, data, announced, chunked=False):
    """Sends the head and part of the body, then resets the connection."""
    host, port = client.address.rsplit(":", 1)
    length = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {announced}"
    head = f"PATCH {path_of(location)} HTTP/1.1\r\nHost: {client.address}\r\nAuthorization: {client.authorization}\r\nContent-Type: application/octet-stream\r\n{length}\r\n\r\n".encode()
    with socket.create_connection((host, int(port)), timeout=20) as peer:
        peer.sendall(head + (f"{len(data):x}\r\n".encode() + data + b"\r\n" if chunked else data))
        # Time for the bytes to be taken; how many were is what the registry says then.
        time.sleep(0.3)
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def stands_at(client, location):
    """Where the upload is to go on, and under which location; the registry may need a moment to notice the break."""
    deadline = time.monotonic() + 20
    while True:
        answer = client.request("GET", location)
        if answer.status == 204 or time.monotonic() > deadline:
            break
        time.sleep(0.1)
    if answer.status != 204:
        raise AssertionError(f"the upload's state was answered with {answer.status} {answer.body[:200]!r}")
    first, last = answer.headers["range"].removeprefix("bytes=").split("-")
    assert first == "0", answer.headers
    return (0 if last == "0" else int(last) + 1), answer.headers["location"]


def go_on(client, location, data, report, name, at_least=0):
    try:
        offset, location = stands_at(client, location)
        report.check(f"{name}: the registry has {offset} of {len(data)} bytes, no fewer than it acknowledged", at_least <= offset <= len(data))
        if offset < len(data):
            answer = client.patch(location, data[offset:], offset)
            assert answer.status == 202, (answer.status, answer.body[:300])
            location = answer.headers["location"]
        client.finish_upload(location, digest(data))
        report.check(f"{name}: it ends well", client.pull_blob(REPOSITORY, digest(data)) == data)
    except Exception as problem:  # one upload's fault must not hide the next
        report.check(f"{name}: it goes on", False, repr(problem))
        client.close()


def before(client, report, state):
    dice = random.Random()
    for name, acknowledged, chunked in [("cut in its first part", 0, False), ("cut in its first streamed part", 0, True),
                                        ("cut in its second part", 300_000, False), ("cut in its second streamed part", 300_000, True)]:
        data = dice.randbytes(3_000_000)
        location = client.begin_upload(REPOSITORY)
        if acknowledged:
            location = client.patch(location, data[:acknowledged], 0).headers["location"]
        broken_patch(client, location, data[acknowledged:1_200_000], len(data) - acknowledged, chunked)
        go_on(client, location, data, report, name, acknowledged)
    data = dice.randbytes(1_000_000)
    location = client.begin_upload(REPOSITORY)
    for i in range(10):
        answer = client.patch(location, data[:100_000 * (i + 1)][-100_000:], 100_000 * i)
        location = answer.headers["location"]
        if i % 3 == 0:
            broken_patch(client, location, b"", 100_000)
            _, location = stands_at(client, location)
    go_on(client, location, data, report, "cut three times before any byte of a part", len(data))
    kept = []
    for _ in range(2):
        data = dice.randbytes(500_000)
        answer = client.patch(client.begin_upload(REPOSITORY), data[:200_000], 0)
        kept.append({"location": answer.headers["location"], "data": data.hex()})
    with open(state, "w", encoding="utf-8") as file:
        json.dump(kept, file)


def after(client, report, state):
    with open(state, encoding="utf-8") as file:
        for number, upload in enumerate(json.load(file), 1):
            go_on(client, upload["location"], bytes.fromhex(upload["data"]), report, f"upload {number} from before the restart", 200_000)


def main():
    address, when, state = sys.argv[1:]
    report = Report()
    (before if when == "before" else after)(Client(address), report, state)
    report.exit()


main()
