"""Many processes at random on the same few names, with no order between them: usage: storm.py FOLDER SECONDS SEED

Nothing can be compared but what must hold whatever the order: no call hangs, none fails with an error that the state of
the names cannot explain, every file's bytes are some writer's bytes or zeros, and what one process has just published
under a name of its own it finds whole. Prints a count of operations as JSON; exits with 1 and says what broke.
"""

import ctypes
import errno
import fcntl
import json
import mmap
import os
import random
import sys
import time

folder, seconds, seed = sys.argv[1], float(sys.argv[2]), int(sys.argv[3])
PROCESSES, NAMES, FOLDERS = 8, 12, 3
BLOCK = 4096
libc = ctypes.CDLL(None, use_errno=True)
EXPECTED = {
    errno.ENOENT, errno.EEXIST, errno.ENOTEMPTY, errno.EISDIR, errno.ENOTDIR, errno.EINVAL, errno.ENODATA, errno.ELOOP,
    errno.EPERM, errno.EBADF, errno.ENXIO, errno.EMLINK,
}


class Storm:
    def __init__(self, number):
        self.number = number
        self.chance = random.Random(seed * 100 + number)
        self.done = 0
        self.handles = []

    def name(self):
        below = f"d{self.chance.randrange(FOLDERS)}"
        return f"{folder}/{below}/n{self.chance.randrange(NAMES)}"

    def block(self):
        """Bytes that say who wrote them: a page of one value from 1 to PROCESSES."""
        return bytes([self.number + 1]) * BLOCK

    def check(self, data):
        for at in range(0, len(data), BLOCK):
            page = data[at : at + BLOCK]
            if any(value > PROCESSES for value in set(page)):
                raise AssertionError(f"bytes that nobody wrote: {sorted(set(page))}")

    def write(self):
        fd = os.open(self.name(), os.O_RDWR | os.O_CREAT, 0o644)
        os.pwrite(fd, self.block() * self.chance.randrange(1, 20), BLOCK * self.chance.randrange(40))
        self.keep(fd)

    def keep(self, fd):
        self.handles.append(fd)
        if len(self.handles) > 5:
            os.close(self.handles.pop(0))

    def read(self):
        fd = os.open(self.name(), os.O_RDONLY)
        self.check(os.pread(fd, 300_000, 0))
        self.keep(fd)

    def again(self):
        if self.handles:
            fd = self.chance.choice(self.handles)
            self.check(os.pread(fd, 100_000, BLOCK * self.chance.randrange(40)))
            os.pwrite(fd, self.block(), BLOCK * self.chance.randrange(60))

    def mapped(self):
        fd = os.open(self.name(), os.O_RDWR)
        self.keep(fd)
        # The lock keeps others from truncating under the mapping, which would be a SIGBUS.
        fcntl.flock(fd, fcntl.LOCK_SH)
        try:
            size = os.fstat(fd).st_size // BLOCK * BLOCK
            if size:
                with mmap.mmap(fd, size) as memory:
                    at = BLOCK * self.chance.randrange(size // BLOCK)
                    self.check(memory[at : at + BLOCK])
                    memory[at : at + BLOCK] = self.block()
        finally:
            fcntl.flock(fd, fcntl.LOCK_UN)

    def truncate(self):
        fd = os.open(self.name(), os.O_RDWR)
        self.keep(fd)
        fcntl.flock(fd, fcntl.LOCK_EX)
        try:
            os.ftruncate(fd, BLOCK * self.chance.randrange(60))
        finally:
            fcntl.flock(fd, fcntl.LOCK_UN)

    def punch(self):
        fd = os.open(self.name(), os.O_RDWR)
        self.keep(fd)
        at, length = BLOCK * self.chance.randrange(40), BLOCK * self.chance.randrange(1, 10)
        libc.fallocate(fd, 3, ctypes.c_int64(at), ctypes.c_int64(length))

    def copy(self):
        source, target = os.open(self.name(), os.O_RDONLY), os.open(self.name(), os.O_WRONLY | os.O_CREAT)
        try:
            os.copy_file_range(source, target, BLOCK * 30)
        finally:
            os.close(source)
            os.close(target)

    def rename(self):
        os.rename(self.name(), self.name())

    def exchange(self):
        libc.renameat2(-100, self.name().encode(), -100, self.name().encode(), self.chance.choice((1, 2)))

    def exchange_folders(self):
        one, two = self.chance.sample(range(FOLDERS), 2)
        libc.renameat2(-100, f"{folder}/d{one}".encode(), -100, f"{folder}/d{two}".encode(), 2)

    def link(self):
        os.link(self.name(), self.name())

    def unlink(self):
        os.unlink(self.name())

    def directory(self):
        name = self.name() + "-directory"
        if self.chance.random() < 0.5:
            os.mkdir(name)
        else:
            os.rmdir(name)

    def symlink(self):
        os.symlink("nowhere", self.name())

    def attribute(self):
        name = self.name()
        os.setxattr(name, f"user.{self.chance.randrange(4)}", bytes(self.chance.randrange(3000)))
        for attribute in os.listxattr(name):
            os.getxattr(name, attribute)
        os.chmod(name, self.chance.choice((0o600, 0o644, 0o755)))

    def listing(self):
        for entry in os.scandir(f"{folder}/d{self.chance.randrange(FOLDERS)}"):
            try:
                entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                pass

    def sync(self):
        if self.handles:
            os.fsync(self.chance.choice(self.handles))

    def publish(self):
        """A file of one's own is found whole at once, though others list and pack meanwhile."""
        own = f"{folder}/own-{self.number}"
        data = self.block() * self.chance.randrange(1, 80)
        with open(f"{own}.new", "wb") as stream:
            stream.write(data)
        os.rename(f"{own}.new", own)
        with open(own, "rb") as stream:
            if stream.read() != data:
                raise AssertionError(f"{own} differs from what was published")
        if os.stat(own).st_size != len(data):
            raise AssertionError(f"{own} has another size than was published")

    def run(self):
        actions = [
            self.write, self.write, self.read, self.read, self.again, self.again, self.mapped, self.truncate, self.punch,
            self.copy, self.rename, self.exchange, self.exchange_folders, self.link, self.unlink, self.unlink, self.directory,
            self.symlink, self.attribute, self.listing, self.sync, self.publish, self.publish,
        ]
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            action = self.chance.choice(actions)
            try:
                action()
            except OSError as problem:
                if problem.errno not in EXPECTED:
                    raise AssertionError(f"{action.__name__}: {problem}") from problem
            self.done += 1


for number in range(FOLDERS):
    os.makedirs(f"{folder}/d{number}")
reader, writer = os.pipe()
children = []
for number in range(PROCESSES):
    child = os.fork()
    if child == 0:
        storm = Storm(number)
        try:
            storm.run()
            os.write(writer, f"{storm.done}\n".encode())
            os._exit(0)
        except BaseException as problem:  # told by the parent
            os.write(writer, f"process {number} after {storm.done} operations: {problem}\n".encode())
            os._exit(1)
    children.append(child)
os.close(writer)
said = os.fdopen(reader).read().split("\n")[:-1]
failed = sum(os.waitpid(child, 0)[1] != 0 for child in children)
if failed:
    sys.exit("\n".join(line for line in said if not line.isdigit()) or f"{failed} processes were ended by a signal")
print(json.dumps({"operations": sum(int(line) for line in said)}))
