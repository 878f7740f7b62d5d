"""Pushes images in parallel until the server dies, and writes down what was acknowledged.

    pushers.py ADDRESS JOURNAL --round N [--threads 4] [--deletes] [--seconds 60] [--images 0]

Each thread owns its repositories, so that the order of what happened to a tag is known. The journal has one JSON object
a line: {"what": begin|pushed|delete|deleted|upload, "round", "repository", "tag", "digest", ...}.
"""

import argparse
import json
import random
import threading
import time

from registry import BROKEN, Client, Image, Unexpected


class Journal:
    def __init__(self, path, round_number):
        self.file = open(path, "a", encoding="utf-8")
        self.lock = threading.Lock()
        self.round = round_number

    def write(self, what, **fields):
        with self.lock:
            self.file.write(json.dumps({"what": what, "round": self.round, **fields}) + "\n")
            self.file.flush()


class Pusher(threading.Thread):
    def __init__(self, number, args, journal, shared):
        super().__init__()
        self.number, self.args, self.journal, self.shared = number, args, journal, shared
        self.dice = random.Random(f"{args.seed}-{args.round}-{number}")
        self.client = Client(args.address)
        self.problem = None

    def run(self):
        deadline = time.monotonic() + self.args.seconds
        turn = 0
        try:
            self.leave_an_upload_open()
            while time.monotonic() < deadline and turn != self.args.images:
                self.push(turn)
                turn += 1
        except Unexpected as problem:
            # A disk that dies or is full may be said, but only so.
            if not (self.args.disk_dies and problem.answer.status >= 500):
                self.problem = problem
        except BROKEN:
            pass  # the server is gone, which is what the journey wants

    def leave_an_upload_open(self):
        repository = f"crash/open-{self.number}"
        data = self.dice.randbytes(20000)
        location = self.client.begin_upload(repository)
        answer = self.client.patch(location, data)
        if answer.status != 202:
            raise Unexpected("send the first part of an upload", answer)
        self.journal.write("upload", repository=repository, location=answer.headers["location"], sent=data.hex())

    def push(self, turn):
        dice = self.dice
        repository = f"crash/{self.number}-{dice.randrange(3)}"
        # Some tags move on every push, some stay.
        tag = "latest" if dice.random() < 0.4 else f"r{self.args.round}-{turn}"
        sizes = [int(2 ** dice.uniform(8, 19)) for _ in range(dice.randrange(1, 4))]
        if dice.random() < 0.1:
            sizes.append(4_000_000)
        image = Image(f"{self.args.seed}-{self.args.round}-{self.number}-{turn}", sizes, dice.sample(self.shared, dice.randrange(2)))
        about = {"repository": repository, "tag": tag, "digest": image.digest}
        self.journal.write("begin", **about)
        ways = [dice.choice(["put", "stream", "chunks"]) for _ in range(3)]
        self.client.push_image(repository, tag, image, ways)
        self.journal.write("pushed", **about)
        if self.args.deletes and dice.random() < 0.15:
            self.journal.write("delete", **about)
            self.client.expect([202], "delete a tag", "DELETE", f"/v2/{repository}/manifests/{tag}")
            self.journal.write("deleted", **about)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("address")
    parser.add_argument("journal")
    parser.add_argument("--round", type=int, default=0)
    parser.add_argument("--threads", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--images", type=int, default=-1, help="stop after so many a thread")
    parser.add_argument("--seed", default="a")
    parser.add_argument("--deletes", action="store_true")
    parser.add_argument("--disk-dies", action="store_true", help="a status of 500 and above ends a thread, and is no fault")
    args = parser.parse_args()
    shared = [random.Random(f"shared-{i}").randbytes(50000 * (i + 1)) for i in range(4)]
    journal = Journal(args.journal, args.round)
    pushers = [Pusher(number, args, journal, shared) for number in range(args.threads)]
    for pusher in pushers:
        pusher.start()
    for pusher in pushers:
        pusher.join()
    problems = [str(pusher.problem) for pusher in pushers if pusher.problem]
    print("\n".join(problems))
    raise SystemExit(1 if problems else 0)


main()
