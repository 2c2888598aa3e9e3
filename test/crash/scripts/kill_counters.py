"""Counters that the clients of one run share with the process that started them, and the times of slow calls."""

import mmap
import time

OPERATIONS = 0
CHECKS = 1
PUBLISH_BEGUN = 2
PUBLISHED = 3
RETIRE_BEGUN = 4
RETIRED = 5
FIELDS = 6
STOP = 8
# Calls shorter than this are not worth a note.
SLOW_NS = 20_000_000


class Board:
    """One row of counters a client, and one flag for all."""

    def __init__(self, clients):
        self.clients = clients
        self.memory = mmap.mmap(-1, STOP + clients * FIELDS * 8)
        # Stored and read as one word. struct.pack_into fills its place with zeros first: a writer that is put off just then
        # would show all the others a 0, for as long as it does not run.
        self.words = memoryview(self.memory).cast("q")

    def get(self, client, field):
        return self.words[STOP // 8 + client * FIELDS + field]

    def set(self, client, field, value):
        self.words[STOP // 8 + client * FIELDS + field] = value

    def add(self, client, field, value=1):
        self.set(client, field, self.get(client, field) + value)

    @property
    def stopped(self):
        return self.memory[0] != 0

    def stop(self):
        self.memory[0] = 1


class Watch:
    """Times calls: of the slow ones start and length are kept, as CLOCK_MONOTONIC nanoseconds."""

    def __init__(self):
        self.slow = []
        self.durations = []

    def call(self, function, *args, **options):
        start = time.monotonic_ns()
        try:
            return function(*args, **options)
        finally:
            length = time.monotonic_ns() - start
            if length > SLOW_NS:
                self.slow.append((start, length))
