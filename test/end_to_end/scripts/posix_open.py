"""open(2) and its flags."""

import errno
import fcntl
import mmap
import os
import resource
import shutil
import signal
import subprocess

from checks import *

NOFOLLOW = os.O_NOFOLLOW


@check
def exclusive_create():
    make("new", b"x")
    fails(errno.EEXIST, os.open, "new", os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    os.symlink("nowhere", "dangling")
    fails(errno.EEXIST, os.open, "dangling", os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    os.mkdir("directory")
    fails(errno.EEXIST, os.open, "directory", os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    equal(content("new"), b"x", "a refused create leaves the file alone")


@check
def exclusive_create_has_one_winner():
    def attempt(name):
        try:
            os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
            return True
        except FileExistsError:
            return False

    names = [f"race{i}" for i in range(100)]
    children = []
    for _ in range(4):
        reader, writer = os.pipe()
        if os.fork() == 0:
            os.write(writer, bytes(attempt(name) for name in names))
            os._exit(0)
        os.close(writer)
        children.append(reader)
    wins = [os.read(reader, 1000) for reader in children]
    for index, name in enumerate(names):
        equal(sum(w[index] for w in wins), 1, f"winners of {name}")


@check
def create_through_dangling_symlink():
    os.symlink("target", "link")
    os.close(os.open("link", os.O_CREAT | os.O_WRONLY, 0o600))
    true(os.path.isfile("target"), "O_CREAT follows a dangling symlink")


@check
def create_mode_and_umask():
    for umask, wanted in ((0o000, 0o6777), (0o022, 0o6755), (0o077, 0o6700), (0o777, 0o6000)):
        os.umask(umask)
        name = f"masked-{umask:o}"
        os.close(os.open(name, os.O_CREAT | os.O_WRONLY, 0o6777))
        equal(os.stat(name).st_mode & 0o7777, wanted, f"mode under umask {umask:o}")
    os.umask(0)
    os.close(os.open("sticky", os.O_CREAT | os.O_WRONLY, 0o1644))
    equal(os.stat("sticky").st_mode & 0o777, 0o644, "permission bits of a file made with the sticky bit")


@check
def new_file_belongs_to_its_maker():
    os.mkdir("open", 0o777)
    os.chmod("open", 0o777)
    as_user(lambda: make("open/theirs"), uid=4321, gid=1234)
    found = os.stat("open/theirs")
    equal((found.st_uid, found.st_gid), (4321, 1234), "owner and group of a new file")


@check
def read_only_mode_at_creation_does_not_bind_the_maker():
    os.mkdir("open", 0o777)
    os.chmod("open", 0o777)

    def as_them():
        fd = os.open("open/locked", os.O_CREAT | os.O_RDWR, 0o000)
        os.write(fd, b"mine")
        equal(os.pread(fd, 10, 0), b"mine", "what the maker reads back")
        os.close(fd)
        fails(errno.EACCES, os.open, "open/locked", os.O_RDONLY)

    as_user(as_them)


@check
def append():
    make("log", b"start")
    fd = os.open("log", os.O_WRONLY | os.O_APPEND)
    other = os.open("log", os.O_WRONLY | os.O_APPEND)
    os.lseek(fd, 0, os.SEEK_SET)
    os.write(fd, b"-one")
    equal(os.lseek(fd, 0, os.SEEK_CUR), 9, "the offset after an append")
    os.write(other, b"-two")
    os.write(fd, b"-three")
    equal(content("log"), b"start-one-two-three", "appends of two handles")
    os.ftruncate(fd, 3)
    os.write(other, b"!")
    equal(content("log"), b"sta!", "an append after a truncate")


@check
def append_by_switching_the_flag_on():
    fd = os.open("log", os.O_RDWR | os.O_CREAT)
    os.write(fd, b"0123456789")
    os.lseek(fd, 2, os.SEEK_SET)
    fcntl.fcntl(fd, fcntl.F_SETFL, os.O_APPEND)
    os.write(fd, b"end")
    fcntl.fcntl(fd, fcntl.F_SETFL, 0)
    os.pwrite(fd, b"AB", 0)
    equal(content("log"), b"AB23456789end", "O_APPEND set and cleared with F_SETFL")


@check
def append_from_four_processes_loses_nothing():
    make("log")
    children = []
    for writer in range(4):
        child = os.fork()
        if child == 0:
            fd = os.open("log", os.O_WRONLY | os.O_APPEND)
            for number in range(500):
                os.write(fd, f"{writer}:{number:05d}\n".encode())
            os._exit(0)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)
    lines = content("log").decode().split()
    equal(len(lines), 2000, "lines")
    equal(len(set(lines)), 2000, "different lines")
    for writer in range(4):
        own = [line for line in lines if line.startswith(f"{writer}:")]
        equal(own, sorted(own), f"order of writer {writer}")


@check
def truncate_on_open():
    for pack in (False, True):
        name = make(f"file-{pack}", pattern(100_000))
        if pack:
            packed(name)
        before = os.stat(name)
        os.close(os.open(name, os.O_WRONLY | os.O_TRUNC))
        after = os.stat(name)
        equal((after.st_size, after.st_ino, after.st_mode), (0, before.st_ino, before.st_mode), "after O_TRUNC")
        true(after.st_mtime_ns > before.st_mtime_ns, "O_TRUNC moves mtime on")
        true(after.st_ctime_ns > before.st_ctime_ns, "O_TRUNC moves ctime on")
        equal(content(name), b"", "content after O_TRUNC")


@check
def truncate_on_open_while_others_read():
    name = make("file", pattern(50_000))
    packed(name)
    reader = os.open(name, os.O_RDONLY)
    equal(os.pread(reader, 8, 0), pattern(8), "first bytes")
    writer = os.open(name, os.O_RDWR | os.O_TRUNC)
    equal(os.pread(reader, 8, 0), b"", "the reader sees the truncation")
    os.write(writer, b"second life")
    equal(os.pread(reader, 100, 0), b"second life", "the reader sees new bytes")


@check
def truncate_on_open_read_only():
    make("file", b"content")
    os.close(os.open("file", os.O_RDONLY | os.O_TRUNC))
    equal(os.stat("file").st_size, 0, "size after O_RDONLY|O_TRUNC, which Linux honours")


@check
def truncate_needs_write_permission():
    make("file", b"content", 0o644)
    fails(errno.EACCES, as_user, lambda: os.open("file", os.O_RDONLY | os.O_TRUNC))
    equal(content("file"), b"content", "content after a refused O_TRUNC")


@check
def temporary_file_gets_a_name():
    fd = os.open(".", os.O_TMPFILE | os.O_RDWR, 0o640)
    equal(os.fstat(fd).st_nlink, 0, "links of a temporary file")
    equal(os.listdir("."), [], "names while it has none")
    os.write(fd, b"built in secret")
    name_handle(fd, "published")
    equal(os.fstat(fd).st_nlink, 1, "links once named")
    equal(content("published"), b"built in secret", "content")
    equal(os.stat("published").st_mode & 0o777, 0o640, "mode")
    os.write(fd, b", still open")
    os.close(fd)
    equal(content("published"), b"built in secret, still open", "content after close")


@check
def temporary_file_that_stays_nameless():
    fd = os.open(".", os.O_TMPFILE | os.O_RDWR | os.O_EXCL, 0o600)
    os.write(fd, pattern(10_000))
    fails(errno.ENOENT, name_handle, fd, "published")
    equal(os.pread(fd, 10_000, 0), pattern(10_000), "content")
    os.close(fd)
    equal(os.listdir("."), [], "names")
    fails(errno.EINVAL, os.open, ".", os.O_TMPFILE | os.O_RDONLY)


@check
def no_follow():
    make("file", b"x")
    os.symlink("file", "link")
    fails(errno.ELOOP, os.open, "link", os.O_RDONLY | NOFOLLOW)
    os.close(os.open("file", os.O_RDONLY | NOFOLLOW))
    fd = os.open("link", os.O_PATH | NOFOLLOW)
    equal(os.readlink("", dir_fd=fd), "file", "readlink of an O_PATH handle")


@check
def directories_and_files_are_told_apart():
    make("file")
    os.mkdir("directory")
    fails(errno.ENOTDIR, os.open, "file", os.O_RDONLY | os.O_DIRECTORY)
    fails(errno.ENOTDIR, os.open, "file/", os.O_RDONLY)
    fails(errno.ENOTDIR, os.open, "file/below", os.O_RDONLY)
    fails(errno.ENOTDIR, os.open, "file/below", os.O_RDWR | os.O_CREAT)
    fails(errno.EISDIR, os.open, "directory", os.O_WRONLY)
    fails(errno.EISDIR, os.open, "directory", os.O_RDWR)
    fails(errno.EISDIR, os.open, "directory", os.O_RDONLY | os.O_CREAT)
    fails(errno.EISDIR, os.open, "directory", os.O_WRONLY | os.O_TRUNC)
    fails(errno.EISDIR, os.open, "new/", os.O_WRONLY | os.O_CREAT)
    fails(errno.ENOENT, os.open, "missing", os.O_RDONLY)
    fails(errno.ENOENT, os.open, "missing/below", os.O_RDWR | os.O_CREAT)
    fails(errno.ENOENT, os.open, "", os.O_RDONLY)
    fd = os.open("directory", os.O_RDONLY | os.O_DIRECTORY)
    fails(errno.EISDIR, os.read, fd, 10)


@check
def symlink_loops():
    os.symlink("b", "a")
    os.symlink("a", "b")
    fails(errno.ELOOP, os.open, "a", os.O_RDONLY)
    fails(errno.ELOOP, os.open, "a", os.O_RDWR | os.O_CREAT)
    fails(errno.ELOOP, os.stat, "a/below")


@check
def handles_keep_to_their_mode():
    make("file", b"0123456789")
    reader = os.open("file", os.O_RDONLY)
    writer = os.open("file", os.O_WRONLY)
    fails(errno.EBADF, os.write, reader, b"x")
    fails(errno.EBADF, os.read, writer, 1)
    fails(errno.EINVAL, os.ftruncate, reader, 1)
    os.chmod("file", 0)
    equal(os.read(reader, 3), b"012", "a handle outlives the permission it was opened with")


@check
def running_programs_cannot_be_written():
    shutil.copy(shutil.which("sleep"), "program")
    running = subprocess.Popen(["./program", "30"])
    try:
        wait_until(lambda: b"program" in content(f"/proc/{running.pid}/cmdline"), "the program runs")
        fails(errno.ETXTBSY, os.open, "program", os.O_WRONLY)
    finally:
        running.kill()
        running.wait()
    os.close(os.open("program", os.O_WRONLY))
    fd = os.open("program", os.O_WRONLY)
    fails(errno.ETXTBSY, subprocess.run, ["./program", "0"])
    os.close(fd)


@check
def packed_programs_run():
    shutil.copy(shutil.which("true"), "program")
    packed("program")
    equal(subprocess.run(["./program"], check=False).returncode, 0, "exit code of a packed program")
    make("script", b"#!/bin/sh\nexit 7\n", 0o755)
    packed("script")
    equal(subprocess.run(["./script"], check=False).returncode, 7, "exit code of a packed script")


@check
def synchronous_handles():
    for name, flag in (("sync", os.O_SYNC), ("dsync", os.O_DSYNC)):
        fd = os.open(name, os.O_CREAT | os.O_RDWR | flag)
        for number in range(5):
            os.write(fd, pattern(5000, number))
        equal(os.pread(fd, 5000, 10_000), pattern(5000, 2), name)
        os.fsync(fd)
        os.fdatasync(fd)
        os.close(fd)


@check
def direct_io():
    size = 1 << 20
    memory = mmap.mmap(-1, size)
    memory.write(pattern(size))
    fd = os.open("direct", os.O_CREAT | os.O_RDWR | os.O_DIRECT)
    equal(os.pwritev(fd, [memory], 0), size, "bytes written")
    os.close(fd)
    equal(content("direct") == pattern(size), True, "buffered read of what was written directly")
    packed("direct")
    fd = os.open("direct", os.O_RDWR | os.O_DIRECT)
    again = mmap.mmap(-1, size)
    equal(os.preadv(fd, [again], 0), size, "bytes read")
    equal(again[:] == pattern(size), True, "direct read of a packed file")
    again[:4096] = pattern(4096, 9)
    os.pwritev(fd, [memoryview(again)[:4096]], 8192)
    equal(content("direct")[8192:12288], pattern(4096, 9), "direct write into a packed file")


@check
def path_handles():
    make("file", b"x")
    fd = os.open("file", os.O_PATH)
    equal(os.fstat(fd).st_ino, os.stat("file").st_ino, "inode through O_PATH")
    fails(errno.EBADF, os.read, fd, 1)
    fails(errno.EBADF, os.fchmod, fd, 0o600)


@check
def no_atime_is_for_owners():
    make("file", b"x")
    os.close(os.open("file", os.O_RDONLY | os.O_NOATIME))
    fails(errno.EPERM, as_user, lambda: os.open("file", os.O_RDONLY | os.O_NOATIME))


@check
def fifo_without_a_reader():
    os.mkfifo("fifo")
    fails(errno.ENXIO, os.open, "fifo", os.O_WRONLY | os.O_NONBLOCK)


@check
def file_size_limit():
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
    fd = os.open("file", os.O_CREAT | os.O_RDWR)
    equal(os.pwrite(fd, bytes(5000), 8000), 2000, "bytes written up to the limit")
    fails(errno.EFBIG, os.pwrite, fd, b"x", 10_000)
    fails(errno.EFBIG, os.ftruncate, fd, 10_001)


@check
def many_handles_of_one_file():
    make("file", pattern(4096))
    handles = [os.open("file", os.O_RDWR) for _ in range(200)]
    for number, fd in enumerate(handles):
        os.pwrite(fd, bytes([number]), number)
    equal(content("file")[:200], bytes(range(200)), "one byte from each handle")
    for fd in handles:
        os.close(fd)


main()
