"""A small harness for checks that run on a filesystem under test.

Each check is a function marked with @check. It runs in a child process of its own, in an empty directory of its own
below the current directory, and passes unless it raises. The outcome of each is one line of JSON on standard output:
{"name", "ok", "detail", "ms"}. PACSFS_COMMAND (the pacsfs program) must be set for checks that want packed files, unless
PACSFS_TEST_PLAIN is: that is for trying the scripts themselves on an ordinary filesystem.
"""

import ctypes
import ctypes.util
import errno
import json
import os
import pickle
import signal
import subprocess
import sys
import time
import traceback

CHECK_SECONDS = 60
NOBODY = 65534
RENAME_NOREPLACE, RENAME_EXCHANGE, RENAME_WHITEOUT = 1, 2, 4
FALLOC_KEEP_SIZE, FALLOC_PUNCH_HOLE, FALLOC_ZERO_RANGE = 1, 2, 16
AT_FDCWD, AT_SYMLINK_NOFOLLOW, AT_SYMLINK_FOLLOW = -100, 0x100, 0x400
PR_SET_CHILD_SUBREAPER = 36
UTIME_NOW, UTIME_OMIT = (1 << 30) - 1, (1 << 30) - 2

libc = ctypes.CDLL(None, use_errno=True)
libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
libc.getxattr.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_size_t]
libc.getxattr.restype = ctypes.c_ssize_t
libc.listxattr.argtypes = [ctypes.c_char_p, ctypes.c_void_p, ctypes.c_size_t]
libc.listxattr.restype = ctypes.c_ssize_t
libc.getdents64.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t]
libc.getdents64.restype = ctypes.c_ssize_t
libc.opendir.restype = libc.readdir.restype = ctypes.c_void_p
libc.telldir.restype = ctypes.c_long
libc.readdir.argtypes = libc.telldir.argtypes = libc.closedir.argtypes = libc.rewinddir.argtypes = [ctypes.c_void_p]
libc.seekdir.argtypes = [ctypes.c_void_p, ctypes.c_long]

_checks = []


def check(function):
    _checks.append(function)
    return function


def patient(function):
    """Like check, for one that may take four times as long."""
    function.seconds = 4 * CHECK_SECONDS
    return check(function)


def main():
    chosen = sys.argv[1:]
    failed = 0
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    for function in _checks:
        if chosen and function.__name__ not in chosen:
            continue
        started = time.monotonic()
        detail = _run(function)
        failed += detail is not None
        outcome = {"name": function.__name__, "ok": detail is None, "detail": detail or ""}
        print(json.dumps({**outcome, "ms": round((time.monotonic() - started) * 1000)}), flush=True)
    sys.exit(1 if failed else 0)


def _run(function):
    """None when the check passed, else what went wrong."""
    os.mkdir(function.__name__, 0o755)
    return in_child(lambda: _guarded(function), seconds=getattr(function, "seconds", CHECK_SECONDS))


def _guarded(function):
    os.umask(0o022)
    os.chdir(function.__name__)
    try:
        function()
        return None
    except BaseException as problem:  # the report is the point here, whatever it was
        place = traceback.extract_tb(problem.__traceback__)
        lines = [f"{os.path.basename(f.filename)}:{f.lineno}" for f in place if f.filename != __file__]
        return f"{type(problem).__name__}: {problem} at {' < '.join(reversed(lines[-3:]))}"


def in_child(function, seconds=None):
    """Runs the function in a forked child; gives its result or raises its exception here; a check has a limit."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        try:
            answer = (True, function())
        except BaseException as problem:  # handed to the parent, which raises it
            answer = (False, problem)
        try:
            with os.fdopen(writer, "wb") as stream:
                pickle.dump(answer, stream)
        finally:
            os._exit(0)
    os.close(writer)
    if seconds is not None:
        return _await_timed(child, reader, seconds)
    with os.fdopen(reader, "rb") as stream:
        content = stream.read()
    status = os.waitpid(child, 0)[1]
    if not content:
        raise ChildEnded(status)
    fine, value = pickle.loads(content)
    if not fine:
        raise value
    return value


class ChildEnded(Exception):
    """A child that was ended by a signal before it could answer."""

    def __init__(self, status):
        super().__init__(f"child ended with status {status}")
        self.signal = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0


def _await_timed(child, reader, seconds):
    """A check's verdict, with a limit; then whatever it left running is killed."""

    def expire(_number, _frame):
        raise TimeoutError

    signal.signal(signal.SIGALRM, expire)
    signal.alarm(seconds)
    try:
        with os.fdopen(reader, "rb") as stream:
            content = stream.read()
        detail = pickle.loads(content)[1] if content else "ended without a word"
    except TimeoutError:
        detail = f"still running after {seconds} s"
    finally:
        signal.alarm(0)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    while orphan := _child_left():
        os.kill(orphan, signal.SIGKILL)
        os.waitpid(orphan, 0)
    return None if detail is None else str(detail)


def _child_left():
    """A process that lost its parent to the kill above and was handed to this one, the subreaper; None if none."""
    try:
        os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return None
    for name in os.listdir("/proc"):
        try:
            stat = open(f"/proc/{name}/stat").read() if name.isdigit() else ""
        except OSError:
            continue
        if stat and int(stat.rpartition(")")[2].split()[1]) == os.getpid():
            return int(name)
    return None


def as_user(function, uid=NOBODY, gid=NOBODY, groups=()):
    """Runs the function in a child with the rights of another user."""

    def drop():
        os.setgroups(list(groups))
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
        return function()

    return in_child(drop)


def equal(found, wanted, what):
    if found != wanted:
        raise AssertionError(f"{what}: found {_short(found)}, wanted {_short(wanted)}")


def true(condition, what):
    if not condition:
        raise AssertionError(what)


def _short(value):
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}... ({len(text)} characters)"


def fails(number, function, *args, **kwargs):
    """The call must fail with this errno (or one of a tuple of them)."""
    wanted = number if isinstance(number, tuple) else (number,)
    try:
        result = function(*args, **kwargs)
    except OSError as problem:
        if problem.errno not in wanted:
            names = [errno.errorcode.get(n, n) for n in wanted]
            found = errno.errorcode.get(problem.errno, problem.errno)
            raise AssertionError(f"{_called(function, args)}: failed with {found}, wanted {names}") from None
        return
    names = [errno.errorcode.get(n, n) for n in wanted]
    raise AssertionError(f"{_called(function, args)}: gave {_short(result)}, wanted {names}")


def _called(function, args):
    return f"{getattr(function, '__name__', 'call')}({', '.join(_short(a) for a in args)})"


def make(path, content=b"", mode=0o644):
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        write_all(fd, content)
    finally:
        os.close(fd)
    return path


def write_all(fd, content):
    view = memoryview(content)
    while len(view):
        view = view[os.write(fd, view) :]


def content(path):
    with open(path, "rb") as stream:
        return stream.read()


def pattern(length, seed=1):
    """Bytes that differ at every 8-byte word, so that a misplaced block shows."""
    words = (length + 7) // 8
    base = seed * 0x9E3779B97F4A7C15
    return b"".join(((base + i * 0xD1B54A32D192ED03) % 2**64).to_bytes(8, "little") for i in range(words))[:length]


def packed(*paths):
    """Waits until these closed files lie in aggregates."""
    if "PACSFS_TEST_PLAIN" in os.environ:
        return
    command = [os.environ["PACSFS_COMMAND"], "sync", "--packed", os.getcwd()]
    done = subprocess.run(command, capture_output=True, timeout=CHECK_SECONDS, check=False)
    true(done.returncode == 0, f"sync --packed exits 0: {done.returncode} {done.stderr!r}")
    for path in paths:
        layout = os.getxattr(path, "user.pacsfs.layout", follow_symlinks=False)
        equal(layout, b"packed", f"layout of {path}")


class DirectoryStream:
    """opendir(3) and its like, on the current directory."""

    NAME_OFFSET = 19

    def __init__(self):
        self._stream = libc.opendir(b".")
        true(self._stream, "opendir")

    def read(self):
        """The next name; None at the end."""
        ctypes.set_errno(0)
        entry = libc.readdir(self._stream)
        if not entry and ctypes.get_errno() != 0:
            raise OSError(ctypes.get_errno(), "readdir")
        return ctypes.string_at(entry + self.NAME_OFFSET) if entry else None

    def tell(self):
        return libc.telldir(self._stream)

    def seek(self, place):
        libc.seekdir(self._stream, place)

    def rewind(self):
        libc.rewinddir(self._stream)

    def close(self):
        libc.closedir(self._stream)


def call(name, *args):
    """A libc function that answers -1 with errno."""
    result = getattr(libc, name)(*args)
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), name)
    return result


def renameat2(old, new, flags):
    return call("renameat2", AT_FDCWD, os.fsencode(old), AT_FDCWD, os.fsencode(new), flags)


def name_handle(fd, name):
    """Gives an open file a name, as linkat through /proc does (os.link would not follow the link there)."""
    return call("linkat", AT_FDCWD, f"/proc/self/fd/{fd}".encode(), AT_FDCWD, os.fsencode(name), AT_SYMLINK_FOLLOW)


def fallocate(fd, mode, offset, length):
    return call("fallocate", fd, mode, offset, length)


class Timespec(ctypes.Structure):
    _fields_ = [("sec", ctypes.c_int64), ("nsec", ctypes.c_int64)]


def utimensat(path, atime, mtime, flags=0):
    """Times are (seconds, nanoseconds); UTIME_NOW and UTIME_OMIT may stand for the nanoseconds."""
    times = (Timespec * 2)(Timespec(*atime), Timespec(*mtime))
    return call("utimensat", AT_FDCWD, os.fsencode(path), times, flags)


def directory_entries(fd, size=4096):
    """One getdents64 call: (name, ino, cookie behind it, type) of each entry; empty at the end."""
    buffer = ctypes.create_string_buffer(size)
    filled = call("getdents64", fd, buffer, size)
    entries, at, raw = [], 0, buffer.raw
    while at < filled:
        ino = int.from_bytes(raw[at : at + 8], "little")
        cookie = int.from_bytes(raw[at + 8 : at + 16], "little")
        length = int.from_bytes(raw[at + 16 : at + 18], "little")
        name = raw[at + 19 : at + length].split(b"\0", 1)[0]
        entries.append((name, ino, cookie, raw[at + 18]))
        at += length
    return entries


def wait_until(condition, what, seconds=10.0):
    limit = time.monotonic() + seconds
    while not condition():
        true(time.monotonic() < limit, f"{what} within {seconds} s")
        time.sleep(0.01)
