"""Makes a tree with one of everything that a copy can lose: usage: make_tree.py FOLDER [FILES] (as root)."""

import os
import random
import subprocess
import sys

root, files = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 400
chance = random.Random(5)
os.makedirs(root, exist_ok=True)
os.chdir(root)
for number in range(files):
    folder = f"level{number % 7}/branch {number % 5}/ä{number % 3}"
    os.makedirs(folder, exist_ok=True)
    name = f"{folder}/file-{number}"
    size = chance.choice((0, 1, 500, 4096, 30_000, 120_000, 250_000))
    with open(name, "wb") as stream:
        stream.write(chance.randbytes(size))
    os.chmod(name, chance.choice((0o644, 0o600, 0o755, 0o4711, 0o2755)))
    if number % 10 == 0:
        os.chown(name, 1000 + number, 2000)
    os.utime(name, ns=(10**18 + number, 10**18 + 123_456_789 * number))
    if number % 20 == 0:
        os.setxattr(name, "user.number", str(number).encode())
    if number % 25 == 0:
        os.link(name, f"{name}-link")
    if number % 30 == 0:
        os.symlink(f"../nowhere/{number}", f"{name}-symlink")
    if number % 50 == 0:
        subprocess.run(["setfacl", "-m", f"u:{1000 + number}:rw", name], check=True)
with open("sparse", "wb") as stream:
    stream.seek(3_000_000)
    stream.write(b"end")
os.mkfifo("fifo", 0o640)
os.mknod("device", 0o20600, os.makedev(1, 7))
os.symlink("x" * 900, "long-symlink")
os.mkdir("sticky")
os.chmod("sticky", 0o1777)
subprocess.run(["setfacl", "-d", "-m", "u:1000:rwx", "sticky"], check=True)
open(os.fsencode("bytes-") + b"\xff\xfe\n", "wb").close()
open("n" * 255, "wb").close()
for folder, _, names in os.walk(".", topdown=False):
    for name in names:
        path = f"{folder}/{name}"
        # Times in the past, also of what is no regular file: a copy must set them all.
        if not os.path.isfile(path) or os.path.islink(path):
            os.utime(path, ns=(10**18, 10**18 + 7), follow_symlinks=False)
    os.utime(folder, ns=(10**18, 10**18 + len(folder)))
