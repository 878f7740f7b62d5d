"""Garbage instead of HTTP, and clients that take their time: garbage.py ADDRESS

Each piece of garbage gets an answer with a 4xx status, or 505, or a closed connection, and the server goes on.
"""

import os
import random
import struct
import sys
import threading
import time

import raw
from registry import Client, Image, Report, digest, with_digest

HEAD = b"GET /v2/ HTTP/1.1\r\nHost: here\r\n"
# A request head must arrive within the server's limit, well below this; a body has no such limit.
SLOW_HEAD_SECONDS = 60


def pieces():
    dice = random.Random(7)
    yield "random bytes", dice.randbytes(65536)
    yield "zeroes", bytes(65536)
    yield "only line ends", b"\r\n" * 30000
    yield "a TLS hello", bytes.fromhex("16030100") + struct.pack(">B", 200) + b"\x01\x00" + dice.randbytes(198)
    yield "HTTP/0.9", b"GET /v2/\r\n"
    yield "HTTP/9.9", b"GET /v2/ HTTP/9.9\r\nHost: here\r\n\r\n"
    yield "no version", b"GET /v2/ \r\nHost: here\r\n\r\n"
    yield "no method", b" /v2/ HTTP/1.1\r\nHost: here\r\n\r\n"
    yield "a target with spaces", b"GET /v2/ /x HTTP/1.1\r\nHost: here\r\n\r\n"
    yield "a target of a megabyte", b"GET /v2/" + b"a" * 1_000_000 + b" HTTP/1.1\r\nHost: here\r\n\r\n"
    yield "a header of a megabyte", HEAD + b"X: " + b"a" * 1_000_000 + b"\r\n\r\n"
    yield "a hundred thousand headers", HEAD + b"X: y\r\n" * 100_000 + b"\r\n"
    yield "a header without a colon", HEAD + b"nothing\r\n\r\n"
    yield "a header with a zero byte", HEAD + b"X: a\x00b\r\n\r\n"
    yield "a length below zero", b"POST /v2/a/blobs/uploads/ HTTP/1.1\r\nHost: here\r\nContent-Length: -1\r\n\r\n"
    yield "a length that is no number", b"POST /v2/a/blobs/uploads/ HTTP/1.1\r\nHost: here\r\nContent-Length: ten\r\n\r\n"
    yield "two lengths", b"POST /v2/a/blobs/uploads/ HTTP/1.1\r\nHost: here\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"
    yield "an unknown transfer coding", b"POST /v2/a/blobs/uploads/ HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: rot13\r\n\r\nab"
    yield "an unknown connection preface", b"PRI * HTTP/3.0\r\n\r\nSM\r\n\r\n" + dice.randbytes(500)
    yield "HTTP/2 with broken frames", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + dice.randbytes(5000)
    yield "HTTP/2 with a frame of 16 MB", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff\xff\xff\x00\x00" + bytes(4) + dice.randbytes(2000)


def alive(address):
    return Client(address, timeout=10).request("GET", "/v2/").status == 200


def garbage(address, report):
    for name, data in pieces():
        received = raw.exchange(address, data)
        status = raw.status(received)
        # An HTTP/2 server answers broken frames with frames.
        frames = name.startswith("HTTP/2") and status == -1 and received != b"(silence)"
        good = status == 0 or 400 <= status < 500 or status == 505 or frames
        report.check(f"{name}: {'closed' if status <= 0 else status}", good, received[:300])
        if not report.check(f"{name}: the server goes on", alive(address)):
            return


def broken_bodies(address, report):
    client = Client(address)
    authorization = f"Authorization: {client.authorization}\r\n".encode()
    data = b"y" * 4000

    def put(extra, body):
        location = client.begin_upload("garbage/bodies")
        path = "/" + location.split("://", 1)[-1].split("/", 1)[-1]
        head = f"PUT {with_digest(path, digest(data))} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/octet-stream\r\n".encode()
        return raw.status(raw.exchange(address, head + authorization + extra + b"\r\n" + body))

    for name, extra, body in [
        ("a body that ends early", b"Content-Length: 4000\r\n", data[:100]),
        ("a chunked body that ends early", b"Transfer-Encoding: chunked\r\n", b"fa0\r\n" + data[:100]),
        ("a chunk size that is no number", b"Transfer-Encoding: chunked\r\n", b"zz\r\n" + data),
        ("a chunk size beyond all bounds", b"Transfer-Encoding: chunked\r\n", b"ffffffffffffffffff\r\n" + data),
    ]:
        status = put(extra, body)
        report.check(f"{name}: {'closed' if status <= 0 else status}", status == 0 or 400 <= status < 500, status)
        report.check(f"{name}: nothing of it is there", client.request("HEAD", f"/v2/garbage/bodies/blobs/{digest(data)}").status == 404)


def slow_heads(address, report, result):
    """Connections that send their head a byte at a time; the server ends them by itself."""
    peers = [raw.connect(address, timeout=1) for _ in range(100)]
    begun = time.monotonic()
    while peers and time.monotonic() - begun < SLOW_HEAD_SECONDS:
        for peer in list(peers):
            try:
                peer.sendall(b"G")
                peer.settimeout(0.001)
                if peer.recv(1000) == b"":
                    raise OSError
            except TimeoutError:
                pass
            except OSError:
                peers.remove(peer)
        time.sleep(0.5)
    result.append((len(peers), time.monotonic() - begun))


def slow_body(address, report):
    """An upload at a trickle outlives every limit on heads and idle connections."""
    client = Client(address)
    data = os.urandom(80)

    def trickle():
        for byte in data:
            yield bytes([byte])
            time.sleep(0.5)

    location = client.begin_upload("garbage/slow")
    headers = {"Content-Type": "application/octet-stream", "Content-Length": str(len(data))}
    answer = client.request("PUT", with_digest(location, digest(data)), body=trickle(), headers=headers)
    report.check("an upload of two bytes a second ends well", answer.status == 201, (answer.status, answer.body[:200]))


def main():
    address, report, slow = sys.argv[1], Report(), []
    heads = threading.Thread(target=slow_heads, args=(address, report, slow))
    body = threading.Thread(target=slow_body, args=(address, report))
    heads.start()
    body.start()
    garbage(address, report)
    broken_bodies(address, report)
    image = Image("after", [1000, 2000])
    report.check("pushes go on beside a hundred slow clients", Client(address).push_image("garbage/after", "1", image) == image.digest)
    body.join()
    heads.join()
    left, seconds = slow[0]
    report.check(f"a hundred slow heads are cut after {seconds:.0f} s", left == 0, f"{left} were still open")
    report.check("the server is alive", alive(address))
    report.exit()


main()
