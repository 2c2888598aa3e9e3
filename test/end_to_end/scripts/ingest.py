"""Many writers at once, as modalities send: usage: ingest.py FOLDER WRITERS FILES-EACH

Each writer is a process that writes files of 2 to 300 KB, most of them small, into a folder of its own, in pieces of
32 KiB, and reads one in twenty of them back.
"""

import os
import random
import sys

folder, writers, files = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
PIECE = 32 * 1024
pool = random.Random(3).randbytes(1 << 20)


def write(writer):
    chance = random.Random(writer)
    own = f"{folder}/series-{writer}"
    os.makedirs(own)
    for number in range(files):
        size = 2000 + int(298_000 * chance.random() ** 6)
        start = chance.randrange(len(pool) - size)
        data = memoryview(pool)[start : start + size]
        path = f"{own}/image-{number:05d}.dcm"
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640)
        for at in range(0, size, PIECE):
            os.write(fd, data[at : at + PIECE])
        os.close(fd)
        if number % 20 == 0:
            with open(path, "rb") as stream:
                assert stream.read() == data, path


children = []
for writer in range(writers):
    child = os.fork()
    if child == 0:
        status = 1
        try:
            write(writer)
            status = 0
        finally:
            os._exit(status)
    children.append(child)
sys.exit(sum(os.waitpid(child, 0)[1] != 0 for child in children))
