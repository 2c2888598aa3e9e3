"""Fills the filesystem of the current directory, and says in one line of JSON what it got.

python3 full_disk.py fill FOLDER BYTES   files of that size, each written at once, then appends to open ones, until
                                         nothing is taken any more; every error must be ENOSPC
python3 full_disk.py names FOLDER        the same with empty files and attributes
python3 full_disk.py check FOLDER        whether each file still has the bytes that its name tells
python3 full_disk.py hungry FOLDER       two open files take every byte that there is, over and over, while every other
                                         file but theirs is deleted
python3 full_disk.py thin FOLDER         deletes every other file
"""

import errno
import hashlib
import json
import os
import random
import sys
import threading
import time

REFUSALS = 30


def contents(name, size):
    return random.Random(name).randbytes(size)


def fill(folder, size):
    os.makedirs(folder, exist_ok=True)
    handles = [os.open(f"{folder}/open-{i}", os.O_CREAT | os.O_RDWR, 0o644) for i in range(3)]
    made, refused, number = 0, 0, 0
    while refused < REFUSALS:
        name = f"file-{number}-{size}"
        number += 1
        try:
            descriptor = os.open(f"{folder}/{name}", os.O_CREAT | os.O_EXCL | os.O_WRONLY)
        except OSError as error:
            assert error.errno == errno.ENOSPC, error
            refused += 1
            continue
        try:
            data = contents(name, size)
            written = os.write(descriptor, data)
            assert written == size, f"{written} of {size} bytes written"
            made += 1
        except OSError as error:
            assert error.errno == errno.ENOSPC, error
            os.unlink(f"{folder}/{name}")
            refused += 1
        finally:
            os.close(descriptor)
    appended = 0
    for index, handle in enumerate(handles):
        data, length = contents(f"open-{index}", 12_000_000), 0
        step = 100_000
        while step >= 1000 and length < len(data):
            try:
                length += os.write(handle, data[length : length + step])
            except OSError as error:
                assert error.errno == errno.ENOSPC, error
                step //= 10
        os.close(handle)
        os.rename(f"{folder}/open-{index}", f"{folder}/open-{index}-{length}")
        appended += length
    return {"made": made, "appended": appended}


def names(folder):
    os.makedirs(folder, exist_ok=True)
    made, refused = 0, 0
    while refused < REFUSALS:
        try:
            os.close(os.open(f"{folder}/{'n' * 150}-{made + refused}-0", os.O_CREAT | os.O_EXCL | os.O_WRONLY))
            os.setxattr(f"{folder}/{'n' * 150}-{made + refused}-0", "user.note", b"v" * 3000)
            made += 1
        except OSError as error:
            assert error.errno == errno.ENOSPC, error
            refused += 1
    return {"made": made}


def check(folder):
    wrong = []
    listed = sorted(os.listdir(folder))
    for name in listed:
        size = int(name.rsplit("-", 1)[1])
        base = name.rsplit("-", 1)[0] if name.startswith("open-") else name
        data = open(f"{folder}/{name}", "rb").read()
        expected = contents(base, 12_000_000)[:size] if name.startswith("open-") else contents(base, size)
        if name.startswith("n"):
            expected = b""
        if hashlib.sha256(data).digest() != hashlib.sha256(expected).digest():
            wrong.append(f"{name[-40:]}: {len(data)} bytes")
    return {"files": len(listed), "wrong": wrong[:10]}


def thin(folder):
    listed = sorted(os.listdir(folder))
    for name in listed[::2]:
        os.unlink(f"{folder}/{name}")
    return {"deleted": len(listed[::2])}


def hungry(folder):
    # Opened while there is room.
    for name in sorted(os.listdir(folder))[:60]:
        os.unlink(f"{folder}/{name}")
    end = time.monotonic() + 20
    while os.statvfs(folder).f_bavail * os.statvfs(folder).f_frsize < 17_000_000 and time.monotonic() < end:
        time.sleep(0.1)
    handles = [os.open(f"{folder}/open-hungry{i}", os.O_CREAT | os.O_WRONLY, 0o644) for i in range(2)]
    lengths, stop = [0, 0], threading.Event()

    def eat(index):
        data = contents(f"open-hungry{index}", 12_000_000) * 8
        while not stop.is_set():
            try:
                lengths[index] += os.write(handles[index], data[lengths[index] : lengths[index] + 10_000])
            except OSError as error:
                assert error.errno == errno.ENOSPC, error

    eaters = [threading.Thread(target=eat, args=(index,)) for index in range(2)]
    for eater in eaters:
        eater.start()
    wrong = []
    time.sleep(2)
    for name in sorted(os.listdir(folder)):
        if "hungry" in name or not name.startswith("file"):
            continue
        try:
            os.unlink(f"{folder}/{name}")
        except OSError as error:
            wrong.append(f"{name}: {error}")
        time.sleep(0.02)
    time.sleep(2)
    stop.set()
    for index, eater in enumerate(eaters):
        eater.join()
        os.close(handles[index])
        os.truncate(f"{folder}/open-hungry{index}", min(lengths[index], 12_000_000))
        os.rename(f"{folder}/open-hungry{index}", f"{folder}/open-hungry{index}-{min(lengths[index], 12_000_000)}")
    return {"wrong": wrong, "eaten": lengths}


action, folder = sys.argv[1], sys.argv[2]
outcome = {"fill": lambda: fill(folder, int(sys.argv[3])), "names": lambda: names(folder)}
outcome |= {"hungry": lambda: hungry(folder)}
outcome |= {"check": lambda: check(folder), "thin": lambda: thin(folder)}
print(json.dumps(outcome[action]()))
