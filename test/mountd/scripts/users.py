"""Users of a mount that check everything they get: users.py SECONDS USERS, in the mount point.

Each makes, writes, reads, lists, renames, links and removes files in a folder of its own, keeps one file open and grows
it, and calls fsync often, so that at any instant somebody waits in a request. Prints what went wrong, a line each, and
last the calls made and the longest of them in milliseconds.
"""
import hashlib
import multiprocessing
import os
import random
import sys
import time
import traceback

SIZES = (10, 4_000, 100_000, 300_000)


class User:
    def __init__(self, number, seconds):
        self.random = random.Random(number)
        self.home = f'user{number}'
        self.end = time.monotonic() + seconds
        self.calls = 0
        self.longest = 0.0
        self.digests = {}
        self.names = 0

    def call(self, function, *arguments):
        begin = time.monotonic()
        try:
            return function(*arguments)
        finally:
            self.calls += 1
            self.longest = max(self.longest, time.monotonic() - begin)

    def new_name(self):
        self.names += 1
        return f'{self.home}/{self.names}'

    def write(self):
        data, name = self.random.randbytes(self.random.choice(SIZES)), self.new_name()
        fd = self.call(os.open, name, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
        for at in range(0, len(data), 65_536):
            piece = data[at:at + 65_536]
            assert self.call(os.write, fd, piece) == len(piece), 'a short write'
        if self.random.random() < 0.5:
            self.call(os.fsync, fd)
        self.call(os.close, fd)
        self.digests[name] = hashlib.md5(data).digest()

    def read(self):
        name = self.any()
        fd = self.call(os.open, name, os.O_RDONLY)
        found = hashlib.md5()
        while piece := self.call(os.read, fd, 131_072):
            found.update(piece)
        self.call(os.close, fd)
        assert found.digest() == self.digests[name], f'other bytes in {name}'

    def remove(self):
        name = self.any()
        self.call(os.unlink, name)
        del self.digests[name]
        assert not os.path.exists(name), f'{name} is still there'

    def rename(self):
        old, new = self.any(), self.new_name()
        self.call(os.rename, old, new)
        self.digests[new] = self.digests.pop(old)

    def link(self):
        old, new = self.any(), self.new_name()
        self.call(os.link, old, new)
        self.digests[new] = self.digests[old]

    def folders(self):
        name = self.new_name()
        self.call(os.mkdir, name)
        self.call(os.symlink, 'target', f'{name}/link')
        assert self.call(os.readlink, f'{name}/link') == 'target', 'another target'
        self.call(os.unlink, f'{name}/link')
        self.call(os.rmdir, name)

    def list(self):
        found = {f'{self.home}/{name}' for name in self.call(os.listdir, self.home)} - {f'{self.home}/held'}
        assert found == set(self.digests), f'other names: {found ^ set(self.digests)}'

    def grow(self):
        data = self.random.randbytes(5_000)
        assert self.call(os.pwrite, self.held, data, self.size) == len(data), 'a short write'
        self.size += len(data)
        assert self.call(os.pread, self.held, len(data), self.size - len(data)) == data, 'other bytes in the open file'
        assert self.call(os.fstat, self.held).st_size == self.size, 'another size of the open file'

    def any(self):
        return self.random.choice(list(self.digests))

    def run(self):
        self.call(os.mkdir, self.home)
        self.held, self.size = self.call(os.open, f'{self.home}/held', os.O_RDWR | os.O_CREAT), 0
        self.write()
        deeds = [self.write] * 5 + [self.read] * 5 + [self.remove, self.rename, self.link, self.folders, self.list, self.grow]
        while time.monotonic() < self.end:
            (self.random.choice(deeds) if self.digests else self.write)()
        self.list()
        for _ in range(min(50, len(self.digests))):
            self.read()
        self.call(os.close, self.held)


def run(number, seconds, results):
    user, flaw = User(number, seconds), None
    try:
        user.run()
    except BaseException as error:
        place = [frame.name for frame in traceback.extract_tb(error.__traceback__)][-2:]
        flaw = f'user {number}, {" in ".join(reversed(place))}, after {user.calls} calls: {error!r}'
    results.put((user.calls, user.longest, flaw))


def main():
    seconds, count = float(sys.argv[1]), int(sys.argv[2])
    results = multiprocessing.Queue()
    users = [multiprocessing.Process(target=run, args=(n, seconds, results)) for n in range(count)]
    for user in users:
        user.start()
    outcomes = [results.get() for _ in users]
    for user in users:
        user.join()
    for _, _, flaw in outcomes:
        if flaw is not None:
            print(flaw)
    print(sum(calls for calls, _, _ in outcomes), round(1000 * max(longest for _, longest, _ in outcomes)))


if __name__ == '__main__':
    main()
