"""Hard links, symbolic links, special files, and files that outlive their names."""

import errno
import mmap
import os
import socket
import stat
import time

from checks import *


@check
def hard_links():
    for pack in (False, True):
        first = make(f"first-{pack}", b"shared")
        if pack:
            packed(first)
        before = os.stat(first)
        time.sleep(0.02)
        os.link(first, f"second-{pack}")
        after = os.stat(f"second-{pack}")
        equal((after.st_ino, after.st_nlink), (before.st_ino, 2), "inode and links")
        true(after.st_ctime_ns > before.st_ctime_ns, "ctime moves on with a link")
        equal(after.st_mtime_ns, before.st_mtime_ns, "mtime")
        with open(f"second-{pack}", "ab") as stream:
            stream.write(b" bytes")
        equal(content(first), b"shared bytes", "content through the other name")
        os.chmod(first, 0o600)
        equal(os.stat(f"second-{pack}").st_mode & 0o777, 0o600, "mode through the other name")
        os.unlink(first)
        equal((os.stat(f"second-{pack}").st_nlink, content(f"second-{pack}")), (1, b"shared bytes"), "the last name")


@check
def hard_link_errors():
    make("file")
    make("other")
    os.mkdir("directory")
    fails(errno.EPERM, os.link, "directory", "second")
    fails(errno.EEXIST, os.link, "file", "other")
    fails(errno.EEXIST, os.link, "file", "directory")
    fails(errno.ENOENT, os.link, "missing", "new")
    fails(errno.ENOENT, os.link, "file", "missing/new")
    fails(errno.ENOTDIR, os.link, "file", "other/new")
    fails(errno.ENAMETOOLONG, os.link, "file", "n" * 256)
    fails(errno.EXDEV, os.link, "file", f"/dev/shm/pacsfs-check-{os.getpid()}")
    os.mkdir("closed")
    os.chown("file", NOBODY, NOBODY)
    fails(errno.EACCES, as_user, lambda: os.link("file", "closed/new"))
    equal(os.stat("file").st_nlink, 1, "links after refusals")


@check
def two_thousand_links():
    make("file", b"x")
    for number in range(2000):
        os.link("file", f"link{number}")
    equal(os.stat("file").st_nlink, 2001, "links")
    for number in range(0, 2000, 2):
        os.unlink(f"link{number}")
    equal(os.stat("link1").st_nlink, 1001, "links after every other unlink")


@check
def links_of_special_files():
    os.symlink("nowhere", "symbolic")
    os.link("symbolic", "second", follow_symlinks=False)
    equal(os.readlink("second"), "nowhere", "a hard link to a symlink")
    equal(os.lstat("symbolic").st_nlink, 2, "links of the symlink")
    os.mkfifo("fifo")
    os.link("fifo", "fifo2")
    equal(os.stat("fifo2").st_nlink, 2, "links of the fifo")


@check
def deleted_files_cannot_be_linked():
    fd = os.open("file", os.O_CREAT | os.O_RDWR)
    os.unlink("file")
    fails(errno.ENOENT, name_handle, fd, "again")


@check
def symbolic_links_of_every_length():
    for length in (1, 2, 59, 60, 61, 254, 255, 256, 1023, 1024, 4000, 4094, 4095):
        target = (b"t" * 200 + b"/") * 21
        target = target[: length - 1] + b"x"
        name = f"link{length}".encode()
        os.symlink(target, name)
        equal(os.readlink(name), target, f"target of {length} bytes")
        equal(os.lstat(name).st_size, length, "size")
        true(stat.S_ISLNK(os.lstat(name).st_mode), "it is a symlink")
    fails(errno.ENAMETOOLONG, os.symlink, b"t" * 4096, b"long")
    fails(errno.ENOENT, os.symlink, b"", b"empty")
    fails(errno.EEXIST, os.symlink, b"x", b"link1")
    fails(errno.ENAMETOOLONG, os.symlink, b"x", b"n" * 256)


@check
def symbolic_links_hold_any_bytes():
    target = bytes(range(1, 256))
    os.symlink(target, b"link")
    equal(os.readlink(b"link"), target, "target")
    make("file", b"x")
    fails(errno.EINVAL, os.readlink, "file")
    equal(os.lstat("link").st_mode & 0o777, 0o777, "mode of a symlink")
    os.lchown("link", 12, 34)
    equal((os.lstat("link").st_uid, os.lstat("link").st_gid), (12, 34), "owner of a symlink")


@check
def symbolic_links_are_followed():
    os.mkdir("directory")
    make("directory/file", b"found")
    os.symlink("directory", "way")
    equal(content("way/file"), b"found", "through a directory symlink")
    os.symlink(os.path.abspath("directory/file"), "absolute")
    equal(content("absolute"), b"found", "through an absolute symlink")
    previous = "directory/file"
    for number in range(40):
        os.symlink(previous, f"chain{number}")
        previous = f"chain{number}"
    equal(content("chain39"), b"found", "through forty symlinks")
    os.symlink(previous, "chain40")
    fails(errno.ELOOP, os.stat, "chain40")


@check
def fifos_carry_bytes():
    os.mkfifo("fifo", 0o640)
    equal(oct(os.stat("fifo").st_mode), oct(0o10640), "mode")
    child = os.fork()
    if child == 0:
        with open("fifo", "wb") as stream:
            stream.write(b"through the pipe")
        os._exit(0)
    equal(content("fifo"), b"through the pipe", "what came through")
    os.waitpid(child, 0)
    fails(errno.EEXIST, os.mkfifo, "fifo")


@check
def device_nodes():
    for name, kind, numbers in (
        ("null", stat.S_IFCHR, (1, 3)),
        ("large", stat.S_IFCHR, (0xFFF, 0xFFFFF)),
        ("block", stat.S_IFBLK, (259, 300)),
    ):
        os.mknod(name, kind | 0o600, os.makedev(*numbers))
        found = os.stat(name)
        equal((stat.S_IFMT(found.st_mode), found.st_rdev), (kind, os.makedev(*numbers)), name)
    with open("null", "wb") as stream:
        stream.write(b"swallowed")
    equal(content("null"), b"", "a null device made here")
    os.mkdir("open")
    os.chmod("open", 0o777)
    fails(errno.EPERM, as_user, lambda: os.mknod("open/null", stat.S_IFCHR | 0o600, 259))


@check
def regular_files_by_mknod():
    os.mknod("plain", stat.S_IFREG | 0o644)
    equal(content("plain"), b"", "content")
    with open("plain", "wb") as stream:
        stream.write(b"x")
    equal(os.stat("plain").st_size, 1, "size")


@check
def sockets():
    server = socket.socket(socket.AF_UNIX)
    server.bind("socket")
    true(stat.S_ISSOCK(os.stat("socket").st_mode), "it is a socket")
    server.listen(1)
    client = socket.socket(socket.AF_UNIX)
    client.connect("socket")
    accepted, _ = server.accept()
    client.sendall(b"hello")
    equal(accepted.recv(10), b"hello", "what came through")
    fails(errno.ENXIO, os.open, "socket", os.O_RDONLY)
    again = socket.socket(socket.AF_UNIX)
    fails(errno.EADDRINUSE, again.bind, "socket")


@check
def unlinked_files_live_while_open():
    for pack in (False, True):
        name = make(f"file-{pack}", pattern(300_000))
        if pack:
            packed(name)
        fd = os.open(name, os.O_RDWR)
        os.unlink(name)
        fails(errno.ENOENT, os.stat, name)
        equal(os.fstat(fd).st_nlink, 0, "links")
        equal(os.pread(fd, 1000, 200_000), pattern(300_000)[200_000:201_000], "bytes after unlink")
        os.pwrite(fd, b"changed", 100_000)
        equal(os.pread(fd, 7, 100_000), b"changed", "a write after unlink")
        equal(os.pread(fd, 8, 299_992), pattern(300_000)[-8:], "bytes that were not written")
        os.ftruncate(fd, 400_000)
        equal((os.fstat(fd).st_size, os.pread(fd, 4, 350_000)), (400_000, bytes(4)), "size and hole")
        os.fchmod(fd, 0o600)
        os.utime(fd, ns=(1, 2))
        os.setxattr(fd, "user.still", b"here")
        equal((os.getxattr(fd, "user.still"), os.fstat(fd).st_mtime_ns), (b"here", 2), "xattr and mtime")
        with mmap.mmap(fd, 4096) as memory:
            memory[:5] = b"store"
            memory.flush()
        equal(os.pread(fd, 5, 0), b"store", "a mapped store after unlink")
        os.fsync(fd)
        os.close(fd)


@check
def unlinked_file_and_new_one_of_its_name():
    fd = os.open("file", os.O_CREAT | os.O_RDWR)
    os.write(fd, b"old")
    os.unlink("file")
    make("file", b"new file")
    equal((os.pread(fd, 10, 0), content("file")), (b"old", b"new file"), "contents")
    true(os.fstat(fd).st_ino != os.stat("file").st_ino, "they are different inodes")


@check
def hundreds_of_unlinked_files():
    handles = []
    for number in range(300):
        handles.append(os.open(f"file{number}", os.O_CREAT | os.O_RDWR))
        os.write(handles[-1], pattern(5000, number))
        os.unlink(f"file{number}")
    for number, fd in enumerate(handles):
        equal(os.pread(fd, 5000, 0), pattern(5000, number), f"content of unlinked file {number}")
        os.close(fd)


@check
def removed_directories_live_while_used():
    os.mkdir("directory")
    fd = os.open("directory", os.O_RDONLY)
    os.chdir("directory")
    os.rmdir(f"{os.getcwd()}")
    fails(errno.ENOENT, os.getcwd)
    fails(errno.ENOENT, os.open, "new", os.O_CREAT | os.O_WRONLY)
    fails(errno.ENOENT, os.mkdir, "new")
    equal(os.fstat(fd).st_nlink, 0, "links of a removed directory")
    fails(errno.ENOENT, directory_entries, fd)


@check
def unlink_errors():
    os.mkdir("directory")
    make("file")
    os.symlink("directory", "link")
    fails(errno.EISDIR, os.unlink, "directory")
    fails(errno.ENOENT, os.unlink, "missing")
    fails(errno.ENOTDIR, os.unlink, "file/x")
    fails(errno.ENOTDIR, os.unlink, "file/")
    fails(errno.ENAMETOOLONG, os.unlink, "n" * 256)
    os.unlink("link")
    true(os.path.isdir("directory"), "unlink removes the symlink, not its target")
    fails(errno.EACCES, as_user, lambda: os.unlink("file"))


main()
