"""One reader of what the writers publish: lists, reads whole, in parts or mapped, keeps files open while they go."""

import ctypes
import mmap
import os
import random
import time

from kill_counters import CHECKS, OPERATIONS, PUBLISH_BEGUN, PUBLISHED, RETIRE_BEGUN, RETIRED, Watch
from kill_model import Wrong, read_all
from kill_writer import PUBLIC, check_named_bytes, libc

KEPT_MOST = 6
SYS_GETDENTS64 = 217


class Reader:
    def __init__(self, index, options, board):
        self.index = index
        self.board = board
        self.ends = options["ends"]
        self.writers = options["writers"]
        self.pause = options["pauseMs"] / 1000
        self.chance = random.Random(options["seed"] * 1000 + index)
        self.watch = Watch()
        self.kept = []
        self.doing = "start"
        self.done = {}

    def run(self):
        actions = [self.list, self.read, self.read, self.read, self.keep, self.read_kept, self.read_kept, self.let_go]
        while not self.board.stopped:
            action = self.chance.choice(actions)
            self.doing = action.__name__
            action()
            self.done[self.doing] = self.done.get(self.doing, 0) + 1
            self.board.add(self.index, OPERATIONS)
            time.sleep(self.chance.random() * 2 * self.pause)
        while self.kept:
            self.let_go()

    def save(self):
        pass

    def list(self):
        """A listing has every file that was published before it began and not retired before it ended, none twice."""
        writers = range(self.writers)
        published = [self.board.get(w, PUBLISHED) for w in writers]
        retired = [self.board.get(w, RETIRED) for w in writers]
        names = self.watch.call(os.listdir, PUBLIC)
        begun = [self.board.get(w, PUBLISH_BEGUN) for w in writers]
        retiring = [self.board.get(w, RETIRE_BEGUN) for w in writers]
        if len(set(names)) != len(names):
            raise Wrong(f"a listing of {len(names)} names has {len(names) - len(set(names))} twice")
        found = [set() for _ in writers]
        for name in names:
            writer, number = name.split("-")[:2]
            found[int(writer)].add(int(number))
        for w in writers:
            missing = set(range(retiring[w], published[w])) - found[w]
            extra = {n for n in found[w] if n < retired[w] or n >= begun[w]}
            if missing or extra:
                what = f"missing {sorted(missing)}, too many {sorted(extra)}, of {len(names)} names in all"
                raise Wrong(f"listing of writer {w}'s files: {what}; {listed_again()}")
        self.board.add(self.index, CHECKS)
        return names

    def some_path(self):
        names = self.list()
        return f"{PUBLIC}/{self.chance.choice(sorted(names))}" if names else None

    def opened(self):
        path = self.some_path()
        if path is None:
            return None
        try:
            return path, self.watch.call(os.open, path, os.O_RDONLY)
        except FileNotFoundError:
            # Retired in between, or lost: the next listing tells.
            writer, number = (int(part) for part in os.path.basename(path).split("-")[:2])
            if self.board.get(writer, RETIRE_BEGUN) <= number:
                raise Wrong(f"{path}: not found, and nobody removed it") from None
            return None

    def check(self, path, descriptor):
        size = int(path.rsplit("-", 1)[1])
        if os.fstat(descriptor).st_size != size:
            raise Wrong(f"{path}: size {os.fstat(descriptor).st_size}, expected {size}")
        how = self.chance.randrange(3)
        if how == 0 or size == 0 or self.ends:
            found = self.watch.call(read_all, descriptor)
        elif how == 1:
            found = self.watch.call(read_in_parts, descriptor, size, self.chance)
        else:
            with mmap.mmap(descriptor, size, prot=mmap.PROT_READ) as mapping:
                found = self.watch.call(mapping.read)
        check_named_bytes(path, found)
        self.board.add(self.index, CHECKS)

    def read(self):
        opened = self.opened()
        if opened is None:
            return
        try:
            self.check(*opened)
        finally:
            os.close(opened[1])

    def keep(self):
        opened = self.opened() if len(self.kept) < KEPT_MOST else None
        if opened is not None:
            self.kept.append(opened)

    def read_kept(self):
        """Opened long ago, perhaps by another daemon; perhaps it has no name by now."""
        if self.kept:
            self.check(*self.chance.choice(self.kept))

    def let_go(self):
        if self.kept:
            os.close(self.kept.pop(0)[1])


def listed_again():
    """What the kernel says of the same folder now, call by call: of a listing that was wrong nothing else is left."""
    calls = []
    try:
        descriptor = os.open(PUBLIC, os.O_RDONLY | os.O_DIRECTORY)
        buffer = ctypes.create_string_buffer(32_768)
        while not calls or calls[-1] > 0:
            count = libc.syscall(SYS_GETDENTS64, descriptor, buffer, len(buffer))
            calls.append(count if count >= 0 else -ctypes.get_errno())
    except OSError as error:
        calls.append(f"open: {error.errno}")
    return f"listed again at {time.monotonic_ns()}, getdents64 gave {calls}"


def read_in_parts(descriptor, size, chance):
    parts = {}
    step = max(1, size // 7)
    starts = list(range(0, size, step))
    chance.shuffle(starts)
    for start in starts:
        parts[start] = os.pread(descriptor, step, start)
    return b"".join(parts[start] for start in sorted(parts))
