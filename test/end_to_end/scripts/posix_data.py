"""The bytes of files: reading, writing, holes, allocation, copying, mapping, and the space they take."""

import errno
import fcntl
import mmap
import os
import random
import signal

from checks import *

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
PUNCH = FALLOC_PUNCH_HOLE | FALLOC_KEEP_SIZE


def both_layouts(name, data):
    """The same file twice: once as written, once from an aggregate."""
    make(f"{name}-packed", data)
    packed(f"{name}-packed")
    yield make(f"{name}-own", data)
    yield f"{name}-packed"


def segments(fd):
    """Data ranges as SEEK_DATA and SEEK_HOLE tell them."""
    found, at, end = [], 0, os.fstat(fd).st_size
    while at < end:
        try:
            start = os.lseek(fd, at, os.SEEK_DATA)
        except OSError as problem:
            equal(problem.errno, errno.ENXIO, "SEEK_DATA behind the last data")
            break
        at = os.lseek(fd, start, os.SEEK_HOLE)
        true(at > start, "a data range is not empty")
        found.append((start, at))
    return found


@check
def random_reads_and_writes():
    chance = random.Random(7)
    model = bytearray(pattern(600_000))
    for name in list(both_layouts("file", bytes(model))):
        expected = bytearray(model)
        fd = os.open(name, os.O_RDWR)
        for _ in range(300):
            at, length = chance.randrange(700_000), chance.choice((1, 100, 4096, 5000, 70_000))
            if chance.random() < 0.5:
                data = chance.randbytes(length)
                equal(os.pwrite(fd, data, at), length, "bytes written")
                expected.extend(bytes(max(0, at + length - len(expected))))
                expected[at : at + length] = data
            else:
                equal(os.pread(fd, length, at) == expected[at : at + length], True, f"{length} bytes at {at}")
        os.close(fd)
        equal(content(name) == bytes(expected), True, f"content of {name}")


@check
def vectors():
    fd = os.open("file", os.O_CREAT | os.O_RDWR)
    equal(os.writev(fd, [b"one", b"", b"two" * 1000, b"three"]), 3008, "bytes of writev")
    parts = [bytearray(3), bytearray(3000), bytearray(100)]
    equal(os.preadv(fd, parts, 0), 3008, "bytes of preadv")
    equal((bytes(parts[0]), bytes(parts[2][:5])), (b"one", b"three"), "parts")
    equal(os.pwritev(fd, [b"A", b"B"], 10_000), 2, "bytes of pwritev")
    equal(os.pread(fd, 3, 9_999), b"\0AB", "around them")


@check
def reading_at_the_end():
    for name in both_layouts("file", b"0123456789"):
        fd = os.open(name, os.O_RDWR)
        equal((os.pread(fd, 100, 0), os.pread(fd, 100, 8), os.pread(fd, 100, 10)), (b"0123456789", b"89", b""), name)
        equal(os.pread(fd, 100, 1 << 40), b"", "far behind the end")
        equal(os.lseek(fd, 0, os.SEEK_END), 10, "SEEK_END")
        equal(os.lseek(fd, 100, os.SEEK_SET), 100, "behind the end")
        fails(errno.EINVAL, os.lseek, fd, -1, os.SEEK_SET)
        equal(os.fstat(fd).st_size, 10, "size: seeking changes nothing")


@check
def truncating():
    for name in both_layouts("file", pattern(300_000)):
        os.truncate(name, 100_001)
        equal(content(name) == pattern(100_001), True, "content after shrinking")
        os.truncate(name, 200_000)
        found = content(name)
        equal(found == pattern(100_001) + bytes(99_999), True, "zeros where the file was longer once")
        fd = os.open(name, os.O_RDWR)
        os.ftruncate(fd, 10)
        os.pwrite(fd, b"end", 20)
        equal(os.pread(fd, 100, 0), pattern(10) + bytes(10) + b"end", "zeros between old end and new bytes")
        os.truncate(name, 0)
        equal(os.stat(name).st_size, 0, "size 0")
        fails(errno.EINVAL, os.truncate, name, -1)
    os.mkdir("directory")
    fails(errno.EISDIR, os.truncate, "directory", 0)
    fails(errno.ENOENT, os.truncate, "missing", 0)


@check
def truncating_gives_space_back():
    make("file", pattern(4 * MIB))
    fd = os.open("file", os.O_RDWR)
    os.fsync(fd)
    full = os.stat("file").st_blocks
    true(full * 512 >= 4 * MIB, f"blocks of a full file: {full}")
    os.ftruncate(fd, MIB)
    true(os.stat("file").st_blocks < full // 2, f"blocks after truncating: {os.stat('file').st_blocks} of {full}")


@check
def sparse_files_past_four_gib():
    places = (0, 4 * GIB - 3, 4 * GIB + 5, 5 * GIB, 1 << 40, (1 << 43) - 8192)
    fd = os.open("sparse", os.O_CREAT | os.O_RDWR)
    for number, at in enumerate(places):
        os.pwrite(fd, pattern(3000, number), at)
    for number, at in enumerate(places):
        length = 3 if at == 4 * GIB - 3 else 3000
        equal(os.pread(fd, length, at), pattern(3000, number)[:length], f"bytes at {at}")
    equal(os.pread(fd, 100, 1 << 35), bytes(100), "a hole")
    equal(os.fstat(fd).st_size, places[-1] + 3000, "size")
    true(os.fstat(fd).st_blocks * 512 < MIB, f"space: {os.fstat(fd).st_blocks} blocks")
    os.close(fd)
    packed()
    fd = os.open("sparse", os.O_RDONLY)
    equal(os.pread(fd, 3000, 1 << 40), pattern(3000, 4), "bytes read back later")


@check
def small_sparse_files_keep_their_holes_when_packed():
    fd = os.open("sparse", os.O_CREAT | os.O_RDWR)
    os.pwrite(fd, pattern(4096, 1), 0)
    os.pwrite(fd, pattern(4096, 2), 2 * MIB)
    os.ftruncate(fd, 6 * MIB)
    os.close(fd)
    packed("sparse")
    fd = os.open("sparse", os.O_RDONLY)
    expected = pattern(4096, 1) + bytes(2 * MIB - 4096) + pattern(4096, 2) + bytes(4 * MIB - 4096)
    equal(content("sparse") == expected, True, "content")
    true(os.fstat(fd).st_blocks * 512 <= 256 * KIB, f"blocks: {os.fstat(fd).st_blocks}")
    true(len(segments(fd)) == 2, f"data ranges of the packed file: {segments(fd)}")
    make("hole")
    os.truncate("hole", 5 * MIB)
    packed()
    equal(content("hole") == bytes(5 * MIB), True, "a file that is one hole")


@check
def offsets_at_the_limit():
    fd = os.open("file", os.O_CREAT | os.O_RDWR)
    fails((errno.EFBIG, errno.EINVAL), os.pwrite, fd, b"x", (1 << 63) - 1)
    fails((errno.EFBIG, errno.EINVAL), os.ftruncate, fd, (1 << 63) - 1)
    equal(os.fstat(fd).st_size, 0, "size after refusals")


@check
def seek_data_and_hole():
    for name in ("own", "packed"):
        fd = os.open(name, os.O_CREAT | os.O_RDWR)
        os.pwrite(fd, pattern(64 * KIB), MIB)
        os.pwrite(fd, pattern(64 * KIB), 3 * MIB)
        os.ftruncate(fd, 4 * MIB)
        os.close(fd)
        if name == "packed":
            packed(name)
        fd = os.open(name, os.O_RDONLY)
        equal(segments(fd), [(MIB, MIB + 64 * KIB), (3 * MIB, 3 * MIB + 64 * KIB)], f"data ranges of {name}")
        equal(os.lseek(fd, 0, os.SEEK_HOLE), 0, "a hole at the start")
        equal(os.lseek(fd, MIB + 100, os.SEEK_DATA), MIB + 100, "data inside data")
        equal(os.lseek(fd, 3 * MIB + 64 * KIB, os.SEEK_HOLE), 3 * MIB + 64 * KIB, "a hole at the end")
        fails(errno.ENXIO, os.lseek, fd, 3 * MIB + 64 * KIB, os.SEEK_DATA)
        fails(errno.ENXIO, os.lseek, fd, 4 * MIB, os.SEEK_DATA)
        fails(errno.ENXIO, os.lseek, fd, 4 * MIB, os.SEEK_HOLE)
    make("full", pattern(100_000))
    fd = os.open("full", os.O_RDONLY)
    equal(os.lseek(fd, 0, os.SEEK_HOLE), 100_000, "the hole behind a full file")


@check
def allocating():
    for name in both_layouts("file", pattern(10_000)):
        fd = os.open(name, os.O_RDWR)
        fallocate(fd, 0, 0, 50_000)
        equal((os.fstat(fd).st_size, os.pread(fd, 50_000, 0)), (50_000, pattern(10_000) + bytes(40_000)), "extended")
        fallocate(fd, FALLOC_KEEP_SIZE, 0, MIB)
        equal(os.fstat(fd).st_size, 50_000, "size under KEEP_SIZE")
        fallocate(fd, 0, 0, 100)
        equal(os.fstat(fd).st_size, 50_000, "size after allocating inside")
        os.posix_fallocate(fd, 60_000, 1)
        equal(os.fstat(fd).st_size, 60_001, "size after posix_fallocate")
        equal(content(name)[:10_000], pattern(10_000), "content")


@check
def allocation_takes_space():
    fd = os.open("file", os.O_CREAT | os.O_RDWR)
    fallocate(fd, FALLOC_KEEP_SIZE, 0, 4 * MIB)
    equal(os.fstat(fd).st_size, 0, "size")
    true(os.fstat(fd).st_blocks * 512 >= 4 * MIB, f"blocks: {os.fstat(fd).st_blocks}")


@check
def punching():
    for name in both_layouts("file", pattern(MIB)):
        expected = bytearray(pattern(MIB))
        fd = os.open(name, os.O_RDWR)
        for at, length in ((4096, 8192), (100_001, 50_001), (0, 1), (MIB - 10, 4096)):
            fallocate(fd, PUNCH, at, length)
            expected[at : at + length] = bytes(len(expected[at : at + length]))
        equal(os.fstat(fd).st_size, MIB, "size")
        equal(os.pread(fd, MIB, 0) == bytes(expected), True, f"content of {name}")
        fallocate(fd, PUNCH, 2 * MIB, MIB)
        equal(os.fstat(fd).st_size, MIB, "size after punching behind the end")
        fallocate(fd, PUNCH, 0, MIB)
        os.fsync(fd)
        true(os.fstat(fd).st_blocks < 256, f"blocks of a file punched whole: {os.fstat(fd).st_blocks}")
        fails((errno.EOPNOTSUPP, errno.EINVAL), fallocate, fd, FALLOC_PUNCH_HOLE, 0, 4096)


@check
def zeroing():
    for name in both_layouts("file", pattern(200_000)):
        expected = bytearray(pattern(200_000))
        fd = os.open(name, os.O_RDWR)
        fallocate(fd, FALLOC_ZERO_RANGE, 5000, 100_000)
        expected[5000:105_000] = bytes(100_000)
        equal(os.pread(fd, 300_000, 0) == bytes(expected), True, "content")
        fallocate(fd, FALLOC_ZERO_RANGE | FALLOC_KEEP_SIZE, 199_000, 10_000)
        expected[199_000:] = bytes(1000)
        equal(os.pread(fd, 300_000, 0) == bytes(expected), True, "content under KEEP_SIZE")
        fallocate(fd, FALLOC_ZERO_RANGE, 199_000, 10_000)
        equal(os.fstat(fd).st_size, 209_000, "size when zeroing over the end")


@check
def allocation_errors():
    make("file", b"x")
    reader, writer = os.open("file", os.O_RDONLY), os.open("file", os.O_RDWR)
    fails(errno.EBADF, fallocate, reader, 0, 0, 10)
    fails(errno.EINVAL, fallocate, writer, 0, 0, 0)
    fails(errno.EINVAL, fallocate, writer, 0, -1, 10)
    fails(errno.EFBIG, fallocate, writer, 0, (1 << 63) - 10, 9)
    fails((errno.EOPNOTSUPP, errno.EINVAL), fallocate, writer, 0x80, 0, 10)
    os.mkfifo("fifo")
    fails((errno.ESPIPE, errno.ENODEV), fallocate, os.open("fifo", os.O_RDWR), 0, 0, 10)
    equal(os.stat("file").st_size, 1, "size after refusals")


@check
def copying_ranges():
    data = pattern(3 * MIB + 123)
    for index, name in enumerate(list(both_layouts("source", data))):
        source = os.open(name, os.O_RDONLY)
        target = os.open(f"whole-{index}", os.O_CREAT | os.O_RDWR)
        copied = 0
        while step := os.copy_file_range(source, target, len(data)):
            copied += step
        equal((copied, content(f"whole-{index}") == data), (len(data), True), "a whole copy")
        part = os.open(f"part-{index}", os.O_CREAT | os.O_RDWR)
        os.write(part, b"#" * 1000)
        equal(os.copy_file_range(source, part, 70_001, 12_345, 501), 70_001, "bytes of a cut copy")
        equal(content(f"part-{index}") == b"#" * 501 + data[12_345:82_346], True, "a cut copy")
        equal(os.copy_file_range(source, part, 100, len(data), 0), 0, "bytes copied at the end")
        equal(os.copy_file_range(source, part, 1000, len(data) - 10, 0), 10, "bytes copied up to the end")
        fails(errno.EBADF, os.copy_file_range, part, source, 10)
        os.close(target)
        packed(f"whole-{index}")
        os.unlink(name)
        equal(content(f"whole-{index}") == data, True, "the copy without its source")


@check
def copying_within_a_file():
    for name in both_layouts("file", pattern(300_000)):
        fd = os.open(name, os.O_RDWR)
        equal(os.copy_file_range(fd, fd, 100_000, 0, 200_000), 100_000, "bytes")
        equal(content(name) == pattern(300_000)[:200_000] + pattern(100_000), True, "content")
        fails(errno.EINVAL, os.copy_file_range, fd, fd, 1000, 0, 500)


@check
def copies_do_not_share_changes():
    make("source", pattern(500_000))
    packed("source")
    source = os.open("source", os.O_RDWR)
    target = os.open("target", os.O_CREAT | os.O_WRONLY)
    while os.copy_file_range(source, target, 500_000):
        pass
    os.close(target)
    packed("target")
    os.pwrite(source, b"changed", 1000)
    equal(content("target") == pattern(500_000), True, "the copy after its source was changed")
    with open("target", "r+b") as stream:
        stream.write(b"other")
    expected = bytearray(pattern(500_000))
    expected[1000:1007] = b"changed"
    equal(content("source") == bytes(expected), True, "the source after its copy was changed")


@check
def sending_and_splicing():
    data = pattern(400_000)
    for index, name in enumerate(list(both_layouts("file", data))):
        out = os.open(f"sent-{index}", os.O_CREAT | os.O_RDWR)
        source, sent = os.open(name, os.O_RDONLY), 0
        while step := os.sendfile(out, source, sent, len(data)):
            sent += step
        equal(content(f"sent-{index}") == data, True, "sendfile")
        reader, writer = os.pipe()
        spliced = os.open(f"spliced-{index}", os.O_CREAT | os.O_RDWR)
        libc.splice.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_uint]
        os.lseek(source, 0, os.SEEK_SET)
        while moved := call("splice", source, None, writer, None, 65_536, 0):
            while moved > 0:
                moved -= call("splice", reader, None, spliced, None, moved, 0)
        equal(content(f"spliced-{index}") == data, True, "splice through a pipe")


@check
def shared_mappings():
    for name in both_layouts("file", pattern(200_000)):
        fd = os.open(name, os.O_RDWR)
        memory = mmap.mmap(fd, 200_000)
        equal(memory[:] == pattern(200_000), True, f"what a mapping of {name} shows")
        memory[50_000:50_005] = b"store"
        equal(os.pread(fd, 5, 50_000), b"store", "a store seen by read")
        os.pwrite(fd, b"write", 60_000)
        equal(memory[60_000:60_005], b"write", "a write seen by the mapping")
        seen = in_child(lambda: mmap.mmap(os.open(name, os.O_RDONLY), 200_000, prot=mmap.PROT_READ)[50_000:50_005])
        equal(seen, b"store", "a store seen by another process's mapping")
        memory.flush()
        memory[10:13] = b"end"
        os.close(fd)
        memory.close()
        expected = bytearray(pattern(200_000))
        expected[50_000:50_005], expected[60_000:60_005], expected[10:13] = b"store", b"write", b"end"
        equal(content(name) == bytes(expected), True, "content after unmapping")
        packed(name)
        equal(content(name) == bytes(expected), True, "content after packing")


@check
def stores_after_close():
    make("file", pattern(100_000))
    packed("file")
    fd = os.open("file", os.O_RDWR)
    memory = mmap.mmap(fd, 100_000)
    os.close(fd)
    memory[70_000:70_004] = b"late"
    memory.flush()
    equal(content("file")[70_000:70_004], b"late", "a store through a mapping whose handle is closed")
    memory[80_000:80_004] = b"last"
    memory.close()
    packed("file")
    equal((content("file")[70_000:70_004], content("file")[80_000:80_004]), (b"late", b"last"), "after packing")


@check
def private_mappings():
    for name in both_layouts("file", pattern(50_000)):
        fd = os.open(name, os.O_RDONLY)
        memory = mmap.mmap(fd, 50_000, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_WRITE)
        memory[0:7] = b"private"
        equal((memory[0:7], content(name) == pattern(50_000)), (b"private", True), "a private store")
        fails(errno.EACCES, mmap.mmap, fd, 50_000)


@check
def mapping_behind_the_end():
    make("file", b"short")
    fd = os.open("file", os.O_RDWR)

    def touch():
        memory = mmap.mmap(-1, 1)
        del memory
        address = libc.mmap(None, 8192, mmap.PROT_READ, mmap.MAP_SHARED, fd, 0)
        equal(ctypes.string_at(address, 10), b"short" + bytes(5), "zeros up to the page's end")
        return ctypes.string_at(address + 4096, 1)

    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_int64]
    libc.mmap.restype = ctypes.c_void_p
    try:
        in_child(touch)
        true(False, "touching a page behind the end raises SIGBUS")
    except ChildEnded as ended:
        equal(ended.signal, signal.SIGBUS, "signal")


@check
def truncating_under_a_mapping():
    make("file", pattern(100_000))
    fd = os.open("file", os.O_RDWR)
    memory = mmap.mmap(fd, 100_000)
    os.ftruncate(fd, 5000)
    os.ftruncate(fd, 100_000)
    equal(memory[:] == pattern(5000) + bytes(95_000), True, "the mapping after truncating down and up")


@check
def advice_and_read_ahead():
    for name in both_layouts("file", pattern(300_000)):
        fd = os.open(name, os.O_RDWR)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_WILLNEED)
        os.pwrite(fd, b"new", 0)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        equal(os.pread(fd, 3, 0), b"new", "after advice")
        libc.readahead.argtypes = [ctypes.c_int, ctypes.c_int64, ctypes.c_size_t]
        call("readahead", fd, 0, 300_000)
        os.close(fd)
        packed(name)
        equal(content(name) == b"new" + pattern(300_000)[3:], True, "content after read-ahead and packing")


@check
def whole_system_sync():
    fd = os.open("file", os.O_CREAT | os.O_RDWR)
    os.write(fd, pattern(100_000))
    call("syncfs", fd)
    os.sync()
    os.fsync(os.open(".", os.O_RDONLY))
    equal(content("file") == pattern(100_000), True, "content")


@check
def inode_flags_and_unknown_ioctls():
    make("file")
    fd = os.open("file", os.O_RDWR)
    fails((errno.ENOTTY, errno.EOPNOTSUPP), fcntl.ioctl, fd, 0x12345678, b"\0" * 8)


@check
def space():
    found = os.statvfs(".")
    equal(found.f_namemax, 255, "longest name")
    true(found.f_bsize >= 512 and found.f_frsize >= 512, "block sizes")
    true(0 < found.f_bavail <= found.f_bfree < found.f_blocks, f"blocks: {found}")
    # Both may be 0: some filesystems have no table of inodes that could be full.
    true(found.f_files >= found.f_ffree >= 0, f"inodes: {found}")
    make("file", pattern(100))
    os.truncate("file", 8 * MIB)
    true(os.stat("file").st_blksize >= 4096, "preferred block size")


@check
def large_files_stay_whole():
    data = pattern(MIB)
    fd = os.open("large", os.O_CREAT | os.O_RDWR)
    for number in range(24):
        os.pwrite(fd, data[number:] + data[:number], number * MIB)
    os.close(fd)
    packed()
    fd = os.open("large", os.O_RDWR)
    for number in range(24):
        equal(os.pread(fd, MIB, number * MIB) == data[number:] + data[:number], True, f"MiB {number}")
    os.pwrite(fd, b"change", 10 * MIB)
    equal(os.pread(fd, 6, 10 * MIB), b"change", "a change")


main()
