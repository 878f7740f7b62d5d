"""A small program around the oras project's Python library.

    oras_client.py push HOST REPOSITORY:TAG USER PASSWORD FILE...
    oras_client.py pull HOST REPOSITORY:TAG USER PASSWORD FOLDER
"""

import os
import sys

import oras.client


def main(verb, host, reference, user, password, *paths):
    # Plain HTTP and Basic: what a registry with an htpasswd file on the loopback speaks.
    client = oras.client.OrasClient(hostname=host, insecure=True, auth_backend="basic")
    client.login(username=user, password=password, hostname=host)
    target = f"{host}/{reference}"
    if verb == "push":
        os.chdir(os.path.dirname(os.path.abspath(paths[0])))
        answer = client.push(target=target, files=[os.path.basename(path) for path in paths])
        answer.raise_for_status()
    else:
        for path in client.pull(target=target, outdir=paths[0]):
            print(path)


main(*sys.argv[1:])
