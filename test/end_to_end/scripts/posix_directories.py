"""Directories: names, listing, cookies, errors, and a great many entries."""

import errno
import os
import stat
import time

from checks import *

DOTS = (b".", b"..")


def listing(path=b".", size=4096):
    """All entries by getdents64, dots left out, in order: (name, ino, cookie, type)."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    found = []
    while batch := directory_entries(fd, size):
        found += [entry for entry in batch if entry[0] not in DOTS]
    os.close(fd)
    return found


@check
def names_up_to_255_bytes():
    for name in (b"n", b"n" * 254, b"n" * 255, "ü".encode() * 127 + b"x"):
        make(name, name)
        os.mkdir(name[:-1] + b"d")
        equal(content(name), name, f"content of a name of {len(name)} bytes")
    equal(len(os.listdir(b".")), 8, "names")
    long = b"n" * 256
    for attempt in (make, os.mkdir, os.mkfifo, os.stat, os.unlink, os.rmdir, os.listdir):
        fails(errno.ENAMETOOLONG, attempt, long)
    fails(errno.ENAMETOOLONG, os.open, long + b"/below", os.O_RDONLY)


@check
def paths_up_to_4095_bytes():
    deep = os.getcwd()
    while len(deep) + 201 <= 4095:
        os.mkdir("d" * 200)
        os.chdir("d" * 200)
        deep += "/" + "d" * 200
    rest = "f" * (4095 - len(deep) - 1)
    if rest:
        make(deep + "/" + rest, b"deep")
        equal(content(deep + "/" + rest), b"deep", "content of a path of 4,095 bytes")
    fails(errno.ENAMETOOLONG, os.stat, deep + "/" + rest + "x")
    for _ in range(10):
        os.mkdir("e" * 255)
        os.chdir("e" * 255)
    make("bottom", b"below what a path can say")
    equal(content("bottom"), b"below what a path can say", "a file deeper than any path")


@check
def names_of_any_bytes():
    names = [bytes([b]) for b in range(1, 256) if bytes([b]) not in (b"/", b".")]
    names += [b"...", b"a\nb", b"-rf", b"\xff\xfe\xfd", "é".encode(), "e\u0301".encode(), b"case", b"CASE"]
    for name in names:
        make(name, name)
    equal(sorted(os.listdir(b".")), sorted(names), "names listed")
    for name in names:
        equal(content(name), name, f"content of {name!r}")
    for name in names:
        os.unlink(name)
    equal(os.listdir(b"."), [], "names left")


@check
def errors_of_making_and_removing():
    make("file")
    os.makedirs("full/inside")
    os.symlink("nowhere", "dangling")
    os.symlink("full", "link")
    for name in ("file", "full", "dangling", "link", ".", "full/.."):
        fails(errno.EEXIST, os.mkdir, name)
        fails(errno.EEXIST, os.symlink, "x", name)
    fails(errno.ENOENT, os.mkdir, "missing/new")
    fails(errno.ENOTDIR, os.mkdir, "file/new")
    fails(errno.ENOTEMPTY, os.rmdir, "full")
    fails(errno.ENOTDIR, os.rmdir, "file")
    fails(errno.ENOTDIR, os.rmdir, "link")
    fails(errno.ENOENT, os.rmdir, "missing")
    fails(errno.EINVAL, os.rmdir, "full/.")
    fails(errno.ENOTEMPTY, os.rmdir, "full/inside/..")
    fails(errno.ENOTDIR, os.listdir, "file")
    os.rmdir("full/inside")
    os.rmdir("full")
    fails(errno.ENOENT, os.listdir, "full")


@check
def mode_of_new_directories():
    for umask, wanted in ((0o000, 0o777), (0o022, 0o755), (0o077, 0o700)):
        os.umask(umask)
        os.mkdir(f"d{umask:o}", 0o777)
        equal(os.stat(f"d{umask:o}").st_mode & 0o7777, wanted, f"mode under umask {umask:o}")
    os.umask(0)
    os.mkdir("sticky", 0o1777)
    equal(os.stat("sticky").st_mode & 0o7777, 0o1777, "a sticky directory")


@check
def link_counts():
    equal(os.stat(".").st_nlink, 2, "links of an empty directory")
    for number in range(5):
        os.mkdir(f"d{number}")
    make("file")
    os.symlink("d0", "link")
    equal(os.stat(".").st_nlink, 7, "links with five subdirectories")
    os.rmdir("d0")
    os.rename("d1", "d2/d1")
    equal((os.stat(".").st_nlink, os.stat("d2").st_nlink), (5, 3), "links after rmdir and rename")


@check
def entries_tell_type_and_inode():
    make("file")
    os.mkdir("directory")
    os.symlink("x", "link")
    os.mkfifo("fifo")
    os.mknod("char", stat.S_IFCHR | 0o600, os.makedev(1, 3))
    os.mknod("block", stat.S_IFBLK | 0o600, os.makedev(7, 0))
    os.mknod("socket", stat.S_IFSOCK | 0o600)
    for name, ino, _, kind in listing():
        found = os.lstat(name)
        equal((ino, kind), (found.st_ino, stat.S_IFMT(found.st_mode) >> 12), f"inode and type of {name!r}")
    dots = {name: ino for name, ino, _, _ in directory_entries(os.open("directory", os.O_RDONLY))}
    equal(dots, {b".": os.stat("directory").st_ino, b"..": os.stat(".").st_ino}, "dots of an empty directory")


@patient
def sixty_five_thousand_subdirectories():
    def make_some(worker):
        for number in range(worker, 65_200, 4):
            os.mkdir(f"d{number}")
        os._exit(0)

    for child in [os.fork() or make_some(worker) for worker in range(4)]:
        equal(os.waitpid(child, 0)[1], 0, "a worker's exit")
    equal(os.stat(".").st_nlink, 65_202, "links")
    found = listing(size=1 << 16)
    equal((len(found), len({entry[0] for entry in found})), (65_200, 65_200), "entries and different names")
    for number in range(0, 65_200, 1000):
        os.rmdir(f"d{number}")
    equal(os.stat(".").st_nlink, 65_202 - 66, "links after removing some")


@check
def listings_are_complete_at_every_buffer_size():
    names = {f"{'n' * (number % 200)}{number}".encode() for number in range(1000)}
    for name in names:
        make(name)
    for size in (300, 4096, 1 << 15):
        found = [entry[0] for entry in listing(size=size)]
        equal((len(found), set(found) == names), (1000, True), f"names with a buffer of {size}")


@check
def cookies_lead_back():
    for number in range(3000):
        make(f"file{number}")
    fd = os.open(".", os.O_RDONLY)
    order = []
    while batch := directory_entries(fd, 2048):
        order += batch
    cookies = [entry[2] for entry in order]
    equal(len(set(cookies)), len(cookies), "different cookies")
    for index in (0, 1, 2, 57, 1500, len(order) - 2):
        os.lseek(fd, cookies[index], os.SEEK_SET)
        equal(directory_entries(fd, 300)[0][0], order[index + 1][0], f"the entry behind cookie {index}")
    os.lseek(fd, cookies[-1], os.SEEK_SET)
    equal(directory_entries(fd), [], "behind the last cookie")
    os.lseek(fd, 0, os.SEEK_SET)
    equal(directory_entries(fd, 300)[0][0], order[0][0], "after rewinding")
    os.unlink(order[1500][0])
    os.lseek(fd, cookies[1500], os.SEEK_SET)
    equal(directory_entries(fd, 300)[0][0], order[1501][0], "behind an entry that is gone")
    again = os.open(".", os.O_RDONLY)
    os.lseek(again, cookies[700], os.SEEK_SET)
    equal(directory_entries(again, 300)[0][0], order[701][0], "a cookie used on another handle")


@check
def telldir_and_seekdir():
    for number in range(500):
        make(f"file{number}")
    stream = DirectoryStream()
    seen, places = [], [stream.tell()]
    while (name := stream.read()) is not None:
        seen.append(name)
        places.append(stream.tell())
    equal(len(seen), 502, "entries")
    for index in (400, 3, 250, 0):
        stream.seek(places[index])
        equal(stream.read(), seen[index], f"the entry at telldir {index}")
    make("late")
    stream.rewind()
    equal(sorted(iter(stream.read, None)), sorted([*seen, b"late"]), "entries after rewinddir")
    stream.close()


@check
def listing_while_others_change():
    stable = {f"stable{number}".encode() for number in range(2000)}
    for name in stable:
        make(name)
    child = os.fork()
    if child == 0:
        number = 0
        while True:
            make(f"passing{number}")
            if number >= 50:
                os.unlink(f"passing{number - 50}")
            number += 1
    changed = False
    for _ in range(15):
        names = [entry[0] for entry in listing(size=2048)]
        equal(len(names), len(set(names)), "different names in one listing")
        equal(stable - set(names), set(), "stable names missing")
        changed |= len(names) > 2000
    true(changed, "the other process changed the directory meanwhile")
    os.kill(child, 9)


@check
def removing_while_listing():
    for number in range(3000):
        make(f"file{number}")
    fd = os.open(".", os.O_RDONLY)
    removed = 0
    while batch := directory_entries(fd, 2048):
        for name, _, _, _ in batch:
            if name not in DOTS:
                os.unlink(name)
                removed += 1
    equal((removed, os.listdir(".")), (3000, []), "files removed in one pass")


@check
def renames_while_listing_lose_nothing():
    for number in range(1000):
        make(f"file{number}")
    fd = os.open(".", os.O_RDONLY)
    seen = set()
    step = 0
    while batch := directory_entries(fd, 1024):
        seen |= {entry[0] for entry in batch}
        os.rename("file0" if step % 2 == 0 else "moved", "moved" if step % 2 == 0 else "file0")
        step += 1
    missing = {f"file{n}".encode() for n in range(1, 1000)} - seen
    equal(missing, set(), "names that were never renamed")


@check
def new_names_show_at_once():
    os.mkdir("d")
    for number in range(50):
        fails(errno.ENOENT, os.stat, f"d/file{number}")
        in_child(lambda: os.close(os.open(f"d/file{number}", os.O_CREAT | os.O_WRONLY)))
        equal(os.stat(f"d/file{number}").st_size, 0, "a name made by another process after a negative lookup")
        in_child(lambda: os.unlink(f"d/file{number}"))
        fails(errno.ENOENT, os.stat, f"d/file{number}")


@check
def many_processes_in_one_directory():
    children = []
    for worker in range(8):
        child = os.fork()
        if child == 0:
            for number in range(250):
                make(f"{worker}-{number}", b"x")
                if number % 5 == 4:
                    os.unlink(f"{worker}-{number - 2}")
                if number % 10 == 9:
                    os.rename(f"{worker}-{number}", f"{worker}-{number}-renamed")
            os._exit(0)
        children.append(child)
    for child in children:
        equal(os.waitpid(child, 0)[1], 0, "a worker's exit")
    equal(len(os.listdir(".")), 8 * 200, "names")
    equal(len({entry[1] for entry in listing()}), 8 * 200, "different inodes")


@check
def directory_size_and_dots():
    true(stat.S_ISDIR(os.stat(".").st_mode), "it is a directory")
    os.makedirs("a/b")
    equal(os.stat("a/b/../..").st_ino, os.stat(".").st_ino, "two levels up")
    equal(os.stat("a/./b/.").st_ino, os.stat("a/b").st_ino, "single dots")
    fd = os.open("a", os.O_RDONLY)
    equal(os.stat("b", dir_fd=fd).st_ino, os.stat("a/b").st_ino, "relative to a directory handle")
    os.fchdir(fd)
    make("here")
    os.chdir("..")
    true(os.path.exists("a/here"), "fchdir")


main()
