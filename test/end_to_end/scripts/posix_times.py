"""Timestamps: their resolution, who may set them, and which operation moves which."""

import ctypes
import errno
import mmap
import os
import time

from checks import *

TICK = 0.02


def times(path):
    found = os.lstat(path)
    return {"atime": found.st_atime_ns, "mtime": found.st_mtime_ns, "ctime": found.st_ctime_ns}


def moves(what, path, wanted, action):
    """The action must move exactly these times of the path on, to about now."""
    before = times(path)
    time.sleep(TICK)
    floor = time.time_ns() - 10_000_000
    action()
    after = times(path)
    moved = sorted(name for name in before if after[name] != before[name])
    equal(moved, sorted(wanted), f"times of {path} that {what} moves")
    for name in moved:
        true(floor <= after[name] <= time.time_ns(), f"{what} sets {name} to now")


def birth(path):
    buffer = ctypes.create_string_buffer(256)
    call("statx", AT_FDCWD, os.fsencode(path), 0, 0x800, buffer)
    true(int.from_bytes(buffer.raw[0:4], "little") & 0x800, "statx gives a birth time")
    return int.from_bytes(buffer.raw[0x50:0x58], "little") * 10**9 + int.from_bytes(buffer.raw[0x58:0x5C], "little")


def written(path, data=b"x"):
    with open(path, "r+b") as stream:
        stream.write(data)


@check
def nanoseconds_are_kept():
    make("file", b"x")
    os.mkdir("directory")
    os.symlink("x", "link")
    os.mkfifo("fifo")
    for path in ("file", "directory", "link", "fifo"):
        for atime, mtime in ((1, 2), (1_234_567_890_123_456_789, 987_654_321_000_000_001), (0, 999_999_999)):
            os.utime(path, ns=(atime, mtime), follow_symlinks=False)
            found = os.lstat(path)
            equal((found.st_atime_ns, found.st_mtime_ns), (atime, mtime), f"times of {path}")


@check
def times_far_away():
    make("file", b"x")
    for seconds in (-(2**31) + 1, -1, 2**31 - 1, 2**31, 2**32, 2**33):
        os.utime("file", ns=(seconds * 10**9 + 1, seconds * 10**9 + 999_999_999))
        found = os.stat("file")
        wanted = (seconds * 10**9 + 1, seconds * 10**9 + 999_999_999)
        equal((found.st_atime_ns, found.st_mtime_ns), wanted, f"times at second {seconds}")


@check
def now_and_omit():
    make("file", b"x")
    os.utime("file", ns=(1, 2))
    utimensat("file", (0, UTIME_OMIT), (5, 6))
    equal((times("file")["atime"], times("file")["mtime"]), (1, 5_000_000_006), "UTIME_OMIT for atime")
    utimensat("file", (7, 8), (0, UTIME_OMIT))
    equal((times("file")["atime"], times("file")["mtime"]), (7_000_000_008, 5_000_000_006), "UTIME_OMIT for mtime")
    floor = time.time_ns() - 10_000_000
    utimensat("file", (0, UTIME_NOW), (0, UTIME_OMIT))
    true(floor <= times("file")["atime"] <= time.time_ns(), "UTIME_NOW for atime")
    utimensat("file", (0, UTIME_OMIT), (0, UTIME_NOW))
    true(floor <= times("file")["mtime"] <= time.time_ns(), "UTIME_NOW for mtime")
    before = times("file")
    utimensat("file", (0, UTIME_OMIT), (0, UTIME_OMIT))
    equal(times("file"), before, "times after omitting both")
    moves("utimensat", "file", ["atime", "mtime", "ctime"], lambda: os.utime("file", ns=(time.time_ns(), time.time_ns())))


@check
def setting_times_needs_the_right():
    make("file", b"x", 0o644)
    fails(errno.EACCES, as_user, lambda: os.utime("file"))
    fails(errno.EPERM, as_user, lambda: os.utime("file", ns=(1, 2)))
    os.chmod("file", 0o666)
    as_user(lambda: os.utime("file"))
    fails(errno.EPERM, as_user, lambda: os.utime("file", ns=(1, 2)))
    os.chown("file", NOBODY, NOBODY)
    as_user(lambda: os.utime("file", ns=(1, 2)))
    fails(errno.ENOENT, os.utime, "missing")


@check
def creating_and_removing_names():
    os.mkdir("d")
    both = ["mtime", "ctime"]
    moves("create", "d", both, lambda: make("d/file"))
    moves("mkdir", "d", both, lambda: os.mkdir("d/below"))
    moves("symlink", "d", both, lambda: os.symlink("x", "d/link"))
    moves("mkfifo", "d", both, lambda: os.mkfifo("d/fifo"))
    moves("mknod", "d", both, lambda: os.mknod("d/null", 0o20600, os.makedev(1, 3)))
    moves("link", "d", both, lambda: os.link("d/file", "d/second"))
    moves("rename", "d", both, lambda: os.rename("d/second", "d/third"))
    moves("unlink", "d", both, lambda: os.unlink("d/third"))
    moves("rmdir", "d", both, lambda: os.rmdir("d/below"))
    now = time.time_ns()
    for name in ("file", "link", "fifo", "null"):
        true(all(now - 60 * 10**9 < t <= now for t in times(f"d/{name}").values()), f"times of the new {name}")


@check
def open_with_create_of_an_existing_file_moves_nothing():
    os.mkdir("d")
    make("d/file", b"x")
    for path in ("d", "d/file"):
        moves("open O_CREAT", path, [], lambda: os.close(os.open("d/file", os.O_CREAT | os.O_WRONLY)))


@check
def writing():
    for pack in (False, True):
        name = make(f"file-{pack}", pattern(10_000))
        if pack:
            packed(name)
        both = ["mtime", "ctime"]
        moves("write", name, both, lambda: written(name))
        moves("truncate", name, both, lambda: os.truncate(name, 5000))
        moves("truncate to the same size", name, both, lambda: os.truncate(name, 5000))
        moves("truncate upwards", name, both, lambda: os.truncate(name, 9000))
        moves("open O_TRUNC", name, both, lambda: os.close(os.open(name, os.O_WRONLY | os.O_TRUNC)))
        moves("open O_TRUNC of an empty file", name, both, lambda: os.close(os.open(name, os.O_WRONLY | os.O_TRUNC)))
        moves("opening for writing", name, [], lambda: os.close(os.open(name, os.O_WRONLY)))
        moves("write of nothing", name, [], lambda: os.write(os.open(name, os.O_WRONLY), b""))


@check
def allocating_and_copying():
    make("source", pattern(50_000))
    for pack in (False, True):
        name = make(f"file-{pack}", pattern(50_000))
        if pack:
            packed(name)
        fd = os.open(name, os.O_RDWR)
        both = ["mtime", "ctime"]
        moves("punch", name, both, lambda: fallocate(fd, FALLOC_PUNCH_HOLE | FALLOC_KEEP_SIZE, 0, 8192))
        moves("zero range", name, both, lambda: fallocate(fd, FALLOC_ZERO_RANGE, 8192, 8192))
        source = os.open("source", os.O_RDONLY)
        moves("copy_file_range", name, both, lambda: os.copy_file_range(source, fd, 4096, 0, 20_000))


@check
def changing_attributes():
    make("file", b"x")
    os.symlink("x", "link")
    moves("chmod", "file", ["ctime"], lambda: os.chmod("file", 0o600))
    moves("chmod to the same mode", "file", ["ctime"], lambda: os.chmod("file", 0o600))
    moves("chown", "file", ["ctime"], lambda: os.chown("file", 1, 1))
    moves("lchown of a symlink", "link", ["ctime"], lambda: os.lchown("link", 1, 1))
    moves("link", "file", ["ctime"], lambda: os.link("file", "second"))
    moves("unlink of another name", "file", ["ctime"], lambda: os.unlink("second"))
    moves("setxattr", "file", ["ctime"], lambda: os.setxattr("file", "user.a", b"x"))


@check
def failed_operations_move_nothing():
    make("file", b"x")
    os.mkdir("d")
    make("d/x")
    for what, path, action in (
        ("a refused chmod", "file", lambda: fails(errno.EPERM, as_user, lambda: os.chmod("file", 0))),
        ("a refused link", "file", lambda: fails(errno.EEXIST, os.link, "file", "d")),
        ("a refused rmdir", "d", lambda: fails(errno.ENOTEMPTY, os.rmdir, "d")),
        ("a refused create", "d", lambda: fails(errno.EEXIST, os.mkdir, "d/x")),
        ("a refused truncate", "file", lambda: fails(errno.EACCES, as_user, lambda: os.truncate("file", 0))),
    ):
        moves(what, path, [], action)


@check
def reading_follows_relatime():
    for pack in (False, True):
        name = make(f"file-{pack}", b"content")
        if pack:
            packed(name)
        now = time.time_ns()
        os.utime(name, ns=(now - 2 * 10**9, now - 10**9))
        moves("the first read after a change", name, ["atime"], lambda: content(name))
        moves("a second read", name, [], lambda: content(name))
        os.utime(name, ns=(now - 86_400 * 2 * 10**9, now - 86_400 * 3 * 10**9))
        moves("a read after two days", name, ["atime"], lambda: content(name))


@check
def reading_without_atime():
    make("file", b"content")
    now = time.time_ns()
    os.utime("file", ns=(now - 2 * 10**9, now - 10**9))
    moves("a read with O_NOATIME", "file", [], lambda: os.read(os.open("file", os.O_RDONLY | os.O_NOATIME), 10))


@check
def listing_a_directory_follows_relatime():
    os.mkdir("d")
    make("d/file")
    now = time.time_ns()
    os.utime("d", ns=(now - 2 * 10**9, now - 10**9))
    moves("the first listing after a change", "d", ["atime"], lambda: os.listdir("d"))
    moves("a second listing", "d", [], lambda: os.listdir("d"))


@check
def mapped_stores_move_times():
    name = make("file", pattern(8192))
    fd = os.open(name, os.O_RDWR)
    before = times(name)
    time.sleep(TICK)
    with mmap.mmap(fd, 8192) as memory:
        memory[100:105] = b"store"
        memory.flush()
    os.close(fd)
    after = times(name)
    true(after["mtime"] > before["mtime"], "mtime moves on with a store through a mapping")
    true(after["ctime"] > before["ctime"], "ctime moves on with a store through a mapping")


@check
def packing_moves_nothing():
    make("quiet", pattern(30_000))
    make("dated", pattern(30_000))
    os.utime("dated", ns=(1_000_000_001, 2_000_000_002))
    before = times("quiet"), times("dated")
    time.sleep(TICK)
    packed("quiet", "dated")
    equal((times("quiet"), times("dated")), before, "times after packing")
    equal(content("dated") == pattern(30_000), True, "content")
    equal(times("dated")["mtime"], 2_000_000_002, "mtime after reading the packed file")


@check
def set_times_survive_an_open_handle():
    for when in ("before", "after"):
        fd = os.open(f"file-{when}", os.O_CREAT | os.O_RDWR)
        os.write(fd, b"content")
        if when == "before":
            os.utime(f"file-{when}", ns=(3, 4))
            os.close(fd)
        else:
            os.close(fd)
            os.utime(f"file-{when}", ns=(3, 4))
        equal(times(f"file-{when}")["mtime"], 4, f"mtime set {when} close")
        packed(f"file-{when}")
        equal(times(f"file-{when}")["mtime"], 4, f"mtime set {when} close, then packed")
        os.close(os.open(f"file-{when}", os.O_RDWR))
        equal(times(f"file-{when}")["mtime"], 4, "mtime after an open for writing that wrote nothing")


@check
def birth_time_stays():
    floor = time.time_ns() - 10_000_000
    make("file", b"x")
    born = birth("file")
    true(floor <= born <= time.time_ns(), "the birth time is now")
    os.utime("file", ns=(1, 2))
    written("file", b"longer")
    packed("file")
    os.rename("file", "moved")
    equal(birth("moved"), born, "the birth time after utime, write, packing and rename")


@check
def handles_see_the_same_times():
    fd = os.open("file", os.O_CREAT | os.O_RDWR)
    os.write(fd, b"x")
    other = os.open("file", os.O_RDONLY)
    time.sleep(TICK)
    os.write(fd, b"y")
    found = [os.fstat(fd), os.fstat(other), os.stat("file")]
    equal(len({(s.st_mtime_ns, s.st_ctime_ns, s.st_size) for s in found}), 1, "versions of mtime, ctime and size")


@check
def sync_moves_nothing():
    fd = os.open("file", os.O_CREAT | os.O_RDWR)
    os.write(fd, b"x")
    moves("fsync", "file", [], lambda: os.fsync(fd))
    moves("close", "file", [], lambda: os.close(fd))


main()
