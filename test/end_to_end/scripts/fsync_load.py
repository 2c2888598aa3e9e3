"""Writers that fsync each file: fsync_load.py WRITERS FILES BYTES; and, with 'kernel', what the kernel sends for each way of syncing."""
import mmap, os, sys, threading


def write_files(writers, files, size):
    def run(writer):
        for number in range(files):
            fd = os.open(f"f{writer}_{number}", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
            os.write(fd, bytes([65 + number % 26]) * size)
            os.fsync(fd)
            os.close(fd)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(writers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def one(kind):
    fd = os.open(kind, os.O_RDWR | os.O_CREAT | (os.O_DSYNC if kind == "dsync" else 0), 0o644)
    if kind == "rwf":
        os.pwritev(fd, [b"x" * 100], 0, os.RWF_DSYNC)
    elif kind == "msync":
        os.write(fd, b"x" * 8192)
        view = mmap.mmap(fd, 8192)
        view[0:2] = b"yz"
        view.flush()
        view.close()
    elif kind == "syncfs":
        os.write(fd, b"x")
        import ctypes

        ctypes.CDLL(None).syncfs(fd)
    else:
        os.write(fd, b"x" * 100)
    os.close(fd)


if sys.argv[1] == "kernel":
    one(sys.argv[2])
else:
    write_files(*(int(word) for word in sys.argv[1:4]))
