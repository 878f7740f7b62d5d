"""Bytes on a socket, for what no HTTP client would send."""

import socket


def connect(address, timeout=10):
    host, port = address.rsplit(":", 1)
    return socket.create_connection((host, int(port)), timeout=timeout)


def exchange(address, data, timeout=10):
    """Sends the bytes, then reads until the peer closes or the time is over. Returns what came, or why nothing did."""
    with connect(address, timeout) as peer:
        received = b""
        try:
            peer.sendall(data)
        except OSError:
            pass  # a refusal may come before everything was taken
        try:
            # Told that no more comes, no server has a reason to wait.
            peer.shutdown(socket.SHUT_WR)
            while chunk := peer.recv(65536):
                received += chunk
        except TimeoutError:
            return received or b"(silence)"
        except OSError:
            pass
        return received


def status(received):
    """The status of an HTTP/1 answer, or 0 for a closed connection, or -1 for silence or anything else."""
    if received == b"":
        return 0
    words = received.split(b" ", 2)
    if received.startswith(b"HTTP/1.") and len(words) > 1 and words[1].isdigit():
        return int(words[1])
    return -1
