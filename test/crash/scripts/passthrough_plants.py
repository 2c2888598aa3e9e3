"""Programs for which a fault in pass-through would be the end of their bytes. Argument: which; then a file whose being made
lets the daemon die at its next chance. Prints what is wrong, if anything; run in the mount point."""

import errno
import os
import subprocess
import sys
import threading
import time

SIZE = 1 << 20


def pacsfs(*args):
    return subprocess.run([os.environ["PACSFS_COMMAND"], *args], check=True, capture_output=True, timeout=60).stdout


def until_dead(trigger):
    """The daemon takes the trigger away as it dies; what it was serving is answered by the next one."""
    end = time.monotonic() + 30
    while os.path.exists(trigger):
        if time.monotonic() > end:
            raise AssertionError("the daemon did not die")
        time.sleep(0.02)


def arm(trigger):
    with open(trigger, "w"):
        pass


def differs(path, wanted):
    with open(path, "rb") as file:
        found = file.read()
    if found != wanted:
        at = next((i for i, (a, b) in enumerate(zip(found, wanted)) if a != b), min(len(found), len(wanted)))
        print(f"{path}: {len(found)} bytes, expected {len(wanted)}; they differ at {at}")


def cache():
    """Pages that the kernel has read ahead for a pass-through handle are not what the file has after packing."""
    fd = os.open("file", os.O_RDWR | os.O_CREAT)
    os.pwrite(fd, b"a" * SIZE, 0)
    os.posix_fadvise(fd, 0, SIZE, os.POSIX_FADV_WILLNEED)
    time.sleep(0.2)
    os.pwrite(fd, b"b" * SIZE, 0)
    os.close(fd)
    pacsfs("sync", os.getcwd(), "--packed")
    layout = os.getxattr("file", "user.pacsfs.layout")
    if layout != b"packed":
        raise AssertionError(f"layout {layout}")
    differs("file", b"b" * SIZE)


def handles(trigger):
    """One of two handles is closed as the daemon dies; the other one writes on."""
    fds = [os.open("file", os.O_WRONLY | os.O_CREAT) for _ in range(2)]
    os.pwrite(fds[0], b"a" * SIZE, 0)
    arm(trigger)
    os.close(fds[0])
    until_dead(trigger)
    os.stat("file")
    subprocess.run([os.environ["PACSFS_COMMAND"], "sync", os.getcwd()], capture_output=True, timeout=60)
    time.sleep(1.5)
    os.pwrite(fds[1], b"b" * SIZE, SIZE)
    os.close(fds[1])
    pacsfs("sync", os.getcwd(), "--packed")
    differs("file", b"a" * SIZE + b"b" * SIZE)


def ids(trigger):
    """The daemon dies with a file registered that nobody has open yet."""
    arm(trigger)
    fd = os.open("large", os.O_RDONLY)
    until_dead(trigger)
    os.close(fd)
    os.unlink("large")
    pacsfs("sync", os.getcwd())


def doubt(trigger):
    """The daemon dies as it has answered the last close and not counted it."""
    fd = os.open("file", os.O_WRONLY | os.O_CREAT)
    os.pwrite(fd, b"a" * SIZE, 0)
    arm(trigger)
    os.close(fd)
    until_dead(trigger)
    layout = b""
    for _ in range(6):
        # Looking has the kernel keep the inode again.
        time.sleep(3)
        layout = os.getxattr("file", "user.pacsfs.layout")
        if layout == b"packed":
            break
    if layout != b"packed":
        print(f"layout {layout}")
    differs("file", b"a" * SIZE)


def waiting_notifiers():
    """How many are in the kernel where no signal reaches them."""
    count = 0
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                if b"notifier_main" not in file.read():
                    continue
            for task in os.listdir(f"/proc/{pid}/task"):
                with open(f"/proc/{pid}/task/{task}/stat") as file:
                    count += file.read().rsplit(")", 1)[1].split()[0] == "D"
        except OSError:
            pass
    return count


def stuck(trigger, wanted):
    """The daemon dies in a CREATE for which a notification about the same directory has to wait."""
    fds = [os.open("file", os.O_WRONLY | os.O_CREAT) for _ in range(2)]
    arm(trigger)
    os.close(fds[0])
    until_dead(trigger)
    os.stat("file")
    # The next daemon has begun to ask.
    time.sleep(2)
    found = []

    def make():
        try:
            found.append(f"made {os.close(os.open('slow', os.O_WRONLY | os.O_CREAT))}")
        except OSError as error:
            found.append(errno.errorcode[error.errno])

    arm(trigger)
    maker = threading.Thread(target=make, daemon=True)
    maker.start()
    hangs, waited, end = trigger + "-hangs", 0, time.monotonic() + 30
    while waited == 0 and maker.is_alive() and time.monotonic() < end:
        waited = waiting_notifiers() if os.path.exists(hangs) else 0
        time.sleep(0.1)
    os.unlink(hangs)
    maker.join(20)
    if waited == 0:
        print("no notification had to wait")
    if maker.is_alive() or not found[0].startswith(wanted):
        print(f"{found or 'it hangs'}, wanted {wanted}")
    sys.stdout.flush()
    os._exit(0)


plays = {"cache": cache, "handles": handles, "ids": ids, "doubt": doubt, "stuck": stuck}
plays[sys.argv[1]](*sys.argv[2:])
