"""Prints everything that can be seen of a tree, one JSON line a file in path order, so that two states can be compared.

usage: snapshot.py [--no-times] [--no-ctime] ROOT

Of a directory with over 10,000 entries only the names are told.
"""

import hashlib
import json
import os
import stat
import sys


def digest(path):
    hasher = hashlib.sha256()
    with open(path, "rb") as stream:
        while block := stream.read(1 << 20):
            hasher.update(block)
    return hasher.hexdigest()


def describe(path, options):
    found = os.lstat(path)
    row = {"mode": oct(found.st_mode), "uid": found.st_uid, "gid": found.st_gid, "nlink": found.st_nlink}
    if "--no-times" not in options:
        row["mtime"] = found.st_mtime_ns
        if "--no-ctime" not in options:
            row["ctime"] = found.st_ctime_ns
            row["ino"] = found.st_ino
    if stat.S_ISREG(found.st_mode):
        row |= {"size": found.st_size, "sha256": digest(path) if found.st_size < 1 << 28 else "large"}
    if stat.S_ISLNK(found.st_mode):
        row["target"] = os.fsencode(os.readlink(path)).hex()
    if stat.S_ISCHR(found.st_mode) or stat.S_ISBLK(found.st_mode):
        row["rdev"] = found.st_rdev
    attributes = sorted(os.listxattr(path, follow_symlinks=False))
    row["xattrs"] = {
        repr(name): hashlib.sha256(os.getxattr(path, name, follow_symlinks=False)).hexdigest() for name in attributes
    }
    return row


def walk(root, below, options):
    directory = os.path.join(root, below)
    print(json.dumps({"path": os.fsencode(below).hex() if below else "", **describe(directory, options)}, sort_keys=True))
    # Listed by a handle, as paths may be longer than the kernel takes.
    names = sorted(os.listdir(directory), key=os.fsencode)
    if len(names) > 10_000:
        print(hashlib.sha256(os.fsencode("/".join(names))).hexdigest())
        return
    for name in names:
        path = os.path.join(below, name)
        if len(os.fsencode(os.path.join(root, path))) > 3900:
            continue
        if stat.S_ISDIR(os.lstat(os.path.join(root, path)).st_mode):
            walk(root, path, options)
        else:
            row = describe(os.path.join(root, path), options)
            print(json.dumps({"path": os.fsencode(path).hex(), **row}, sort_keys=True))


sys.setrecursionlimit(10_000)
walk(sys.argv[-1], "", set(sys.argv[1:-1]))
