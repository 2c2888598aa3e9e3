"""What one writer was promised: names, bytes, attributes of everything below its folder, and how to check it.

Every change is a Delta: what it makes of the model. Until the call has returned the delta is pending, and after the
filesystem was taken away (`--ends`) either state of it is right: names all before or all after, bytes a mixture.
"""

import os
import stat
import zlib


class Wrong(Exception):
    """The filesystem does not hold what it acknowledged."""


class File:
    def __init__(self, number):
        self.number = number
        self.data = bytearray()
        self.xattrs = {}
        self.mode = 0o644
        # Set once a stat after the last change has shown them; they may not change by themselves.
        self.mtime = None
        self.ino = None


class Delta:
    def __init__(self, names=None, data=None, xattrs=None, modes=None, folders=None, symlinks=None):
        self.names = names or {}
        self.data = data or {}
        self.xattrs = xattrs or {}
        self.modes = modes or {}
        self.folders = folders or {}
        self.symlinks = symlinks or {}


class Model:
    """Paths are relative to the mount point; `folder` is the writer's own."""

    def __init__(self, folder):
        self.folder = folder
        self.folders = {folder}
        self.names = {}
        self.symlinks = {}
        self.files = {}
        self.pending = None
        self.next = 0
        self.checked = 0

    def new_file(self):
        self.next += 1
        self.files[self.next] = File(self.next)
        return self.files[self.next]

    def apply(self, delta):
        for path, number in delta.names.items():
            if number is None:
                self.names.pop(path, None)
            else:
                self.names[path] = number
        for number, data in delta.data.items():
            self.files[number].data = data
            self.files[number].mtime = None
        for number, xattrs in delta.xattrs.items():
            self.files[number].xattrs = xattrs
        for number, mode in delta.modes.items():
            self.files[number].mode = mode
        for path, is_there in delta.folders.items():
            (self.folders.add if is_there else self.folders.discard)(path)
        for path, target in delta.symlinks.items():
            if target is None:
                self.symlinks.pop(path, None)
            else:
                self.symlinks[path] = target

    def forget_unnamed(self, held):
        named = set(self.names.values()) | held
        for number in [n for n in self.files if n not in named]:
            del self.files[number]

    def names_of(self, number):
        return [path for path, n in self.names.items() if n == number]

    # ---- Checks: each raises Wrong ----

    def check_all(self):
        if self.pending is not None:
            self.settle_pending()
        for folder in sorted(self.folders):
            self.check_folder(folder)
        for path in sorted(self.names):
            self.check_file(path)
        for path in self.symlinks:
            self.check_symlink(path)

    def children_of(self, folder):
        entries = list(self.names) + list(self.symlinks) + list(self.folders)
        return {os.path.basename(path) for path in entries if os.path.dirname(path) == folder}

    def check_folder(self, folder):
        found = set(os.listdir(folder))
        expected = self.children_of(folder)
        if found != expected:
            raise Wrong(f"{folder}: too many {sorted(found - expected)[:5]}, missing {sorted(expected - found)[:5]}")
        self.checked += 1

    def check_symlink(self, path):
        if os.readlink(path) != self.symlinks[path]:
            raise Wrong(f"{path}: link to {os.readlink(path)}, expected {self.symlinks[path]}")
        self.checked += 1

    def check_file(self, path):
        number = self.names[path]
        with open(path, "rb", buffering=0) as opened:
            self.check_bytes(path, number, read_all(opened.fileno()))
            self.check_stat(path, number, os.fstat(opened.fileno()))
        self.check_xattrs(path, number)
        self.checked += 3

    def check_bytes(self, path, number, found):
        expected = self.files[number].data
        if found == expected:
            return
        least = min(len(found), len(expected))
        at = next((i for i in range(least) if found[i] != expected[i]), least)
        raise Wrong(f"{path}: {len(found)} bytes, CRC {zlib.crc32(found):08x}, differ from byte {at}; "
                    f"expected {len(expected)} bytes, CRC {zlib.crc32(expected):08x}; "
                    f"found there {found[at:at + 8].hex()}, expected {expected[at:at + 8].hex()}")

    def check_stat(self, path, number, found):
        file = self.files[number]
        links = len(self.names_of(number))
        if found.st_size != len(file.data):
            raise Wrong(f"{path}: size {found.st_size}, expected {len(file.data)}")
        if found.st_nlink != links:
            raise Wrong(f"{path}: {found.st_nlink} links, expected {links}")
        if stat.S_IMODE(found.st_mode) != file.mode:
            raise Wrong(f"{path}: mode {found.st_mode:o}, expected {file.mode:o}")
        if file.ino is not None and found.st_ino != file.ino:
            raise Wrong(f"{path}: inode {found.st_ino}, expected {file.ino}")
        if file.mtime is not None and found.st_mtime_ns != file.mtime:
            raise Wrong(f"{path}: mtime {found.st_mtime_ns}, expected {file.mtime}")

    def check_xattrs(self, path, number):
        found = {name: os.getxattr(path, name) for name in os.listxattr(path) if name.startswith("user.")}
        if found != self.files[number].xattrs:
            raise Wrong(f"{path}: attributes {sorted(found)}, expected {sorted(self.files[number].xattrs)}")

    # ---- What was under way when the filesystem ended ----

    def settle_pending(self):
        """Finds out which state of the pending change is there, checks that it is one of the two, and takes it."""
        delta = self.pending
        self.pending = None
        names = self.observed(delta)
        paths = list(delta.names) + list(delta.folders) + list(delta.symlinks)
        before = tuple(self.has(path) for path in paths)
        after = tuple(self.will_have(delta, path) for path in paths)
        if names not in (before, after):
            raise Wrong(f"half a change: {dict(zip(paths, names))}, expected {before} or {after}")
        # The names alone do not tell a replace by another file from none: its bytes do.
        is_after = names == after and (before != after or self.looks_replaced(delta))
        if is_after:
            self.apply(Delta(names=delta.names, folders=delta.folders, symlinks=delta.symlinks))
        for number, data in delta.data.items():
            self.settle_bytes(number, data)
        for number, mode in delta.modes.items():
            for path in self.names_of(number)[:1]:
                found = stat.S_IMODE(os.stat(path).st_mode)
                if found not in (mode, self.files[number].mode):
                    raise Wrong(f"{path}: mode {found:o}, expected {mode:o} or {self.files[number].mode:o}")
                self.files[number].mode = found
        for number, xattrs in delta.xattrs.items():
            for path in self.names_of(number)[:1]:
                found = {name: os.getxattr(path, name) for name in os.listxattr(path) if name.startswith("user.")}
                if found not in (xattrs, self.files[number].xattrs):
                    raise Wrong(f"{path}: attributes {found}, neither as before nor as after")
                self.files[number].xattrs = found

    def has(self, path):
        return path in self.names or path in self.folders or path in self.symlinks

    def will_have(self, delta, path):
        if path in delta.names:
            return delta.names[path] is not None
        if path in delta.folders:
            return delta.folders[path]
        return delta.symlinks[path] is not None

    def observed(self, delta):
        paths = list(delta.names) + list(delta.folders) + list(delta.symlinks)
        return tuple(os.path.lexists(path) for path in paths)

    def looks_replaced(self, delta):
        for path, number in delta.names.items():
            old = self.names.get(path)
            if number is None or old is None or number == old:
                continue
            with open(path, "rb", buffering=0) as opened:
                found = read_all(opened.fileno())
            return found == self.files[number].data and found != self.files[old].data
        return False

    def settle_bytes(self, number, after):
        file = self.files[number]
        file.mtime = None
        for path in self.names_of(number)[:1]:
            with open(path, "rb", buffering=0) as opened:
                found = bytearray(read_all(opened.fileno()))
            before = file.data
            if not min(len(before), len(after)) <= len(found) <= max(len(before), len(after)):
                raise Wrong(f"{path}: {len(found)} bytes, expected {len(before)} to {len(after)}")
            for at in range(0, len(found), 4096):
                block = found[at:at + 4096]
                if block in (before[at:at + 4096], after[at:at + 4096]):
                    continue
                for i, byte in enumerate(block, at):
                    # A file that grows shows zeros where its bytes have not come yet.
                    allowed = (before[i] if i < len(before) else 0, after[i] if i < len(after) else 0)
                    if byte not in allowed:
                        raise Wrong(f"{path}: byte {i} is {byte}, expected one of {allowed}")
            file.data = found


def read_all(descriptor):
    parts = []
    at = 0
    while True:
        part = os.pread(descriptor, 1 << 20, at)
        if not part:
            return b"".join(parts)
        parts.append(part)
        at += len(part)
