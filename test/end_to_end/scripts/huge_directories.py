"""Directories whose partitions split and merge all the time: the store under test splits them at 64 names."""

import errno
import json
import os
import random
import signal
import stat
import subprocess
import time

from checks import *

DOTS = (b".", b"..")
REGULAR = stat.S_IFREG | 0o644
MAX_HANDLE_BYTES = 128


def status():
    command = [os.environ["PACSFS_COMMAND"], "status", os.getcwd(), "--json"]
    done = subprocess.run(command, capture_output=True, timeout=CHECK_SECONDS, check=True)
    return json.loads(done.stdout)


def partitions(path="."):
    """How many a directory has now."""
    command = [os.environ["PACSFS_COMMAND"], "info", os.path.abspath(path), "--json"]
    done = subprocess.run(command, capture_output=True, timeout=CHECK_SECONDS, check=True)
    return json.loads(done.stdout)["partitions"]


def kill_daemon():
    os.kill(status()["daemonPid"], signal.SIGKILL)


def make_names(prefix, count):
    """Names alone, without own files: splitting is about names."""
    for number in range(count):
        os.mknod(f"{prefix}{number}", REGULAR)


def listing(fd, size=1 << 15):
    """All entries from the start, dots left out: (name, cookie behind it)."""
    os.lseek(fd, 0, os.SEEK_SET)
    found = []
    while batch := directory_entries(fd, size):
        found += [(name, cookie) for name, _, cookie, _ in batch if name not in DOTS]
    return found


def follows(fd, cookie):
    """The entry behind a cookie, None at the end."""
    os.lseek(fd, cookie, os.SEEK_SET)
    batch = directory_entries(fd, 512)
    return (batch[0][0], batch[0][2]) if batch else None


def check_cookies(fd, cookies, what):
    """Behind each of the cookies must come the first entry that is there and has a higher one."""
    order = listing(fd)
    equal([cookie for _, cookie in order], sorted({cookie for _, cookie in order}), f"{what}: cookies ascend")
    wanted = None
    for cookie in sorted(cookies, reverse=True):
        while order and order[-1][1] > cookie:
            wanted = order.pop()
        equal(follows(fd, cookie), wanted, f"{what}: behind cookie {cookie}")


@patient
def every_cookie_leads_back_over_splits_kills_and_merges():
    make_names("early", 10)
    fd = os.open(".", os.O_RDONLY)
    first = listing(fd)
    ever = {cookie for _, cookie in first}
    make_names("more", 900)
    equal([pair for pair in listing(fd) if pair[0].startswith(b"early")], first, "cookies of the first names")
    ever |= {cookie for _, cookie in listing(fd)}
    check_cookies(fd, random.sample(sorted(ever), 200), "while partitions split")
    wait_until(lambda: partitions() > 6, "splits", 30)
    kill_daemon()
    check_cookies(fd, ever, "after splits and a kill of the daemon")
    for number in range(900):
        os.unlink(f"more{number}")
    check_cookies(fd, random.sample(sorted(ever), 200), "while partitions merge")
    wait_until(lambda: partitions() < 5, "merges", 30)
    equal(listing(fd), first, "what is left")
    kill_daemon()
    check_cookies(fd, ever, "after merges and a kill of the daemon")


def change_for_ever(worker):
    """Waves of names that come, are renamed and go, so that partitions split and merge again and again."""
    wave = 0
    while True:
        names = [f"passing{worker}-{wave}-{number}" for number in range(700)]
        for name in names:
            os.mknod(name, REGULAR)
        for name in names[::3]:
            os.rename(name, name + "r")
        for at, name in enumerate(names):
            os.unlink(name + "r" if at % 3 == 0 else name)
        wave += 1


@patient
def listings_lose_and_repeat_nothing_while_names_and_partitions_change():
    make_names("stable", 300)
    stable = {f"stable{number}".encode() for number in range(300)}
    children = [os.fork() or change_for_ever(worker) for worker in range(2)]
    fd = os.open(".", os.O_RDONLY)
    seen, sizes = set(), set()
    kills = 0
    limit = time.monotonic() + 8
    while time.monotonic() < limit:
        entries = listing(fd, random.choice((512, 4096, 1 << 15)))
        names = [name for name, _ in entries]
        cookies = [cookie for _, cookie in entries]
        equal(cookies, sorted(set(cookies)), "cookies of one listing ascend")
        equal(len(names), len(set(names)), "different names in one listing")
        equal(stable - set(names), set(), "stable names missing")
        seen |= set(names)
        if len(sizes) < 200 and random.random() < 0.2:
            sizes.add(partitions())
        if kills == 0 and time.monotonic() > limit - 4:
            kill_daemon()
            kills += 1
    for child in children:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    true(len(seen) > 1000, f"the others changed much meanwhile: {len(seen)} names seen")
    true(len(sizes) > 1, f"partitions came and went meanwhile: {sizes}")


@check
def telldir_seekdir_and_rewinddir_on_many_partitions():
    make_names("file", 1500)
    stream = DirectoryStream()
    places, seen = [], []
    while True:
        places.append(stream.tell())
        name = stream.read()
        if name is None:
            break
        seen.append(name)
    equal((len(seen), len(set(seen))), (1502, 1502), "entries and different ones")
    for index in random.sample(range(len(seen)), 300):
        stream.seek(places[index])
        equal(stream.read(), seen[index], f"the entry at telldir {index}")
    stream.seek(places[-1])
    equal(stream.read(), None, "the end at the last telldir")
    make_names("late", 1)
    stream.rewind()
    equal(sorted(iter(stream.read, None)), sorted([*seen, b"late0"]), "entries after rewinddir")
    stream.close()


@check
def links_of_a_directory_with_many_subdirectories():
    for number in range(1200):
        os.mkdir(f"d{number}")
    equal(os.stat(".").st_nlink, 1202, "links")
    for number in range(0, 1200, 2):
        os.rename(f"d{number}", f"d1/{number}")
    equal((os.stat(".").st_nlink, os.stat("d1").st_nlink), (602, 602), "links when half of them have moved")
    kill_daemon()
    for number in range(0, 1200, 4):
        os.rmdir(f"d1/{number}")
    equal((os.stat(".").st_nlink, os.stat("d1").st_nlink), (602, 302), "links after a kill and rmdir")
    fails(errno.ENOTEMPTY, os.rmdir, "d1")


def processor_seconds(pid):
    fields = open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@check
def removing_all_goes_on_as_it_began_and_rmdir_does_not_scan():
    os.mkdir("huge")
    os.chdir("huge")
    make_names("file", 8000)
    os.chdir("..")
    wait_until(lambda: partitions("huge") > 60, "splits", 30)
    fails(errno.ENOTEMPTY, os.rmdir, "huge")
    daemon = status()["daemonPid"]
    removing = subprocess.Popen(["rm", "-r", "huge"])
    entry_bytes = os.stat("huge").st_size / 8000
    costs = []
    before = processor_seconds(daemon)
    for left in (6000, 2000, 0):
        while removing.poll() is None and _entries_left(entry_bytes) > left:
            time.sleep(0.01)
        costs.append(processor_seconds(daemon) - before)
    equal(removing.wait(CHECK_SECONDS), 0, "the exit of rm -r")
    true(not os.path.exists("huge"), "the directory is gone")
    first, last = costs[0] / 2000, (costs[2] - costs[1]) / 2000
    true(last < 4 * first + 0.0002, f"seconds a file of the daemon's processor time: {first} at first, {last} at last")

    os.mkdir("once")
    os.chdir("once")
    make_names("file", 6000)
    for number in range(6000):
        os.unlink(f"file{number}")
    os.chdir("..")
    start = processor_seconds(daemon)
    os.rmdir("once")
    true(processor_seconds(daemon) - start < 0.2, "rmdir of a directory that was huge takes no time of the daemon")
    equal(os.listdir("."), [], "what is left")


def _entries_left(entry_bytes):
    try:
        return os.stat("huge").st_size / entry_bytes
    except FileNotFoundError:
        return 0


class FileHandle(ctypes.Structure):
    _fields_ = [("bytes", ctypes.c_uint), ("type", ctypes.c_int), ("handle", ctypes.c_ubyte * MAX_HANDLE_BYTES)]


def handle_of(path):
    """What an NFS server hands out for a file."""
    handle = FileHandle(bytes=MAX_HANDLE_BYTES)
    mount = ctypes.c_int()
    call("name_to_handle_at", AT_FDCWD, os.fsencode(path), ctypes.byref(handle), ctypes.byref(mount), 0)
    return handle


def open_handle(top, handle, flags=os.O_RDONLY):
    return call("open_by_handle_at", top, ctypes.byref(handle), flags)


def forget_names():
    with open("/proc/sys/vm/drop_caches", "w") as stream:
        stream.write("2")


@check
def handles_of_files_and_directories_hold():
    make_names("file", 400)
    os.makedirs("a/b/c")
    make("a/b/c/deep", b"deep")
    top = os.open(".", os.O_RDONLY)
    paths = ["a", "a/b/c", "a/b/c/deep", *(f"file{number}" for number in range(0, 400, 20))]
    handles = {path: (handle_of(path), os.stat(path).st_ino) for path in paths}
    gone = handle_of("file399")
    make_names("more", 1500)
    os.rename("a/b", "b")
    for stage in ("cached", "forgotten", "killed"):
        if stage == "killed":
            kill_daemon()
        if stage != "cached":
            forget_names()
        for path, (handle, ino) in handles.items():
            fd = open_handle(top, handle)
            equal(os.fstat(fd).st_ino, ino, f"{stage}: inode of {path} by its handle")
            os.close(fd)
    forget_names()
    # A directory is connected to the root by asking for `..`, one after the other.
    below = open_handle(top, handles["a/b/c"][0])
    equal(os.readlink(f"/proc/self/fd/{below}"), os.path.join(os.getcwd(), "b/c"), "path of a directory by its handle")
    equal(os.stat("..", dir_fd=below).st_ino, os.stat("b").st_ino, "its parent")
    equal(sorted(os.listdir(below)), ["deep"], "its listing")
    equal(os.read(open_handle(top, handles["a/b/c/deep"][0]), 10), b"deep", "content of a file by its handle")
    os.unlink("file399")
    forget_names()
    fails(errno.ESTALE, open_handle, top, gone)
    make_names("again", 200)
    forget_names()
    fails(errno.ESTALE, open_handle, top, gone)


main()
