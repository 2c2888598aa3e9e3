"""One writer: does whatever programs do to files, checks what it did, and stops at the first answer that is not right.

Every operation here succeeds or fails in one way only, because nobody else touches the writer's files: an operation that
is carried out twice (or not at all) shows as EEXIST, ENOENT or ENODATA, or as bytes that differ.
"""

import ctypes
import errno
import fcntl
import mmap
import os
import pickle
import random
import time
import zlib

from kill_counters import CHECKS, OPERATIONS, PUBLISH_BEGUN, PUBLISHED, RETIRE_BEGUN, RETIRED, Watch
from kill_model import Delta, Model, Wrong, read_all

FILES_MOST = 24
FOLDERS_MOST = 6
HELD_MOST = 4
PUBLISHED_MOST = 8
PUBLIC = "public"
RENAME_NOREPLACE = 1
RENAME_EXCHANGE = 2
AT_FDCWD = -100
AT_SYMLINK_FOLLOW = 0x400
FALLOC_KEEP_SIZE = 1
FALLOC_PUNCH_HOLE = 2

libc = ctypes.CDLL(None, use_errno=True)


def renameat2(source, target, flags):
    if libc.renameat2(AT_FDCWD, source.encode(), AT_FDCWD, target.encode(), flags) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), source)


def fallocate(descriptor, mode, offset, length):
    if libc.fallocate(descriptor, mode, ctypes.c_long(offset), ctypes.c_long(length)) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), "fallocate")


def link_descriptor(descriptor, path):
    """os.link(2) does not follow /proc's links, whatever it is told."""
    source = f"/proc/self/fd/{descriptor}".encode()
    if libc.linkat(AT_FDCWD, source, AT_FDCWD, path.encode(), AT_SYMLINK_FOLLOW) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), path)


def flush_folder(path):
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class Held:
    """A file that stays open over many operations, perhaps mapped, perhaps without a name by now."""

    def __init__(self, descriptor, number, mapping=None):
        self.descriptor = descriptor
        self.number = number
        self.mapping = mapping


class Writer:
    def __init__(self, index, options, board):
        self.index = index
        self.board = board
        self.ends = options["ends"]
        self.above = options["packBelow"]
        self.pause = options["pauseMs"] / 1000
        self.state = os.path.join(options["state"], f"writer{index}")
        self.chance = random.Random(options["seed"] * 1000 + index)
        self.watch = Watch()
        self.held = []
        self.doing = "start"
        self.done = {}
        self.model = Model(f"w{index}")
        self.serial = 0
        # Published files by number, in order; the readers follow the counters on the board.
        self.public = {}
        self.published = 0
        self.changing_public = None
        if os.path.exists(self.state):
            with open(self.state, "rb") as saved:
                self.model, self.serial, self.public, self.published, self.changing_public = pickle.load(saved)

    # ---- Running ----

    def run(self):
        if not os.path.exists(self.state):
            self.call(os.mkdir, self.model.folder)
        actions = self.actions()
        while not self.board.stopped:
            action = self.chance.choice(actions)
            self.doing = action.__name__
            if action() is not False:
                self.done[action.__name__] = self.done.get(action.__name__, 0) + 1
            if self.chance.randrange(3) == 0:
                self.check_one()
            self.model.forget_unnamed({held.number for held in self.held})
            time.sleep(self.chance.random() * 2 * self.pause)
        self.finish()

    def show_public(self):
        """Before any reader looks at the counters."""
        first = min(self.public, default=self.published)
        for field in (PUBLISHED, PUBLISH_BEGUN):
            self.board.set(self.index, field, self.published)
        for field in (RETIRED, RETIRE_BEGUN):
            self.board.set(self.index, field, first)

    def actions(self):
        common = [self.make, self.make, self.make, self.write_at, self.append, self.replace, self.move, self.publish]
        rare = [self.cut, self.over, self.remove, self.remove, self.link, self.symlink, self.set_attribute]
        rare += [self.drop_attribute, self.make_folder, self.remove_folder, self.move_folder, self.change_mode]
        rare += [self.set_times, self.hold, self.use_held, self.use_held, self.let_go, self.map_and_sync, self.exchange]
        rare += [self.unnamed, self.punch, self.copy_range, self.retire, self.keep_mapped, self.flush_names]
        return common + rare

    def finish(self):
        self.doing = "the end"
        while self.held:
            self.let_go()
        self.model.check_all()
        self.check_public()
        self.board.add(self.index, CHECKS, self.model.checked)
        self.model.checked = 0

    def save(self):
        with open(self.state, "wb") as saved:
            state = (self.model, self.serial, self.public, self.published, self.changing_public)
            pickle.dump(state, saved)

    def check_public(self):
        """All that is published is there with its bytes; what was being changed at the end is either way."""
        mine = {int(name.split("-")[1]): name for name in os.listdir(PUBLIC) if name.startswith(f"{self.index}-")}
        changing = {self.changing_public} - {None}
        if set(mine) - changing != set(self.public) - changing:
            raise Wrong(f"public files {sorted(mine)}, expected {sorted(self.public)} but for {changing}")
        for name in mine.values():
            check_published(f"{PUBLIC}/{name}")
        self.model.checked += len(mine) + 1
        self.public = {number: f"{PUBLIC}/{name}" for number, name in sorted(mine.items())}
        self.published = max([self.published, *(number + 1 for number in mine)])
        self.changing_public = None

    def check_one(self):
        doing, self.doing = self.doing, f"check after {self.doing}"
        model = self.model
        if self.held and self.chance.randrange(3) == 0:
            self.check_held(self.chance.choice(self.held))
        elif self.chance.randrange(3) == 0:
            self.watch.call(model.check_folder, self.chance.choice(sorted(model.folders)))
        elif model.symlinks and self.chance.randrange(6) == 0:
            self.watch.call(model.check_symlink, self.chance.choice(sorted(model.symlinks)))
        elif model.names:
            path = self.chance.choice(sorted(model.names))
            self.watch.call(model.check_file, path)
            self.note_times(path)
        self.board.add(self.index, CHECKS, model.checked)
        model.checked = 0
        self.doing = doing

    def note_times(self, path):
        """From here on the inode's number and time of last change may not move by themselves."""
        number = self.model.names[path]
        found = os.stat(path)
        self.model.files[number].ino = found.st_ino
        # Stores through a mapping move the time whenever the kernel finds out.
        if not any(held.number == number and held.mapping is not None for held in self.held):
            self.model.files[number].mtime = found.st_mtime_ns

    def call(self, function, *args, **options):
        result = self.watch.call(function, *args, **options)
        self.board.add(self.index, OPERATIONS)
        return result

    def change(self, delta, function, *args, **options):
        """Carries out a change: pending until the call has returned, promised from there."""
        self.model.pending = delta
        result = self.call(function, *args, **options)
        self.model.pending = None
        self.model.apply(delta)
        return result

    # ---- Choosing ----

    def some_name(self):
        return self.chance.choice(sorted(self.model.names)) if self.model.names else None

    def free_name(self, suffix=""):
        self.serial += 1
        return f"{self.chance.choice(sorted(self.model.folders))}/f{self.serial}{suffix}"

    def some_bytes(self):
        size = self.chance.choice([0, 10, 700, 5_000, 30_000, 30_000, 90_000, 90_000, self.above + 50_000])
        return bytearray(self.chance.randbytes(size))

    def is_mapped(self, number):
        return any(held.number == number and held.mapping is not None for held in self.held)

    # ---- Files ----

    def make(self, path=None, data=None):
        """A new file, written in pieces, flushed in one of the ways programs know or not at all."""
        if path is None and len(self.model.names) >= FILES_MOST:
            return self.remove()
        path = path or self.free_name()
        data = self.some_bytes() if data is None else data
        file = self.model.new_file()
        how = self.chance.choice(["none", "none", "none", "fsync", "fdatasync", "O_SYNC", "O_DSYNC"])
        flags = {"O_SYNC": os.O_SYNC, "O_DSYNC": os.O_DSYNC}.get(how, 0)
        access = self.chance.choice([os.O_WRONLY, os.O_RDWR])
        delta = Delta(names={path: file.number})
        descriptor = self.change(delta, os.open, path, os.O_CREAT | os.O_EXCL | access | flags, 0o644)
        try:
            self.write_pieces(descriptor, file.number, data, self.chance.choice([4_096, 65_536, 1_048_576]))
            if how in ("fsync", "fdatasync"):
                self.call(getattr(os, how), descriptor)
            if how == "fsync" and self.chance.randrange(3) == 0:
                # Another write after the flush, and perhaps another flush.
                self.write_piece(descriptor, file.number, len(data) // 2, self.chance.randbytes(100))
                if self.chance.randrange(2):
                    self.call(os.fsync, descriptor)
        finally:
            os.close(descriptor)
        return path

    def write_pieces(self, descriptor, number, data, piece):
        for at in range(0, len(data), piece):
            self.write_piece(descriptor, number, at, data[at:at + piece])

    def write_piece(self, descriptor, number, at, piece, write=None):
        after = bytearray(self.model.files[number].data)
        if len(after) < at:
            after.extend(bytes(at - len(after)))
        after[at:at + len(piece)] = piece
        delta = Delta(data={number: after})
        self.model.pending = delta
        written = self.call(write or os.pwrite, descriptor, bytes(piece), at)
        if written != len(piece):
            # The kernel sends a write in several requests; when the filesystem ends in between some were answered.
            if self.ends:
                raise OSError(errno.EIO, f"{written} of {len(piece)} bytes written")
            raise Wrong(f"{written} bytes written, expected {len(piece)}")
        self.model.pending = None
        self.model.apply(delta)

    def opened(self, flags, work):
        path = self.some_name()
        if path is None:
            return False
        descriptor = self.call(os.open, path, flags)
        try:
            return work(descriptor, self.model.names[path])
        finally:
            os.close(descriptor)

    def write_at(self):
        def work(descriptor, number):
            at = self.chance.randrange(len(self.model.files[number].data) + 1)
            self.write_piece(descriptor, number, at, self.chance.randbytes(self.chance.randrange(1, 20_000)))
            if self.chance.randrange(3) == 0:
                self.call(os.fsync, descriptor)

        return self.opened(self.chance.choice([os.O_RDWR, os.O_WRONLY]), work)

    def append(self):
        def work(descriptor, number):
            end = len(self.model.files[number].data)
            if end > 2 * self.above:
                return
            piece = self.chance.randbytes(self.chance.randrange(1, 40_000))
            self.write_piece(descriptor, number, end, piece, lambda d, data, _at: os.write(d, data))

        return self.opened(os.O_WRONLY | os.O_APPEND, work)

    def over(self):
        """O_TRUNC: cut by the open itself, then written anew."""
        path = self.some_name()
        if path is None:
            return False
        number = self.model.names[path]
        delta = Delta(data={number: bytearray()})
        descriptor = self.change(delta, os.open, path, os.O_WRONLY | os.O_TRUNC)
        try:
            self.write_pieces(descriptor, number, self.some_bytes(), 65_536)
        finally:
            os.close(descriptor)

    def cut(self):
        path = self.some_name()
        if path is None:
            return False
        number = self.model.names[path]
        if self.is_mapped(number):
            return False
        before = self.model.files[number].data
        size = self.chance.randrange(len(before) + 5_000)
        after = before[:size] + bytes(max(0, size - len(before)))
        self.change(Delta(data={number: after}), os.truncate, path, size)

    def punch(self):
        def work(descriptor, number):
            before = self.model.files[number].data
            if len(before) < 2:
                return
            at = self.chance.randrange(len(before) - 1)
            length = self.chance.randrange(1, len(before) - at)
            after = before[:at] + bytes(length) + before[at + length:]
            delta = Delta(data={number: after})
            self.change(delta, fallocate, descriptor, FALLOC_PUNCH_HOLE | FALLOC_KEEP_SIZE, at, length)

        return self.opened(os.O_RDWR, work)

    def copy_range(self):
        source = self.some_name()
        if source is None or len(self.model.names) >= FILES_MOST:
            return False
        data = bytearray(self.model.files[self.model.names[source]].data)
        target = self.make(data=bytearray())
        if target is None or source not in self.model.names:
            return False
        number = self.model.names[target]
        behind = bytes(self.model.files[number].data)
        reading = self.call(os.open, source, os.O_RDONLY)
        writing = self.call(os.open, target, os.O_WRONLY)
        at = 0
        try:
            while at < len(data):
                self.model.pending = Delta(data={number: data + behind[len(data):]})
                copied = self.call(os.copy_file_range, reading, writing, len(data) - at, at, at)
                self.model.pending = None
                if copied == 0:
                    raise Wrong(f"{source}: copy ends at {at} of {len(data)} bytes")
                at += copied
                self.model.apply(Delta(data={number: data[:at] + behind[at:]}))
        finally:
            os.close(reading)
            os.close(writing)

    def unnamed(self):
        """O_TMPFILE, then a name for it."""
        if len(self.model.names) >= FILES_MOST:
            return False
        file = self.model.new_file()
        descriptor = self.call(os.open, self.model.folder, os.O_TMPFILE | os.O_RDWR, 0o644)
        try:
            self.write_pieces(descriptor, file.number, self.some_bytes(), 65_536)
            if self.chance.randrange(4) == 0:
                return
            path = self.free_name("-tmp")
            self.change(Delta(names={path: file.number}), link_descriptor, descriptor, path)
        finally:
            os.close(descriptor)

    # ---- Names ----

    def replace(self):
        """As careful programs replace a file: a new one beside it, renamed over it."""
        target = self.some_name()
        if target is None:
            return False
        fresh = self.make(self.free_name("-new"))
        number = self.model.names[fresh]
        self.change(Delta(names={fresh: None, target: number}), os.rename, fresh, target)
        if self.chance.randrange(3) == 0:
            self.call(flush_folder, os.path.dirname(target))

    def move(self):
        source = self.some_name()
        if source is None:
            return False
        target = self.free_name("-moved")
        delta = Delta(names={source: None, target: self.model.names[source]})
        if self.chance.randrange(2):
            self.change(delta, os.rename, source, target)
        else:
            self.change(delta, renameat2, source, target, RENAME_NOREPLACE)

    def exchange(self):
        one, other = self.some_name(), self.some_name()
        numbers = self.model.names
        if one is None or numbers[one] == numbers[other]:
            return False
        self.change(Delta(names={one: numbers[other], other: numbers[one]}), renameat2, one, other, RENAME_EXCHANGE)

    def remove(self):
        path = self.some_name()
        if path is None:
            return False
        self.change(Delta(names={path: None}), os.unlink, path)

    def link(self):
        source = self.some_name()
        if source is None or len(self.model.names) >= FILES_MOST:
            return False
        path = self.free_name("-link")
        self.change(Delta(names={path: self.model.names[source]}), os.link, source, path)

    def symlink(self):
        if len(self.model.symlinks) >= 5:
            path = self.chance.choice(sorted(self.model.symlinks))
            self.change(Delta(symlinks={path: None}), os.unlink, path)
            return
        path = self.free_name("-symlink")
        target = f"nowhere/{self.serial}"
        self.change(Delta(symlinks={path: target}), os.symlink, target, path)

    def make_folder(self):
        if len(self.model.folders) >= FOLDERS_MOST:
            return False
        path = self.free_name("-folder")
        self.change(Delta(folders={path: True}), os.mkdir, path)

    def remove_folder(self):
        empty = [path for path in self.model.folders if path != self.model.folder and not self.model.children_of(path)]
        if not empty:
            return False
        path = self.chance.choice(sorted(empty))
        self.change(Delta(folders={path: False}), os.rmdir, path)

    def move_folder(self):
        """A whole folder with what is in it."""
        model = self.model
        leaves = [p for p in model.folders if p != model.folder and not any(q.startswith(p + "/") for q in model.folders)]
        if not leaves:
            return False
        source = self.chance.choice(sorted(leaves))
        self.serial += 1
        target = f"{model.folder}/moved{self.serial}-folder"
        delta = Delta(folders={source: False, target: True})
        for names, changed in ((model.names, delta.names), (model.symlinks, delta.symlinks)):
            for path, what in names.items():
                if path.startswith(source + "/"):
                    changed[path] = None
                    changed[target + path[len(source):]] = what
        self.change(delta, os.rename, source, target)

    def flush_names(self):
        self.call(flush_folder, self.chance.choice(sorted(self.model.folders)))

    # ---- Attributes ----

    def set_attribute(self):
        path = self.some_name()
        if path is None:
            return False
        number = self.model.names[path]
        before = self.model.files[number].xattrs
        name = f"user.a{self.chance.randrange(4)}"
        value = self.chance.randbytes(self.chance.randrange(1, 200))
        flag = os.XATTR_REPLACE if name in before else os.XATTR_CREATE
        self.change(Delta(xattrs={number: {**before, name: value}}), os.setxattr, path, name, value, flag)

    def drop_attribute(self):
        model = self.model
        having = [path for path in sorted(model.names) if model.files[model.names[path]].xattrs]
        if not having:
            return False
        path = self.chance.choice(having)
        number = model.names[path]
        before = model.files[number].xattrs
        name = self.chance.choice(sorted(before))
        after = {other: value for other, value in before.items() if other != name}
        self.change(Delta(xattrs={number: after}), os.removexattr, path, name)

    def change_mode(self):
        path = self.some_name()
        if path is None:
            return False
        mode = self.chance.choice([0o600, 0o640, 0o644, 0o755])
        self.change(Delta(modes={self.model.names[path]: mode}), os.chmod, path, mode)

    def set_times(self):
        path = self.some_name()
        if path is None:
            return False
        file = self.model.files[self.model.names[path]]
        file.mtime = None
        when = self.chance.randrange(10**9, 17 * 10**8) * 10**9 + self.chance.randrange(10**9)
        self.call(os.utime, path, ns=(when, when))
        if not self.is_mapped(file.number):
            file.mtime = when

    # ---- Files that stay open, mapped ones ----

    def hold(self):
        path = self.some_name()
        if path is None or len(self.held) >= HELD_MOST:
            return False
        descriptor = self.call(os.open, path, self.chance.choice([os.O_RDWR, os.O_RDONLY]))
        self.held.append(Held(descriptor, self.model.names[path]))

    def use_held(self):
        """Writes through a descriptor that was opened long ago; of a file that may have no name by now."""
        if not self.held:
            return False
        held = self.chance.choice(self.held)
        self.doing = f"use_held of {self.model.names_of(held.number) or 'a removed file'}"
        data = self.model.files[held.number].data
        if held.mapping is not None and len(data) >= len(held.mapping):
            self.store(held)
        elif os.get_blocking(held.descriptor) and self.is_writable(held):
            at = self.chance.randrange(len(data) + 1)
            self.write_piece(held.descriptor, held.number, at, self.chance.randbytes(self.chance.randrange(1, 9_000)))
        self.check_held(held)

    def is_writable(self, held):
        return fcntl.fcntl(held.descriptor, fcntl.F_GETFL) & os.O_ACCMODE != os.O_RDONLY

    def store(self, held):
        data = bytearray(self.model.files[held.number].data)
        at = self.chance.randrange(len(held.mapping))
        piece = self.chance.randbytes(self.chance.randrange(1, min(9_000, len(held.mapping) - at + 1) + 1))
        piece = piece[: len(held.mapping) - at]
        data[at:at + len(piece)] = piece

        def carry_out():
            held.mapping[at:at + len(piece)] = piece
            if self.chance.randrange(2):
                held.mapping.flush()

        self.change(Delta(data={held.number: data}), carry_out)

    def check_held(self, held):
        found = self.watch.call(read_all, held.descriptor)
        self.model.check_bytes(f"held file {held.number}", held.number, found)
        self.model.checked += 1

    def let_go(self):
        if not self.held:
            return False
        held = self.held.pop(self.chance.randrange(len(self.held)))
        if held.mapping is not None:
            self.call(held.mapping.close)
        self.call(os.close, held.descriptor)

    def keep_mapped(self):
        """A mapping that lives over kills. Where the filesystem ends with them a store into it would be a SIGBUS."""
        if self.ends or len(self.held) >= HELD_MOST:
            return False
        path = self.some_name()
        number = self.model.names.get(path)
        if number is None or len(self.model.files[number].data) == 0 or self.is_mapped(number):
            return False
        descriptor = self.call(os.open, path, os.O_RDWR)
        mapping = self.call(mmap.mmap, descriptor, len(self.model.files[number].data))
        self.model.files[number].mtime = None
        self.held.append(Held(descriptor, number, mapping))

    def map_and_sync(self):
        """In a process of its own, which may be ended by a SIGBUS when the filesystem ends."""
        path = self.some_name()
        number = self.model.names.get(path)
        if number is None or len(self.model.files[number].data) == 0:
            return False
        after = bytearray(self.model.files[number].data)
        at = self.chance.randrange(len(after))
        piece = self.chance.randbytes(min(9_000, len(after) - at))
        after[at:at + len(piece)] = piece
        self.change(Delta(data={number: after}), self.in_child, lambda: store_in(path, at, piece))

    def in_child(self, work):
        pid = os.fork()
        if pid == 0:
            code = errno.EIO
            try:
                work()
                code = 0
            except OSError as error:
                code = error.errno
            finally:
                os._exit(code)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if code != 0:
            raise OSError(errno.EIO if code < 0 else code, f"a mapping: ended with {code}")

    # ---- Files for the readers: their names tell their bytes ----

    def publish(self):
        if len(self.public) >= PUBLISHED_MOST:
            return self.retire()
        data = self.some_bytes()
        fresh = self.make(self.free_name("-publish"), data)
        number = self.model.names[fresh]
        data = self.model.files[number].data
        count = self.published
        path = f"{PUBLIC}/{self.index}-{count}-{zlib.crc32(data):08x}-{len(data)}"
        self.changing_public = count
        self.board.set(self.index, PUBLISH_BEGUN, count + 1)
        self.change(Delta(names={fresh: None}), os.rename, fresh, path)
        self.public[count] = path
        self.published = count + 1
        self.changing_public = None
        self.board.set(self.index, PUBLISHED, count + 1)

    def retire(self):
        if not self.public:
            return False
        count = min(self.public)
        self.changing_public = count
        self.board.set(self.index, RETIRE_BEGUN, count + 1)
        self.call(os.unlink, self.public[count])
        del self.public[count]
        self.changing_public = None
        self.board.set(self.index, RETIRED, count + 1)


def check_published(path):
    with open(path, "rb", buffering=0) as opened:
        check_named_bytes(path, read_all(opened.fileno()))


def check_named_bytes(path, found):
    """The name ends in the CRC32 and the length of the bytes."""
    _, _, checksum, length = os.path.basename(path).split("-")
    if len(found) != int(length) or zlib.crc32(found) != int(checksum, 16):
        raise Wrong(f"{path}: {len(found)} bytes with CRC {zlib.crc32(found):08x}, expected what its name says")


def store_in(path, at, piece):
    descriptor = os.open(path, os.O_RDWR)
    with mmap.mmap(descriptor, 0) as mapping:
        mapping[at:at + len(piece)] = piece
        mapping.flush()
    os.close(descriptor)
