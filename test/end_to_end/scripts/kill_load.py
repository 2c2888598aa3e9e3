"""Writers that say what they may rely on, until the filesystem is taken from under them.

python3 kill_load.py WRITERS SEED: works in the current directory and prints lines that a kill of the filesystem's
processes must not make untrue, each after the call that promises it has returned:

    synced PATH SHA256    the file was fsynced (and its directory, where its name is new)
    closed PATH SHA256    the file was closed: a later `pacsfs sync` makes it durable
    gone PATH             nothing is promised of this path from here on
"""

import hashlib
import os
import random
import sys
import threading

lock = threading.Lock()


def say(*words):
    with lock:
        os.write(1, (" ".join(words) + "\n").encode())


def fsync_directory(path):
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def digest(data):
    return hashlib.sha256(data).hexdigest()


def write_file(path, data, sync):
    descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o644)
    try:
        for start in range(0, len(data), 65536):
            os.write(descriptor, data[start : start + 65536])
        if sync:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def work(index, seed):
    chance = random.Random(seed * 1000 + index)
    folder = f"w{index}"
    os.makedirs(folder, exist_ok=True)
    known = []
    for number in range(10**9):
        data = chance.randbytes(chance.choice([0, 10, 5000, 250_000, 250_000]))
        path = f"{folder}/{seed}-{number}"
        kind = chance.randrange(8)
        if kind < 2:
            write_file(path, data, True)
            say("synced", path, digest(data))
            known.append(path)
        elif kind == 2:
            write_file(path, data, False)
            say("closed", path, digest(data))
            known.append(path)
        elif kind == 3:
            # Replace by rename, as careful programs do.
            target = chance.choice(known) if known else path
            say("gone", target)
            write_file(path + ".new", data, True)
            os.rename(path + ".new", target)
            fsync_directory(folder)
            say("synced", target, digest(data))
            known.append(target)
        elif kind == 4 and known:
            target = known.pop(chance.randrange(len(known)))
            say("gone", target)
            if target not in known:
                os.unlink(target)
        elif kind == 6:
            # Made in one directory, moved to a new one, linked into a third: rows of several shards in one record.
            aside = f"{folder}/d{number}"
            os.mkdir(aside)
            write_file(path, data, False)
            os.rename(path, f"{aside}/moved")
            os.link(f"{aside}/moved", f"{folder}/linked{number}")
            if chance.randrange(2):
                fsync_directory(aside)
        elif kind == 5 and known:
            # In place: what it was, or what it is to be, or anything between, until it is fsynced.
            target = chance.choice(known)
            say("gone", target)
            descriptor = os.open(target, os.O_RDWR)
            os.pwrite(descriptor, data, 0)
            os.ftruncate(descriptor, len(data))
            os.fsync(descriptor)
            os.close(descriptor)
            say("synced", target, digest(data))


def until_the_end(index, seed):
    try:
        work(index, seed)
    except OSError:
        # The filesystem is gone.
        return


threads = [threading.Thread(target=until_the_end, args=(i, int(sys.argv[2]))) for i in range(int(sys.argv[1]))]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
