"""The clients of a run in which the filesystem's processes are killed.

    python3 -B kill_clients.py run OPTIONS-JSON       (in the mount point)
    python3 -B kill_clients.py verify OPTIONS-JSON

`run` forks writers and readers. It prints a line of JSON for every wrong answer when it comes, takes lines from standard
input (`counts`: prints operations so far, by client; `stop`: has all clients check all that they know, and ends) and
prints at the end {"done": ...} with what each client did and its slow calls. With `ends` an error of the filesystem ends
a client without a complaint: what it was promised is kept in the state folder. `verify` holds that against a new mount,
and prints {"verified": count, "wrong": [...]}.
"""

import json
import os
import signal
import sys
import threading
import time
import traceback

from kill_counters import CHECKS, OPERATIONS, Board
from kill_model import Wrong
from kill_reader import Reader
from kill_writer import PUBLIC, Writer

END_SECONDS = 120


def say(**message):
    os.write(1, (json.dumps(message) + "\n").encode())


def serve(client, options):
    """The life of one client; its exit code says whether all answers were right."""
    code = 0
    try:
        try:
            client.run()
        except OSError as error:
            if not client.ends:
                raise Wrong(f"{error.strerror} ({error.errno}) {error.filename or ''}") from error
    except Exception as error:  # noqa: BLE001
        where = "" if isinstance(error, Wrong) else traceback.format_exc()
        say(client=client.index, doing=client.doing, error=f"{error}{where}", at=time.monotonic_ns())
        code = 1
    client.save()
    slow = {"done": client.done, "slow": client.watch.slow, "state": options["state"]}
    with open(os.path.join(options["state"], f"report{client.index}.json"), "w") as report:
        json.dump(slow, report)
    return code


def start(options, board):
    pids = {}
    clients = [Writer(index, options, board) for index in range(options["writers"])]
    for writer in clients:
        writer.show_public()
    clients += [Reader(options["writers"] + index, options, board) for index in range(options["readers"])]
    for client in clients:
        pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            code = 2
            try:
                code = serve(client, options)
            finally:
                os._exit(code)
        pids[pid] = client.index
    return pids


def follow_input(board):
    for line in sys.stdin:
        if line.strip() == "counts":
            say(counts=[board.get(client, OPERATIONS) for client in range(board.clients)])
        elif line.strip() == "stop":
            board.stop()
    board.stop()


def run(options):
    os.makedirs(options["state"], exist_ok=True)
    os.makedirs(PUBLIC, exist_ok=True)
    board = Board(options["writers"] + options["readers"])
    pids = start(options, board)
    threading.Thread(target=follow_input, args=[board], daemon=True).start()
    codes = {}
    while pids:
        pid, status = os.waitpid(-1, 0)
        if pid not in pids:
            continue
        index = pids.pop(pid)
        codes[index] = os.waitstatus_to_exitcode(status)
        if codes[index] not in (0, 1):
            say(client=index, doing="?", error=f"the process ended with {codes[index]}", at=time.monotonic_ns())
    reports = []
    for index in range(board.clients):
        try:
            with open(os.path.join(options["state"], f"report{index}.json")) as report:
                reports.append({"client": index, **json.load(report)})
        except OSError:
            reports.append({"client": index, "done": {}, "slow": []})
    totals = {"operations": OPERATIONS, "checks": CHECKS}
    sums = {name: sum(board.get(c, field) for c in range(board.clients)) for name, field in totals.items()}
    say(done={"codes": codes, **sums, "reports": reports})


def verify(options):
    wrong = []
    verified = 0
    board = Board(options["writers"] + options["readers"])
    for index in range(options["writers"]):
        writer = Writer(index, options, board)
        if not os.path.exists(writer.state):
            continue
        try:
            writer.model.check_all()
            writer.check_public()
            writer.save()
        except (Wrong, OSError) as error:
            wrong.append(f"writer {index}: {error}")
        verified += writer.model.checked
        writer.model.checked = 0
    say(verified=verified, wrong=wrong)


if __name__ == "__main__":
    {"run": run, "verify": verify}[sys.argv[1]](json.loads(sys.argv[2]))
