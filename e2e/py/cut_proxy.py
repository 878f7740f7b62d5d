"""A TCP proxy that breaks connections: cut_proxy.py LISTEN_PORT ADDRESS up|down BYTES TIMES [SECONDS]

Passes everything on between its clients and ADDRESS. The first TIMES connections that carry BYTES in the given direction
(up: from the client, down: to it) are cut with a reset at that byte; then no more. `up` with SECONDS: after the cut, nobody is
let in for so long, as when a cable is out. Prints one line a cut.
"""

import socket
import struct
import sys
import threading
import time


class Proxy:
    def __init__(self, address, direction, limit, times, outage):
        self.address, self.direction, self.limit, self.outage = address, direction, limit, outage
        self.left = times
        self.out_until = 0.0
        self.lock = threading.Lock()

    def serve(self, port):
        with socket.create_server(("127.0.0.1", port), backlog=128) as listener:
            while True:
                peer, _ = listener.accept()
                if time.monotonic() < self.out_until:
                    reset(peer)
                    continue
                threading.Thread(target=self.connection, args=(peer,), daemon=True).start()

    def connection(self, client):
        host, port = self.address.rsplit(":", 1)
        try:
            server = socket.create_connection((host, int(port)))
        except OSError:
            reset(client)
            return
        for source, target, direction in [(client, server, "up"), (server, client, "down")]:
            threading.Thread(target=self.pass_on, args=(source, target, direction), daemon=True).start()

    def pass_on(self, source, target, direction):
        passed = 0
        try:
            while data := source.recv(16384):
                if direction == self.direction and passed + len(data) >= self.limit and self.take_a_cut():
                    target.sendall(data[:max(0, self.limit - passed)])
                    print(f"cut {direction} at byte {self.limit}", flush=True)
                    self.out_until = time.monotonic() + self.outage
                    # What was sent shall arrive before the reset throws it away.
                    time.sleep(0.1)
                    reset(source)
                    reset(target)
                    return
                target.sendall(data)
                passed += len(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            for end in (source, target):
                end.close()

    def take_a_cut(self):
        with self.lock:
            self.left -= 1
            return self.left >= 0


def reset(peer):
    try:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        # Another thread may sit in recv, which keeps the socket open after close.
        peer.shutdown(socket.SHUT_RD)
    except OSError:
        pass
    peer.close()


def main():
    port, address, direction, limit, times, *outage = sys.argv[1:]
    Proxy(address, direction, int(limit), int(times), float(outage[0]) if outage else 0.0).serve(int(port))


main()
