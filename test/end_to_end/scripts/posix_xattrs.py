"""Extended attributes."""

import ctypes
import errno
import os
import time

from checks import *


def raw_get(path, name, size):
    buffer = ctypes.create_string_buffer(max(size, 1))
    length = call("getxattr", os.fsencode(path), name.encode(), buffer if size else None, size)
    return length, buffer.raw[: min(length, size)]


def raw_list(path, size):
    buffer = ctypes.create_string_buffer(max(size, 1))
    length = call("listxattr", os.fsencode(path), buffer if size else None, size)
    return length, buffer.raw[: min(length, size)]


@check
def every_namespace():
    make("file", b"x")
    os.mkdir("directory")
    for path in ("file", "directory"):
        for name in ("user.one", "trusted.one", "security.one", "user." + "n" * 250):
            os.setxattr(path, name, name.encode())
            equal(os.getxattr(path, name), name.encode(), f"{name} of {path}")
        wanted = sorted(["security.one", "trusted.one", "user.one", "user." + "n" * 250])
        equal(sorted(os.listxattr(path)), wanted, f"list of {path}")
        for name in wanted:
            os.removexattr(path, name)
        equal(os.listxattr(path), [], "list after removal")


@check
def values_of_every_size():
    make("file")
    for size in (0, 1, 255, 4096, 10_000, 65_535, 65_536):
        value = pattern(size, size + 1)
        os.setxattr("file", "user.value", value)
        equal(os.getxattr("file", "user.value"), value, f"value of {size} bytes")
    fails((errno.E2BIG, errno.ENOSPC), os.setxattr, "file", "user.value", bytes(65_537))
    equal(len(os.getxattr("file", "user.value")), 65_536, "length after a refusal")
    os.setxattr("file", "user.bytes", bytes(range(256)))
    equal(os.getxattr("file", "user.bytes"), bytes(range(256)), "a value of all bytes")


@check
def sizes_are_asked_for_first():
    make("file")
    os.setxattr("file", "user.value", b"ten bytes!")
    equal(raw_get("file", "user.value", 0)[0], 10, "length asked with size 0")
    equal(raw_get("file", "user.value", 10), (10, b"ten bytes!"), "exact size")
    equal(raw_get("file", "user.value", 100), (10, b"ten bytes!"), "ample size")
    fails(errno.ERANGE, raw_get, "file", "user.value", 9)
    equal(raw_list("file", 0)[0], len("user.value") + 1, "length of the list")
    equal(raw_list("file", 100), (11, b"user.value\0"), "the list")
    fails(errno.ERANGE, raw_list, "file", 10)
    make("bare")
    equal(raw_list("bare", 0)[0], 0, "length of an empty list")
    os.setxattr("file", "user.empty", b"")
    equal(raw_get("file", "user.empty", 10), (0, b""), "an empty value")


@check
def create_and_replace():
    make("file")
    fails(errno.ENODATA, os.setxattr, "file", "user.a", b"1", os.XATTR_REPLACE)
    os.setxattr("file", "user.a", b"1", os.XATTR_CREATE)
    fails(errno.EEXIST, os.setxattr, "file", "user.a", b"2", os.XATTR_CREATE)
    equal(os.getxattr("file", "user.a"), b"1", "value after refusals")
    os.setxattr("file", "user.a", b"3", os.XATTR_REPLACE)
    os.setxattr("file", "user.a", b"a longer value")
    os.setxattr("file", "user.a", b"4")
    equal(os.getxattr("file", "user.a"), b"4", "value after replacements")
    os.removexattr("file", "user.a")
    fails(errno.ENODATA, os.removexattr, "file", "user.a")
    fails(errno.ENODATA, os.getxattr, "file", "user.a")


@check
def names_have_bounds():
    make("file")
    os.setxattr("file", "user." + "n" * 250, b"255 bytes")
    fails(errno.ERANGE, os.setxattr, "file", "user." + "n" * 251, b"256 bytes")
    fails((errno.ERANGE, errno.EINVAL), os.setxattr, "file", "", b"x")
    fails((errno.EINVAL, errno.EOPNOTSUPP), os.setxattr, "file", "user.", b"x")
    fails(errno.EOPNOTSUPP, os.setxattr, "file", "nonsense.name", b"x")
    fails(errno.EOPNOTSUPP, os.getxattr, "file", "nonsense.name")
    fails(errno.EOPNOTSUPP, os.setxattr, "file", "name", b"x")
    os.setxattr("file", b"user.\xff\xfe\x01", b"bytes")
    equal(os.getxattr("file", b"user.\xff\xfe\x01"), b"bytes", "a name that is no UTF-8")
    os.setxattr("file", "user.case", b"lower")
    os.setxattr("file", "user.CASE", b"upper")
    equal(os.getxattr("file", "user.case"), b"lower", "case counts")


@check
def special_files_and_symlinks():
    os.mkfifo("fifo")
    os.symlink("nowhere", "link")
    fails(errno.EPERM, os.setxattr, "fifo", "user.a", b"x")
    fails(errno.EPERM, os.setxattr, "link", "user.a", b"x", follow_symlinks=False)
    for path in ("fifo", "link"):
        os.setxattr(path, "trusted.a", b"x", follow_symlinks=False)
        equal(os.getxattr(path, "trusted.a", follow_symlinks=False), b"x", f"trusted attribute of {path}")
        equal(os.listxattr(path, follow_symlinks=False), ["trusted.a"], f"list of {path}")
    fails(errno.ENOENT, os.setxattr, "link", "user.a", b"x")
    fails(errno.ENOENT, os.getxattr, "missing", "user.a")


@check
def permissions_of_attributes():
    make("file", b"x", 0o644)
    os.setxattr("file", "user.a", b"user")
    os.setxattr("file", "trusted.a", b"trusted")
    equal(as_user(lambda: os.getxattr("file", "user.a")), b"user", "reading a user attribute")
    fails(errno.ENODATA, as_user, lambda: os.getxattr("file", "trusted.a"))
    fails(errno.EPERM, as_user, lambda: os.setxattr("file", "trusted.a", b"x"))
    fails(errno.EACCES, as_user, lambda: os.setxattr("file", "user.a", b"x"))
    fails(errno.EACCES, as_user, lambda: os.removexattr("file", "user.a"))
    equal(as_user(lambda: os.listxattr("file")), ["user.a"], "list seen by a user")
    os.chmod("file", 0o600)
    fails(errno.EACCES, as_user, lambda: os.getxattr("file", "user.a"))
    os.chmod("file", 0o666)
    as_user(lambda: os.setxattr("file", "user.b", b"theirs"))
    os.mkdir("tmp")
    os.chmod("tmp", 0o1777)
    fails(errno.EPERM, as_user, lambda: os.setxattr("tmp", "user.a", b"x"))


@check
def many_attributes():
    make("file")
    for number in range(500):
        os.setxattr("file", f"user.attribute-{number:03d}", str(number).encode() * 10)
    equal(sorted(os.listxattr("file")), [f"user.attribute-{n:03d}" for n in range(500)], "the list")
    for number in range(0, 500, 2):
        os.removexattr("file", f"user.attribute-{number:03d}")
    equal(len(os.listxattr("file")), 250, "attributes after removing half")
    equal(os.getxattr("file", "user.attribute-499"), b"499" * 10, "one of them")


@check
def attributes_follow_the_inode():
    make("file", b"content")
    os.setxattr("file", "user.a", b"kept")
    os.link("file", "second")
    os.rename("file", "moved")
    equal((os.getxattr("moved", "user.a"), os.getxattr("second", "user.a")), (b"kept", b"kept"), "both names")
    packed("moved")
    equal(os.getxattr("moved", "user.a"), b"kept", "after packing")
    os.unlink("moved")
    os.unlink("second")
    make("moved", b"another")
    equal(os.listxattr("moved"), [], "a new file of the same name has none")


@check
def attributes_of_open_and_unlinked_files():
    fd = os.open("file", os.O_CREAT | os.O_RDWR)
    os.setxattr(fd, "user.a", b"through the handle")
    equal(os.getxattr("file", "user.a"), b"through the handle", "by name")
    os.unlink("file")
    os.setxattr(fd, "user.b", b"after unlink")
    equal(sorted(os.listxattr(fd)), ["user.a", "user.b"], "list of an unlinked file")


@check
def only_ctime_moves():
    make("file", b"x")
    for change in (
        lambda: os.setxattr("file", "user.a", b"1"),
        lambda: os.setxattr("file", "user.a", b"2"),
        lambda: os.removexattr("file", "user.a"),
    ):
        before = os.stat("file")
        time.sleep(0.02)
        change()
        after = os.stat("file")
        true(after.st_ctime_ns > before.st_ctime_ns, "ctime moves on")
        equal((after.st_mtime_ns, after.st_atime_ns), (before.st_mtime_ns, before.st_atime_ns), "mtime and atime")


@check
def own_attributes_are_not_listed():
    if "PACSFS_TEST_PLAIN" in os.environ:
        return
    make("file", b"x" * 5000)
    true(os.getxattr("file", "user.pacsfs.layout") in (b"own", b"packed"), "the layout can be asked for")
    equal(os.listxattr("file"), [], "and is not listed")
    packed("file")
    for name in ("layout", "tier", "volume", "extents"):
        true(len(os.getxattr("file", f"user.pacsfs.{name}")) > 0, f"user.pacsfs.{name} is answered")
    for name in ("layout", "extents"):
        fails((errno.EPERM, errno.EACCES, errno.EOPNOTSUPP), os.setxattr, "file", f"user.pacsfs.{name}", b"own")


main()
