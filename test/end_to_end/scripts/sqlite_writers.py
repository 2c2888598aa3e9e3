"""Four processes write one SQLite database in WAL mode. usage: sqlite_writers.py DATABASE ROWS-EACH"""

import os
import sqlite3
import sys

WRITERS = 4
path, rows = sys.argv[1], int(sys.argv[2])


def connect():
    database = sqlite3.connect(path, timeout=30, isolation_level=None)
    database.execute("PRAGMA synchronous = NORMAL")
    return database


def write(writer):
    database = connect()
    for number in range(rows):
        database.execute("BEGIN IMMEDIATE")
        total = database.execute("SELECT coalesce(max(total), 0) FROM entry").fetchone()[0]
        values = (writer, number, total + 1, os.urandom(500))
        database.execute("INSERT INTO entry (writer, number, total, data) VALUES (?, ?, ?, ?)", values)
        database.execute("COMMIT")
    database.close()


database = connect()
print(database.execute("PRAGMA journal_mode = WAL").fetchone()[0])
database.execute("CREATE TABLE entry (writer INT, number INT, total INT UNIQUE, data BLOB)")
database.execute("CREATE INDEX by_writer ON entry (writer, number)")
database.close()

children = []
for writer in range(WRITERS):
    child = os.fork()
    if child == 0:
        write(writer)
        os._exit(0)
    children.append(child)
failed = sum(os.waitpid(child, 0)[1] != 0 for child in children)
database = connect()
count, top = database.execute("SELECT count(*), max(total) FROM entry").fetchone()
print(failed, count, top, database.execute("PRAGMA integrity_check").fetchone()[0])
