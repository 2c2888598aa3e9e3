"""rename(2) and renameat2(2)."""

import errno
import os
import time

from checks import *


@check
def file_keeps_its_identity():
    for pack in (False, True):
        os.mkdir(f"away-{pack}")
        name = make(f"old-{pack}", pattern(20_000))
        if pack:
            packed(name)
        before = os.stat(name)
        os.rename(name, f"away-{pack}/new")
        after = os.stat(f"away-{pack}/new")
        equal((after.st_ino, after.st_nlink, after.st_size), (before.st_ino, 1, 20_000), "inode, links, size")
        equal(after.st_mtime_ns, before.st_mtime_ns, "mtime")
        equal(content(f"away-{pack}/new"), pattern(20_000), "content")
        fails(errno.ENOENT, os.stat, name)


@check
def replaces_a_file():
    for pack in (False, True):
        old, new = make(f"old-{pack}", b"old"), make(f"new-{pack}", b"new")
        if pack:
            packed(old, new)
        held = os.open(old, os.O_RDONLY)
        os.link(old, f"second-{pack}")
        os.rename(new, old)
        equal(content(old), b"new", "content under the replaced name")
        equal(os.fstat(held).st_nlink, 1, "links of the replaced file")
        os.unlink(f"second-{pack}")
        equal(os.fstat(held).st_nlink, 0, "links once its last name is gone")
        equal(os.read(held, 10), b"old", "content of the replaced file through an open handle")
        fails(errno.ENOENT, os.stat, new)


@check
def two_names_of_one_file():
    make("a", b"x")
    os.link("a", "b")
    os.rename("a", "b")
    equal(sorted(os.listdir(".")), ["a", "b"], "names: a rename between links of one file does nothing")
    equal(os.stat("a").st_nlink, 2, "links")
    os.rename("a", "a")
    equal(os.stat("a").st_nlink, 2, "links after a rename to itself")


@check
def directory_over_directory():
    os.makedirs("full/inside")
    os.mkdir("empty")
    os.mkdir("moved")
    make("moved/file")
    fails((errno.ENOTEMPTY, errno.EEXIST), os.rename, "moved", "full")
    os.rename("moved", "empty")
    equal(os.listdir("empty"), ["file"], "the moved directory's content")
    fails(errno.ENOENT, os.stat, "moved")
    equal(os.stat(".").st_nlink, 4, "links of the parent")


@check
def kinds_do_not_mix():
    make("file")
    os.mkdir("directory")
    os.symlink("directory", "link")
    fails(errno.ENOTDIR, os.rename, "directory", "file")
    fails(errno.EISDIR, os.rename, "file", "directory")
    fails(errno.ENOTDIR, os.rename, "directory", "link")
    fails(errno.ENOTDIR, os.rename, "file", "other/")
    fails(errno.ENOTDIR, os.rename, "file/", "other")
    fails(errno.ENOTDIR, os.rename, "file/below", "other")
    fails(errno.ENOENT, os.rename, "missing", "other")
    fails(errno.ENOENT, os.rename, "file", "missing/other")
    fails(errno.ENOENT, os.rename, "file", "")
    os.rename("file", "link")
    true(os.path.isdir("directory"), "a replaced symlink's target stays")
    true(os.path.isfile("link"), "the symlink itself was replaced")


@check
def into_itself():
    os.makedirs("a/b/c")
    fails(errno.EINVAL, os.rename, "a", "a/b/c/d")
    fails(errno.EINVAL, os.rename, "a", "a/new")
    fails(errno.ENOTEMPTY, os.rename, "a/b/c", "a")
    fails((errno.EBUSY, errno.EINVAL), os.rename, "a/.", "x")
    fails((errno.EBUSY, errno.EINVAL), os.rename, "a/b/..", "x")
    fails((errno.EBUSY, errno.EINVAL, errno.ENOTEMPTY), os.rename, "a", "a/b/..")


@check
def moved_directory_changes_its_parent():
    os.makedirs("one/child/grandchild")
    os.mkdir("two")
    os.rename("one/child", "two/kid")
    equal(os.stat("two/kid/..").st_ino, os.stat("two").st_ino, "..")
    equal((os.stat("one").st_nlink, os.stat("two").st_nlink), (2, 3), "links of old and new parent")
    entries = {name: ino for name, ino, _, _ in directory_entries(os.open("two/kid", os.O_RDONLY))}
    equal(entries[b".."], os.stat("two").st_ino, "inode of .. in the listing")


@check
def moves_parents_times():
    os.mkdir("from")
    os.mkdir("to")
    make("from/file")
    before = [os.stat(p) for p in ("from", "to", "from/file")]
    time.sleep(0.02)
    os.rename("from/file", "to/file")
    after = [os.stat(p) for p in ("from", "to", "to/file")]
    for index, name in enumerate(("from", "to")):
        true(after[index].st_mtime_ns > before[index].st_mtime_ns, f"mtime of {name} moves on")
        true(after[index].st_ctime_ns > before[index].st_ctime_ns, f"ctime of {name} moves on")
    equal(after[2].st_mtime_ns, before[2].st_mtime_ns, "mtime of the file")
    true(after[2].st_ctime_ns > before[2].st_ctime_ns, "ctime of the file moves on")


@check
def no_replace():
    make("a", b"a")
    make("b", b"b")
    os.mkdir("directory")
    fails(errno.EEXIST, renameat2, "a", "b", RENAME_NOREPLACE)
    fails(errno.EEXIST, renameat2, "a", "a", RENAME_NOREPLACE)
    fails(errno.EEXIST, renameat2, "a", "directory", RENAME_NOREPLACE)
    renameat2("a", "c", RENAME_NOREPLACE)
    equal((content("b"), content("c")), (b"b", b"a"), "contents")


@check
def exchange():
    os.mkdir("one")
    os.mkdir("two")
    make("one/file", b"file")
    os.makedirs("two/directory/inside")
    os.symlink("x", "one/link")
    inodes = os.stat("one/file").st_ino, os.stat("two/directory").st_ino
    renameat2("one/file", "two/directory", RENAME_EXCHANGE)
    equal((os.stat("two/directory").st_ino, os.stat("one/file").st_ino), inodes, "inodes after the exchange")
    equal((os.stat("one").st_nlink, os.stat("two").st_nlink), (3, 2), "links of the parents")
    equal(os.stat("one/file/..").st_ino, os.stat("one").st_ino, ".. of the exchanged directory")
    equal(content("two/directory"), b"file", "content of the exchanged file")
    renameat2("one/link", "two/directory", RENAME_EXCHANGE)
    equal(os.readlink("two/directory"), "x", "an exchanged symlink")
    fails(errno.ENOENT, renameat2, "one/file", "missing", RENAME_EXCHANGE)
    fails(errno.ENOENT, renameat2, "missing", "one/file", RENAME_EXCHANGE)
    fails(errno.EINVAL, renameat2, "one/file", "two/directory", RENAME_EXCHANGE | RENAME_NOREPLACE)
    fails(errno.EINVAL, renameat2, "one", "one/file/inside", RENAME_EXCHANGE)
    fails(errno.EINVAL, renameat2, "one/file/inside", "one", RENAME_EXCHANGE)
    fails(errno.EINVAL, renameat2, "one/file", "new", 1 << 30)
    fails(errno.ENOENT, os.stat, "new")


@check
def exchange_of_directories():
    os.makedirs("a/x/in-x")
    os.makedirs("b/y")
    make("b/y/file")
    renameat2("a/x", "b/y", RENAME_EXCHANGE)
    equal((os.listdir("a/x"), os.listdir("b/y")), (["file"], ["in-x"]), "contents")
    equal((os.stat("a").st_nlink, os.stat("b").st_nlink, os.stat("b/y").st_nlink), (3, 3, 3), "links")


@check
def special_files():
    os.mkfifo("fifo")
    os.mknod("null", 0o20600, os.makedev(1, 3))
    os.symlink("/etc/passwd", "link")
    for name in ("fifo", "null", "link"):
        before = os.lstat(name)
        os.rename(name, f"{name}-moved")
        after = os.lstat(f"{name}-moved")
        equal((after.st_ino, after.st_mode, after.st_rdev), (before.st_ino, before.st_mode, before.st_rdev), name)


@check
def to_another_filesystem():
    make("file")
    fails(errno.EXDEV, os.rename, "file", f"/dev/shm/pacsfs-check-{os.getpid()}")
    fails(errno.EXDEV, renameat2, "file", "/dev/shm", RENAME_EXCHANGE)


@check
def long_names():
    make("file")
    os.rename("file", "n" * 255)
    fails(errno.ENAMETOOLONG, os.rename, "n" * 255, "n" * 256)
    fails(errno.ENAMETOOLONG, os.rename, "n" * 256, "x")
    os.rename("n" * 255, b"\xff\xfe\n".decode("latin-1"))


@check
def permissions():
    os.mkdir("closed")
    make("closed/file")
    os.mkdir("open")
    os.chmod("open", 0o777)
    fails(errno.EACCES, as_user, lambda: os.rename("closed/file", "open/file"))
    as_user(lambda: os.mkdir("open/theirs"))
    fails(errno.EACCES, as_user, lambda: os.rename("open/theirs", "closed/theirs"))
    os.mkdir("open/mine", 0o755)
    os.mkdir("open2")
    os.chmod("open2", 0o777)
    fails(errno.EACCES, as_user, lambda: os.rename("open/mine", "open2/mine"))
    as_user(lambda: os.rename("open/mine", "open/renamed"))


@check
def sticky_directories():
    os.mkdir("tmp")
    os.chmod("tmp", 0o1777)
    make("tmp/roots")
    as_user(lambda: make("tmp/theirs"))
    fails((errno.EPERM, errno.EACCES), as_user, lambda: os.rename("tmp/roots", "tmp/x"))
    fails((errno.EPERM, errno.EACCES), as_user, lambda: os.rename("tmp/theirs", "tmp/roots"))
    fails((errno.EPERM, errno.EACCES), as_user, lambda: os.rename("tmp/theirs", "tmp/x"), uid=1234)
    as_user(lambda: os.rename("tmp/theirs", "tmp/x"))


@check
def replacing_is_atomic():
    make("current", b"0" * 1000)
    child = os.fork()
    if child == 0:
        for number in range(300):
            make("next", str(number % 10).encode() * 1000)
            os.rename("next", "current")
        os._exit(0)
    reads = 0
    while os.waitpid(child, os.WNOHANG)[0] == 0:
        found = content("current")
        true(len(found) == 1000 and len(set(found)) == 1, f"a whole version is found: {len(found)} bytes")
        reads += 1
    true(reads > 10, f"the reader ran meanwhile: {reads}")


@check
def open_files_do_not_mind():
    fd = os.open("a", os.O_CREAT | os.O_RDWR)
    os.write(fd, b"before")
    os.rename("a", "b")
    os.write(fd, b" after")
    equal(content("b"), b"before after", "content written through a handle across a rename")
    here = os.getcwd()
    os.makedirs("old/work")
    os.chdir("old/work")
    os.rename(f"{here}/old", f"{here}/new")
    make("late")
    equal(os.getcwd(), f"{here}/new/work", "the working directory's name")


@check
def crossed_directory_moves_make_no_loop():
    os.makedirs("a")
    os.makedirs("b")

    def shuffle(pairs):
        done = 0
        for _ in range(150):
            for old, new in pairs:
                try:
                    os.rename(old, new)
                    done += 1
                except OSError as problem:
                    true(problem.errno in (errno.ENOENT, errno.EINVAL, errno.ENOTEMPTY, errno.EEXIST), str(problem))
        return done

    child = os.fork()
    if child == 0:
        shuffle([("a", "b/a"), ("b/a", "a")])
        os._exit(0)
    shuffle([("b", "a/b"), ("a/b", "b")])
    os.waitpid(child, 0)
    found = sorted(os.path.basename(p) for p, _, _ in os.walk(".") if p != ".")
    equal(found, ["a", "b"], "both directories are still reachable, once")


main()
