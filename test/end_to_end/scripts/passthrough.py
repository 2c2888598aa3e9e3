"""Open own files that the kernel reads and writes by itself: what others see, what closing, packing and dying make of it."""

import ctypes
import json
import mmap
import os
import stat
import subprocess
import time

from checks import (
    NOBODY,
    as_user,
    check,
    content,
    equal,
    in_child,
    libc,
    main,
    make,
    name_handle,
    packed,
    pattern,
    true,
    write_all,
)

MIB = 1 << 20
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
libc.msync.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]


def layout(path):
    return os.getxattr(path, "user.pacsfs.layout").decode()


def extents(path):
    return os.getxattr(path, "user.pacsfs.extents").decode()


def daemon():
    asked = subprocess.run([os.environ["PACSFS_COMMAND"], "status", os.getcwd(), "--json"], capture_output=True, check=True)
    return json.loads(asked.stdout)


def kill_daemon():
    """Ends the daemon with SIGKILL and waits until another answers."""
    before = daemon()
    os.kill(before["daemonPid"], 9)
    for _ in range(600):
        time.sleep(0.1)
        now = daemon()
        if now["daemonPid"] != before["daemonPid"] and now["health"] == "ok":
            return
    raise AssertionError("no other daemon after a minute")


def until(condition, what, seconds=30):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return
        time.sleep(0.1)
    raise AssertionError(f"{what}: not within {seconds} s")


@check
def nothing_is_written_or_read_by_messages():
    before = daemon()["requests"]
    make("small", pattern(300_000))
    make("large", pattern(20 * MIB))
    equal(content("large"), pattern(20 * MIB), "what a large file has")
    after = daemon()["requests"]
    for name in ("WRITE", "READ", "FLUSH"):
        equal(after.get(name, 0) - before.get(name, 0), 0, f"{name} messages")
    packed("small")
    equal(content("small"), pattern(300_000), "what a packed file has")


@check
def what_waits_to_be_packed_is_read_without_messages():
    for attempt in range(5):
        name = f"file{attempt}"
        make(name, pattern(300_000))
        before = daemon()["requests"].get("READ", 0)
        fd = os.open(name, os.O_RDONLY)
        equal(os.read(fd, 400_000), pattern(300_000), "what a file has that was just closed")
        if daemon()["requests"].get("READ", 0) == before:
            break
        # A worker had it already: the machine was busy for a second.
        os.close(fd)
    else:
        raise AssertionError("READ messages for each of five files that were just closed")
    time.sleep(2)
    equal(layout(name), "own", "where a file is while somebody reads it past the daemon")
    os.close(fd)
    until(lambda: layout(name) == "packed", "a file is packed that nobody reads any more")
    equal(content(name), pattern(300_000), "what is there after packing")


@check
def handles_see_each_other():
    fd = os.open("file", os.O_WRONLY | os.O_CREAT)
    write_all(fd, b"one")
    reader = os.open("file", os.O_RDONLY)
    equal(os.read(reader, 10), b"one", "what a second handle reads")
    equal(in_child(lambda: os.stat("file").st_size), 3, "the size that another process sees")
    second = os.open("file", os.O_RDWR | os.O_APPEND)
    os.write(second, b"two")
    os.pwrite(fd, b"O", 0)
    equal(os.pread(second, 10, 0), b"Onetwo", "what both have written")
    os.ftruncate(fd, 4)
    equal(os.pread(reader, 10, 0), b"Onet", "what is left of a file that was cut")
    third = os.open("file", os.O_WRONLY | os.O_TRUNC)
    equal(os.fstat(reader).st_size, 0, "the size of a file that somebody has emptied")
    os.write(third, b"new")
    equal(os.pread(reader, 10, 0), b"new", "what was written after it was emptied")
    for each in (fd, reader, second, third):
        os.close(each)
    packed("file")
    equal(content("file"), b"new", "what is there after packing")


@check
def a_file_may_be_opened_anew_in_every_state():
    make("file", pattern(100_000))
    waiting = os.open("file", os.O_RDONLY)
    fd = os.open("file", os.O_WRONLY)
    os.pwrite(fd, b"changed", 0)
    os.close(fd)
    packed()
    equal(os.pread(waiting, 7, 0), b"changed", "what a reader sees that was there before")
    os.close(waiting)
    packed("file")
    cached = os.open("file", os.O_RDWR)
    os.pwrite(cached, b"again", 0)
    other = os.open("file", os.O_RDONLY)
    equal(os.pread(other, 7, 0), b"agained", "what a change of a packed file shows to others")
    os.close(cached)
    os.close(other)
    packed("file")
    wanted = b"agained" + pattern(100_000)[7:]
    equal(content("file"), wanted, "what was changed twice")
    big = make("big", pattern(12 * MIB))
    packed()
    equal(layout(big), "own", "layout of a large file")
    reader = os.open(big, os.O_RDONLY)
    writer = os.open(big, os.O_WRONLY)
    os.pwrite(writer, b"large", 5)
    equal(os.pread(reader, 10, 0), pattern(10)[:5] + b"large", "what a reader of a large file sees")
    os.close(writer)
    os.close(reader)
    equal(os.stat(big).st_size, 12 * MIB, "its size")


class Mapping:
    """A shared mapping that, unlike Python's own, keeps no descriptor of the file."""

    def __init__(self, fd, length):
        self.length = length
        self.address = libc.mmap(None, length, mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_SHARED, fd, 0)
        true(self.address != ctypes.c_void_p(-1).value, "a mapping")

    def store(self, at, content):
        ctypes.memmove(self.address + at, content, len(content))
        libc.msync(self.address, self.length, 4)

    def close(self):
        libc.munmap(self.address, self.length)


@check
def a_mapping_writes_on_after_the_last_close():
    fd = os.open("file", os.O_RDWR | os.O_CREAT)
    os.ftruncate(fd, 8192)
    mapped = Mapping(fd, 8192)
    os.close(fd)
    mapped.store(0, b"first")
    packed()
    time.sleep(2.5)
    packed()
    equal(layout("file"), "own", "layout of a file that is mapped")
    mapped.store(4096, b"second")
    before = os.stat("file").st_mtime_ns
    time.sleep(0.05)
    mapped.store(10, b"x")
    true(os.stat("file").st_mtime_ns >= before, "its time does not go back")
    mapped.close()

    def is_packed():
        packed()
        return layout("file") == "packed"

    until(is_packed, "packed once the mapping is gone")
    found = content("file")
    equal((found[:5], found[10:11], found[4096:4102]), (b"first", b"x", b"second"), "what the mapping has written")


@check
def privileges_go_when_somebody_else_writes():
    def write_as_nobody(path):
        def act():
            fd = os.open(path, os.O_WRONLY)
            os.write(fd, b"x")
            os.close(fd)

        as_user(act)

    make("program", b"old")
    os.chmod("program", 0o6777)
    write_as_nobody("program")
    equal(stat.S_IMODE(os.stat("program").st_mode), 0o777, "mode after somebody else has written")
    fd = os.open("late", os.O_WRONLY | os.O_CREAT, 0o777)
    os.fchmod(fd, 0o777)
    ready, go = os.pipe(), os.pipe()

    def act():
        inner = os.open("late", os.O_WRONLY)
        os.write(inner, b"one")
        os.write(ready[1], b"r")
        os.read(go[0], 1)
        os.write(inner, b"two")

    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setresuid(NOBODY, NOBODY, NOBODY)
            act()
            os._exit(0)
        except BaseException:
            os._exit(1)
    os.read(ready[0], 1)
    os.chmod("late", 0o6777)
    equal(stat.S_IMODE(os.stat("late").st_mode), 0o6777, "mode while it is open")
    os.write(go[1], b"g")
    equal(os.waitpid(child, 0)[1], 0, "how the writer ended")
    equal(stat.S_IMODE(os.stat("late").st_mode), 0o777, "mode after a write to a file that got the bits while it was open")
    os.close(fd)


@check
def what_is_synced_and_written_on_is_all_there():
    fd = os.open("file", os.O_WRONLY | os.O_CREAT)
    write_all(fd, pattern(100_000))
    os.fsync(fd)
    os.pwrite(fd, b"unseen", 50_000)
    os.close(fd)
    packed("file")
    wanted = bytearray(pattern(100_000))
    wanted[50_000:50_006] = b"unseen"
    equal(content("file"), bytes(wanted), "what was written after fsync")
    fd = os.open("same", os.O_WRONLY | os.O_CREAT)
    write_all(fd, pattern(200_000, 7))
    os.fsync(fd)
    copy = extents("same")
    os.close(fd)
    packed("same")
    equal(content("same"), pattern(200_000, 7), "what was closed as it was synced")
    true(copy in ("[]", extents("same")) or json.loads(copy) == json.loads(extents("same")), "the copy is kept")


@check
def a_copy_shares_extents_only_while_it_is_one():
    make("source", pattern(300_000, 3))
    packed("source")
    source = os.open("source", os.O_RDONLY)

    def copy(name, then=None):
        fd = os.open(name, os.O_WRONLY | os.O_CREAT)
        done = 0
        while done < 300_000:
            done += os.copy_file_range(source, fd, 300_000 - done, done)
        if then is not None:
            then(fd)
        os.close(fd)
        packed(name)

    copy("equal")
    equal(json.loads(extents("equal"))[0]["offset"], json.loads(extents("source"))[0]["offset"], "where a copy lies")
    copy("changed", lambda fd: os.pwrite(fd, b"other", 1000))
    true(json.loads(extents("changed"))[0] != json.loads(extents("source"))[0], "a copy that was changed has its own place")
    wanted = bytearray(pattern(300_000, 3))
    wanted[1000:1005] = b"other"
    equal(content("changed"), bytes(wanted), "what a changed copy has")
    equal(content("equal"), pattern(300_000, 3), "what a copy has")
    equal(content("source"), pattern(300_000, 3), "what the source has")


@check
def removed_and_replaced_while_open():
    fd = os.open("file", os.O_RDWR | os.O_CREAT)
    write_all(fd, pattern(50_000))
    os.unlink("file")
    os.pwrite(fd, b"still", 0)
    equal(os.pread(fd, 5, 0), b"still", "what an unlinked file has")
    equal(os.fstat(fd).st_nlink, 0, "its names")
    make("file", b"another")
    other = os.open("new", os.O_WRONLY | os.O_CREAT)
    write_all(other, b"replacing")
    os.rename("new", "file")
    write_all(other, b" on")
    os.close(other)
    os.close(fd)
    packed("file")
    equal(content("file"), b"replacing on", "what has replaced it")
    unnamed = os.open(".", os.O_TMPFILE | os.O_RDWR)
    write_all(unnamed, b"unnamed")
    name_handle(unnamed, "named")
    write_all(unnamed, b" named")
    os.close(unnamed)
    packed()
    equal(content("named"), b"unnamed named", "what O_TMPFILE has become")


@check
def a_daemon_may_die_under_handles_and_mappings():
    writer = os.open("written", os.O_WRONLY | os.O_CREAT)
    write_all(writer, pattern(100_000))
    large = make("large", pattern(12 * MIB))
    reader = os.open(large, os.O_RDONLY)
    fd = os.open("mapped", os.O_RDWR | os.O_CREAT)
    os.ftruncate(fd, 8192)
    mapped = mmap.mmap(fd, 8192)
    make("packed", pattern(60_000))
    packed("packed")
    cached = os.open("packed", os.O_RDWR)
    os.pwrite(cached, b"cached", 0)
    for turn in range(3):
        kill_daemon()
        write_all(writer, b"after %d" % turn)
        equal(os.pread(reader, 100, MIB), pattern(12 * MIB)[MIB : MIB + 100], "what a reader reads")
        mapped[turn * 100 : turn * 100 + 5] = b"turn%d" % turn
        os.pwrite(cached, b"turn%d" % turn, 6 + 5 * turn)
        # Asked twice: the new daemon finds the file as it is, and then follows what is written to it.
        size = 100_000 + 7 * (turn + 1)
        for _ in range(2):
            os.pwrite(writer, b"longer", size)
            size += 6
            equal(in_child(lambda: os.stat("written").st_size), size, "the size while it grows")
        os.ftruncate(writer, 100_000 + 7 * (turn + 1))
        another = os.open("written", os.O_RDWR)
        equal(os.fstat(another).st_size, 100_000 + 7 * (turn + 1), "the size that is seen by a handle opened later")
        os.pwrite(another, b"%d" % turn, turn)
        os.close(another)
        late = os.open("packed", os.O_RDONLY)
        equal(os.pread(late, 6, 0), b"cached", "what a later handle of a cached file reads")
        os.close(late)
    os.close(writer)
    os.close(reader)
    os.close(fd)
    os.close(cached)
    mapped.close()

    def all_packed():
        packed()
        return [layout(name) for name in ("written", "mapped", "packed")] == ["packed"] * 3

    until(all_packed, "all packed")
    wanted = bytearray(pattern(100_000) + b"after 0after 1after 2")
    wanted[0:3] = b"012"
    equal(content("written"), bytes(wanted), "what was written over three daemons")
    equal(content("mapped")[:205], b"turn0" + bytes(95) + b"turn1" + bytes(95) + b"turn2", "what was mapped over three")
    equal(content("packed")[:21], b"cachedturn0turn1turn2", "what was changed in the cache over three")


@check
def closed_while_no_daemon_was_there():
    fds = []
    for number in range(20):
        fd = os.open(f"f{number}", os.O_WRONLY | os.O_CREAT)
        write_all(fd, pattern(30_000, number))
        fds.append(fd)
    os.kill(daemon()["daemonPid"], 9)
    for fd in fds:
        write_all(fd, b"end")
        os.close(fd)
    equal([content(f"f{n}") for n in range(20)], [pattern(30_000, n) + b"end" for n in range(20)], "all contents")
    until(lambda: daemon()["health"] == "ok", "another daemon")

    def all_packed():
        packed()
        return all(layout(f"f{number}") == "packed" for number in range(20))

    until(all_packed, "all packed")
    equal([content(f"f{n}") for n in range(20)], [pattern(30_000, n) + b"end" for n in range(20)], "contents when packed")


main()
