"""Locks between processes: flock(2), POSIX byte ranges, and those of open file descriptions."""

import errno
import fcntl
import os
import struct
import time

from checks import *

F_OFD_GETLK, F_OFD_SETLK = 36, 37


def try_flock(path, operation):
    """Whether another process gets the lock at once."""

    def attempt():
        try:
            fcntl.flock(os.open(path, os.O_RDWR), operation | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            return False

    return in_child(attempt)


def try_range(path, kind, start, length):
    def attempt():
        try:
            fcntl.lockf(os.open(path, os.O_RDWR), kind | fcntl.LOCK_NB, length, start)
            return True
        except (BlockingIOError, PermissionError):
            return False

    return in_child(attempt)


def flock_record(kind, start, length):
    return struct.pack("hhqqi4x", kind, os.SEEK_SET, start, length, 0)


@check
def flock_excludes():
    fd = os.open("file", os.O_CREAT | os.O_RDWR)
    fcntl.flock(fd, fcntl.LOCK_EX)
    equal([try_flock("file", k) for k in (fcntl.LOCK_EX, fcntl.LOCK_SH)], [False, False], "others beside an exclusive lock")
    fcntl.flock(fd, fcntl.LOCK_SH)
    equal([try_flock("file", k) for k in (fcntl.LOCK_EX, fcntl.LOCK_SH)], [False, True], "others beside a shared lock")
    fcntl.flock(fd, fcntl.LOCK_UN)
    equal(try_flock("file", fcntl.LOCK_EX), True, "others after the unlock")


@check
def flock_belongs_to_the_handle():
    fd = os.open("file", os.O_CREAT | os.O_RDWR)
    second = os.dup(fd)
    fcntl.flock(fd, fcntl.LOCK_EX)
    os.close(fd)
    equal(try_flock("file", fcntl.LOCK_EX), False, "while a duplicate is open")
    os.close(second)
    equal(try_flock("file", fcntl.LOCK_EX), True, "after the last close")


@check
def ranges_exclude():
    fd = os.open("file", os.O_CREAT | os.O_RDWR)
    fcntl.lockf(fd, fcntl.LOCK_EX, 100, 1000)
    equal(try_range("file", fcntl.LOCK_EX, 0, 1000), True, "before the range")
    equal(try_range("file", fcntl.LOCK_EX, 1100, 0), True, "behind the range")
    equal(try_range("file", fcntl.LOCK_EX, 1099, 1), False, "its last byte")
    equal(try_range("file", fcntl.LOCK_SH, 0, 0), False, "the whole file")
    fcntl.lockf(fd, fcntl.LOCK_UN, 50, 1025)
    equal(try_range("file", fcntl.LOCK_EX, 1025, 50), True, "a hole unlocked in it")
    equal(try_range("file", fcntl.LOCK_EX, 1000, 25), False, "what is left of it")


@check
def ranges_are_described():
    fd = os.open("file", os.O_CREAT | os.O_RDWR)
    fcntl.lockf(fd, fcntl.LOCK_EX, 10, 5)
    owner = os.getpid()

    def ask():
        record = fcntl.fcntl(os.open("file", os.O_RDWR), fcntl.F_GETLK, flock_record(fcntl.F_RDLCK, 0, 0))
        return struct.unpack("hhqqi4x", record)

    equal(in_child(ask), (fcntl.F_WRLCK, os.SEEK_SET, 5, 10, owner), "F_GETLK from another process")


@check
def ranges_end_with_any_close_of_the_process():
    fd = os.open("file", os.O_CREAT | os.O_RDWR)
    fcntl.lockf(fd, fcntl.LOCK_EX)
    os.close(os.open("file", os.O_RDONLY))
    equal(try_range("file", fcntl.LOCK_EX, 0, 0), True, "after closing another handle")


@check
def ranges_of_open_descriptions():
    fd = os.open("file", os.O_CREAT | os.O_RDWR)
    fcntl.fcntl(fd, F_OFD_SETLK, flock_record(fcntl.F_WRLCK, 0, 10))
    other = os.open("file", os.O_RDWR)
    fails((errno.EAGAIN, errno.EACCES), fcntl.fcntl, other, F_OFD_SETLK, flock_record(fcntl.F_WRLCK, 5, 1))
    fcntl.fcntl(other, F_OFD_SETLK, flock_record(fcntl.F_WRLCK, 10, 1))
    os.close(fd)
    fcntl.fcntl(other, F_OFD_SETLK, flock_record(fcntl.F_WRLCK, 5, 1))


@check
def waiting_for_a_lock():
    fd = os.open("file", os.O_CREAT | os.O_RDWR)
    for lock, unlock in (
        (lambda f: fcntl.flock(f, fcntl.LOCK_EX), lambda: fcntl.flock(fd, fcntl.LOCK_UN)),
        (lambda f: fcntl.lockf(f, fcntl.LOCK_EX), lambda: fcntl.lockf(fd, fcntl.LOCK_UN)),
    ):
        lock(fd)
        child = os.fork()
        if child == 0:
            started = time.monotonic()
            lock(os.open("file", os.O_RDWR))
            os._exit(0 if time.monotonic() - started > 0.15 else 1)
        time.sleep(0.2)
        equal(os.waitpid(child, os.WNOHANG), (0, 0), "a waiting child")
        unlock()
        equal(os.waitpid(child, 0)[1], 0, "its exit once it got the lock")


@check
def deadlocks_are_refused():
    fd = os.open("file", os.O_CREAT | os.O_RDWR)
    fcntl.lockf(fd, fcntl.LOCK_EX, 1, 0)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        mine = os.open("file", os.O_RDWR)
        fcntl.lockf(mine, fcntl.LOCK_EX, 1, 1)
        os.write(writer, b"x")
        fcntl.lockf(mine, fcntl.LOCK_EX, 1, 0)
        os._exit(0)
    os.read(reader, 1)
    time.sleep(0.1)
    fails(errno.EDEADLK, fcntl.lockf, fd, fcntl.LOCK_EX, 1, 1)
    fcntl.lockf(fd, fcntl.LOCK_UN)
    equal(os.waitpid(child, 0)[1], 0, "the child's exit")


@check
def a_dead_process_holds_nothing():
    os.close(os.open("file", os.O_CREAT | os.O_RDWR))
    child = os.fork()
    if child == 0:
        fd = os.open("file", os.O_RDWR)
        fcntl.lockf(fd, fcntl.LOCK_EX)
        fcntl.flock(fd, fcntl.LOCK_EX)
        os.kill(os.getpid(), 9)
    os.waitpid(child, 0)
    wait_until(lambda: try_range("file", fcntl.LOCK_EX, 0, 0) and try_flock("file", fcntl.LOCK_EX), "locks are free")


@check
def counting_under_a_lock():
    make("counter", b"0")
    children = []
    for _ in range(4):
        child = os.fork()
        if child == 0:
            for _ in range(100):
                fd = os.open("counter", os.O_RDWR)
                fcntl.lockf(fd, fcntl.LOCK_EX)
                value = int(os.pread(fd, 20, 0)) + 1
                os.pwrite(fd, str(value).encode(), 0)
                os.close(fd)
            os._exit(0)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)
    equal(content("counter"), b"400", "the counter after four processes")


@check
def locks_survive_packing():
    make("file", pattern(10_000))
    fd = os.open("file", os.O_RDONLY)
    fcntl.flock(fd, fcntl.LOCK_EX)
    packed()
    equal(try_flock("file", fcntl.LOCK_EX), False, "the lock after a sync")


main()
