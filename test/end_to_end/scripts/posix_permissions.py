"""Permission bits, sticky and setgid directories, setuid clearing, POSIX ACLs."""

import errno
import os
import struct
import subprocess

from checks import *

SETUID, SETGID, STICKY = 0o4000, 0o2000, 0o1000


def permissions(path):
    return os.stat(path).st_mode & 0o7777


def acl(*arguments):
    done = subprocess.run(arguments, capture_output=True, check=False, text=True)
    equal(done.returncode, 0, f"{' '.join(arguments)}: {done.stderr}")
    return done.stdout


def getfacl(path):
    lines = acl("getfacl", "--absolute-names", "--numeric", "--omit-header", "--no-effective", path).split("\n")
    return [line for line in lines if line]


@check
def every_class_of_user():
    make("file", b"x")
    os.chown("file", 1000, 2000)
    for uid, groups, shift in ((1000, (), 6), (1001, (2000,), 3), (1001, (), 0)):
        for bits in range(8):
            os.chmod("file", bits << shift)
            for wanted, flags in ((4, os.O_RDONLY), (2, os.O_WRONLY), (6, os.O_RDWR)):
                allowed = bits & wanted == wanted
                attempt = lambda: os.close(os.open("file", flags))
                if allowed:
                    as_user(attempt, uid=uid, gid=3000, groups=groups)
                else:
                    fails(errno.EACCES, as_user, attempt, uid=uid, gid=3000, groups=groups)


@check
def execute_permission():
    make("program", b"#!/bin/sh\nexit 3\n")
    fails(errno.EACCES, subprocess.run, ["./program"])
    os.chmod("program", 0o744)
    equal(subprocess.run(["./program"], check=False).returncode, 3, "exit code")
    fails(errno.EACCES, as_user, lambda: os.execv("./program", ["./program"]))
    equal((os.access("program", os.X_OK), as_user(lambda: os.access("program", os.X_OK))), (True, False), "access")


@check
def directory_permissions():
    os.mkdir("directory", 0o700)
    make("directory/file", b"x")
    os.chmod("directory", 0o744)
    equal(as_user(lambda: os.listdir("directory")), ["file"], "listing with r only")
    fails(errno.EACCES, as_user, lambda: os.stat("directory/file"))
    os.chmod("directory", 0o711)
    fails(errno.EACCES, as_user, lambda: os.listdir("directory"))
    equal(as_user(lambda: content("directory/file")), b"x", "reading with x only")
    os.chmod("directory", 0o755)
    for attempt in (
        lambda: os.unlink("directory/file"),
        lambda: make("directory/new"),
        lambda: os.mkdir("directory/new"),
        lambda: os.symlink("x", "directory/new"),
        lambda: os.mkfifo("directory/new"),
    ):
        fails(errno.EACCES, as_user, attempt)
    os.chmod("directory", 0o777)
    as_user(lambda: os.unlink("directory/file"))


@check
def sticky_directories():
    os.mkdir("tmp")
    os.chmod("tmp", 0o1777)
    for owner in (0, 1000, NOBODY):
        make(f"tmp/of-{owner}")
        os.chown(f"tmp/of-{owner}", owner, owner)
        os.mkdir(f"tmp/directory-of-{owner}")
        os.chown(f"tmp/directory-of-{owner}", owner, owner)
    for owner in (0, 1000):
        fails((errno.EPERM, errno.EACCES), as_user, lambda: os.unlink(f"tmp/of-{owner}"))
        fails((errno.EPERM, errno.EACCES), as_user, lambda: os.rmdir(f"tmp/directory-of-{owner}"))
    as_user(lambda: os.unlink(f"tmp/of-{NOBODY}"))
    as_user(lambda: os.rmdir(f"tmp/directory-of-{NOBODY}"))
    os.chown("tmp", NOBODY, NOBODY)
    as_user(lambda: os.unlink("tmp/of-1000"))


@check
def setgid_directories():
    os.mkdir("shared")
    os.chown("shared", 0, 2000)
    os.chmod("shared", 0o2777)
    as_user(lambda: make("shared/file"))
    as_user(lambda: os.mkdir("shared/below"))
    as_user(lambda: os.symlink("x", "shared/link"))
    as_user(lambda: os.mkfifo("shared/fifo"))
    for name in ("file", "below", "link", "fifo"):
        equal(os.lstat(f"shared/{name}").st_gid, 2000, f"group of {name}")
    equal(permissions("shared/below"), 0o2755, "a directory below inherits setgid")
    equal(permissions("shared/file") & SETGID, 0, "a file does not")
    fd = as_user(lambda: os.open("shared", os.O_TMPFILE | os.O_RDWR) and os.stat("shared").st_gid)
    equal(fd, 2000, "O_TMPFILE in a setgid directory works")


@check
def chmod_rules():
    make("file")
    for bits in (0o7777, 0o0000, 0o4755, 0o2711, 0o1644, 0o6111):
        os.chmod("file", bits)
        equal(permissions("file"), bits, f"mode after chmod {bits:o}")
    fails(errno.EPERM, as_user, lambda: os.chmod("file", 0o777))
    os.chown("file", NOBODY, 2000)
    as_user(lambda: os.chmod("file", 0o4755))
    equal(permissions("file"), 0o4755, "an owner may set setuid")
    as_user(lambda: os.chmod("file", 0o2755))
    equal(permissions("file"), 0o755, "setgid is dropped for an owner outside the group")
    as_user(lambda: os.chmod("file", 0o2755), groups=(2000,))
    equal(permissions("file"), 0o2755, "and kept for a member")
    os.symlink("file", "link")
    os.chmod("link", 0o640)
    equal(permissions("file"), 0o640, "chmod follows symlinks")
    fails(errno.ENOENT, os.chmod, "missing", 0o600)
    fails(errno.ENOTDIR, os.chmod, "file/x", 0o600)


@check
def chown_rules():
    make("file")
    os.chown("file", 123, 456)
    equal((os.stat("file").st_uid, os.stat("file").st_gid), (123, 456), "owner and group")
    os.chown("file", -1, 457)
    os.chown("file", 124, -1)
    equal((os.stat("file").st_uid, os.stat("file").st_gid), (124, 457), "one at a time")
    os.chown("file", 0xFFFFFFFE, 0xFFFFFFFD)
    equal((os.stat("file").st_uid, os.stat("file").st_gid), (0xFFFFFFFE, 0xFFFFFFFD), "the largest numbers")
    os.chown("file", NOBODY, NOBODY)
    fails(errno.EPERM, as_user, lambda: os.chown("file", 1000, -1))
    fails(errno.EPERM, as_user, lambda: os.chown("file", -1, 1000))
    as_user(lambda: os.chown("file", -1, 2000), groups=(2000,))
    equal(os.stat("file").st_gid, 2000, "an owner gives the file to a group of theirs")


@check
def chown_clears_setuid():
    for mode, wanted in ((0o6755, 0o755), (0o4711, 0o711), (0o2644, 0o2644), (0o2755, 0o755)):
        name = make(f"file-{mode:o}")
        os.chown(name, 1000, 1000)
        os.chmod(name, mode)
        os.chown(name, 1001, -1)
        equal(permissions(name), wanted, f"{mode:o} after root's chown")
    make("theirs")
    os.chown("theirs", NOBODY, NOBODY)
    os.chmod("theirs", 0o6755)
    as_user(lambda: os.chown("theirs", -1, 2000), groups=(2000,))
    equal(permissions("theirs"), 0o755, "6755 after an owner's chgrp")
    os.mkdir("directory")
    os.chmod("directory", 0o6755)
    os.chown("directory", 1000, 1000)
    equal(permissions("directory"), 0o6755, "a directory keeps them")


@check
def writing_clears_setuid():
    def writers():
        yield "write", lambda name: os.write(os.open(name, os.O_WRONLY), b"x")
        yield "truncate", lambda name: os.truncate(name, 1)
        yield "open O_TRUNC", lambda name: os.open(name, os.O_WRONLY | os.O_TRUNC)
        yield "fallocate", lambda name: fallocate(os.open(name, os.O_WRONLY), 0, 0, 10_000)

    for what, action in writers():
        name = make(f"{what.split()[0]}-{len(what)}", b"content")
        os.chmod(name, 0o6777)
        as_user(lambda: action(name))
        equal(permissions(name), 0o777, f"6777 after another user's {what}")
        os.chmod(name, 0o6777)
        action(name)
        equal(permissions(name), 0o6777, f"6777 after root's {what}")
    make("group", b"x")
    os.chmod("group", 0o2666)
    as_user(lambda: os.write(os.open("group", os.O_WRONLY), b"y"))
    true(permissions("group") in (0o2666, 0o666), f"2666 (no group execute): {permissions('group'):o}")


@check
def packed_file_loses_setuid_when_written():
    make("file", b"content")
    os.chmod("file", 0o6777)
    packed("file")
    equal(permissions("file"), 0o6777, "packing leaves the mode alone")
    as_user(lambda: os.write(os.open("file", os.O_WRONLY), b"x"))
    equal((permissions("file"), content("file")), (0o777, b"xontent"), "after another user's write")


@check
def writing_drops_capabilities():
    capability = struct.pack("<IIIII", 0x02000001, 1 << 10, 0, 0, 0)
    make("program", b"content")
    os.setxattr("program", "security.capability", capability)
    equal(os.getxattr("program", "security.capability"), capability, "the attribute")
    with open("program", "ab") as stream:
        stream.write(b"changed")
    fails(errno.ENODATA, os.getxattr, "program", "security.capability")
    os.setxattr("program", "security.capability", capability)
    os.chown("program", 1000, 1000)
    fails(errno.ENODATA, os.getxattr, "program", "security.capability")


@check
def acl_grants_and_masks():
    make("file", b"secret", 0o600)
    fails(errno.EACCES, as_user, lambda: content("file"))
    acl("setfacl", "-m", f"u:{NOBODY}:rw", "file")
    equal(as_user(lambda: content("file")), b"secret", "reading by ACL")
    equal(permissions("file"), 0o660, "the group bits show the mask")
    wanted = ["user::rw-", f"user:{NOBODY}:rw-", "group::---", "mask::rw-", "other::---"]
    equal(getfacl("file"), wanted, "getfacl")
    os.chmod("file", 0o640)
    equal(getfacl("file")[3], "mask::r--", "chmod changes the mask")
    fails(errno.EACCES, as_user, lambda: os.open("file", os.O_WRONLY))
    equal(as_user(lambda: content("file")), b"secret", "reading under a narrower mask")
    os.chmod("file", 0o600)
    fails(errno.EACCES, as_user, lambda: content("file"))
    acl("setfacl", "-b", "file")
    equal(getfacl("file"), ["user::rw-", "group::---", "other::---"], "getfacl after setfacl -b")


@check
def acl_of_groups_and_denials():
    make("file", b"x", 0o644)
    acl("setfacl", "-m", f"u:{NOBODY}:---,g:2000:r--", "file")
    fails(errno.EACCES, as_user, lambda: content("file"))
    equal(as_user(lambda: content("file"), uid=1000), b"x", "others still read")
    os.chmod("file", 0o640)
    fails(errno.EACCES, as_user, lambda: content("file"), uid=1000, gid=1000)
    equal(as_user(lambda: content("file"), uid=1000, groups=(2000,)), b"x", "a member of the named group")
    fails(errno.EPERM, as_user, lambda: os.setxattr("file", "system.posix_acl_access", os.getxattr("file", "system.posix_acl_access")))


@check
def minimal_acl_is_the_mode():
    make("file", b"", 0o644)
    acl("setfacl", "-m", "u::rwx,g::rx,o::-", "file")
    equal(permissions("file"), 0o750, "mode")
    true("system.posix_acl_access" not in os.listxattr("file"), "an ACL of three entries is not stored")


@check
def default_acl_is_inherited():
    os.mkdir("directory")
    acl("setfacl", "-d", "-m", f"u:{NOBODY}:rwx,g::rx,o::-", "directory")
    os.umask(0o077)
    make("directory/file", b"x", 0o666)
    os.mkdir("directory/below", 0o777)
    make("directory/below/deep", b"x", 0o644)
    os.mkfifo("directory/fifo", 0o666)
    os.symlink("x", "directory/link")
    access = ["user::rw-", f"user:{NOBODY}:rwx", "group::r-x", "mask::rw-", "other::---"]
    equal(getfacl("directory/file"), access, "ACL of a new file: the umask does not count")
    equal(getfacl("directory/fifo"), access, "ACL of a new fifo")
    below = ["user::rwx", f"user:{NOBODY}:rwx", "group::r-x", "mask::rwx", "other::---"]
    equal(getfacl("directory/below"), below + [f"default:{e}" for e in below], "ACLs of a new directory")
    deep = ["user::rw-", f"user:{NOBODY}:rwx", "group::r-x", "mask::r--", "other::---"]
    equal(getfacl("directory/below/deep"), deep, "ACL of a file two levels down")
    equal(permissions("directory/file"), 0o660, "mode of the new file")
    acl("setfacl", "-k", "directory")
    make("directory/later", b"", 0o666)
    equal(permissions("directory/later"), 0o600, "the umask counts again once the default ACL is gone")


@check
def default_acl_and_temporary_files():
    os.mkdir("directory")
    acl("setfacl", "-d", "-m", f"u:{NOBODY}:r", "directory")
    fd = os.open("directory", os.O_TMPFILE | os.O_RDWR, 0o600)
    name_handle(fd, "directory/file")
    true(f"user:{NOBODY}:r--" in getfacl("directory/file"), "a temporary file inherits the ACL")


@check
def acl_errors():
    make("file")
    os.mkdir("directory")
    fails(errno.EACCES, os.setxattr, "file", "system.posix_acl_default", minimal_acl_bytes())
    fails((errno.EINVAL, errno.EOPNOTSUPP), os.setxattr, "file", "system.posix_acl_access", b"nonsense")
    fails(errno.ENODATA, os.getxattr, "file", "system.posix_acl_access")
    fails(errno.ENODATA, os.getxattr, "directory", "system.posix_acl_default")


@check
def acl_is_listed_and_follows_the_file():
    os.mkdir("directory")
    make("file")
    acl("setfacl", "-m", "u:1000:rwx", "file")
    os.rename("file", "directory/file")
    equal(os.listxattr("directory/file"), ["system.posix_acl_access"], "listed attributes")
    true("user:1000:rwx" in getfacl("directory/file"), "the ACL after a rename")
    packed("directory/file")
    true("user:1000:rwx" in getfacl("directory/file"), "the ACL after packing")
    os.chown("directory/file", 1001, 1001)
    true("user:1000:rwx" in getfacl("directory/file"), "the ACL after chown")
    acl("cp", "-p", "directory/file", "copy")
    true("user:1000:rwx" in getfacl("copy"), "the ACL of a copy by cp -p")


@check
def setting_an_acl_drops_setgid_outside_the_group():
    make("file")
    os.chown("file", NOBODY, 2000)
    os.chmod("file", 0o2755)
    as_user(lambda: acl("setfacl", "-m", "u:1000:r", "file"))
    equal(permissions("file") & SETGID, 0, "setgid after an owner outside the group sets an ACL")


def minimal_acl_bytes():
    entries = ((1, 7, 0xFFFFFFFF), (4, 5, 0xFFFFFFFF), (0x20, 5, 0xFFFFFFFF))
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


main()
