/**
 * The store lock: who holds flock(2) on STORE/meta/lock may write the store. The file says in JSON who that is, so that
 * others can tell people, and find the daemon's admin socket. flock ends with its holder, but does not reach over every
 * filesystem. So a record that was never released is taken over only when it is stale for sure: it names this host, and
 * either another boot of it or a process that is gone. Everything else takes --force, by somebody who has looked.
 */
import {
  closeSync,
  constants,
  fsyncSync,
  ftruncateSync,
  openSync,
  readdirSync,
  readFileSync,
  realpathSync,
  writeSync,
} from 'node:fs';
import { hostname } from 'node:os';
import { bootId } from '../base/boot.ts';
import { E, errnoFromThrown, errnoOf } from '../base/errno.ts';
import { flock, LOCK_EX, LOCK_NB } from '../base/libc.ts';
import { Failure, failureOf } from './failure.ts';
import { pacsfsMounts } from './mount_table.ts';
import { lockPath } from './store_paths.ts';

export interface LockRecord {
  /** 'free' once released in an orderly way: then `outcome` says how the last holder ended. */
  readonly state: 'held' | 'free';
  readonly host: string;
  readonly bootId: string;
  /** What the holder does: 'mount', 'fsck', 'load', ... */
  readonly purpose: string;
  readonly supervisorPid: number;
  /** When that process began, in clock ticks since boot: numbers of processes are used again. */
  readonly startTicks?: number;
  readonly daemonPid?: number;
  readonly mountPoint?: string;
  readonly adminSocket?: string;
  readonly binding?: string;
  /** Daemons of this mount that died, what goes on because of the last one, and how it ended. */
  readonly restarts?: number;
  readonly health?: 'restarting' | 'failed' | undefined;
  readonly reason?: string;
  /** Exit code of the last holder and its reason when not 0. */
  readonly outcome?: { readonly code: number; readonly reason?: string };
}

export interface LockOptions {
  readonly purpose: string;
  /** Take over a record that may not be stale. Undefined for commands that have no --force, so that none is told of it. */
  readonly force?: boolean;
  /** Who and where we are; tests hand in others. */
  readonly identity?: MachineIdentity;
}

export interface MachineIdentity {
  readonly host: string;
  readonly bootId: string;
}

/** Others look whether a lock is free by taking it for an instant: that must not refuse a mount. */
const ATTEMPTS = 10;
const ATTEMPT_PAUSE_MS = 20;
const RECORD_BYTES = 1023;

export class StoreLock {
  /** For handing down to the daemon: the lock is free only when all who hold this open file are gone. */
  readonly fd: number;
  /** What the file said before: how the last holder ended. */
  readonly found: LockRecord | undefined;
  readonly #store: string;
  #record: LockRecord;

  private constructor(fd: number, store: string, records: { found: LockRecord | undefined; record: LockRecord }) {
    this.fd = fd;
    this.found = records.found;
    this.#store = store;
    this.#record = records.record;
  }

  /** Throws a Failure that says who has it. */
  static acquire(store: string, options: LockOptions): StoreLock {
    const identity = options.identity ?? machineIdentity();
    const fd = openLockFile(store);
    try {
      takeLock(fd, store);
      const left = readLockRecord(store);
      if (left !== undefined && options.force !== true) refuseUnlessStale(store, left, { ...options, identity });
      if (left === undefined && options.force !== true) refuseMounted(store);
      // Who is no mount carries on how the last one ended, in case it never comes to put the record back.
      const outcome = options.purpose !== 'mount' && left?.outcome !== undefined ? { outcome: left.outcome } : {};
      const lock = new StoreLock(fd, store, {
        found: left,
        record: {
          ...identity,
          state: 'held',
          purpose: options.purpose,
          supervisorPid: process.pid,
          startTicks: startTicks(process.pid) ?? -1,
          ...outcome,
        },
      });
      lock.update({});
      return lock;
    } catch (error) {
      closeSync(fd);
      throw error;
    }
  }

  get record(): LockRecord {
    return this.#record;
  }

  /** Adds to the record what is known by now, and makes it durable, unless it means nothing after a reboot. */
  update(changes: Partial<LockRecord>, { durable = true }: { readonly durable?: boolean } = {}): void {
    this.#record = { ...this.#record, ...changes };
    // One write over what was there, so that a reader never finds the file empty; blanks cover a longer predecessor.
    const bytes = Buffer.from(`${JSON.stringify(this.#record).padEnd(RECORD_BYTES)}\n`);
    try {
      writeSync(this.fd, bytes, 0, bytes.length, 0);
      ftruncateSync(this.fd, bytes.length);
      if (durable) fsyncSync(this.fd);
    } catch (error) {
      throw failureOf(`write ${lockPath(this.#store)}`, error);
    }
  }

  /** Gives the lock back and leaves a record of how it ended. A full disk does not stop it: closing is what counts. */
  release(outcome: { code: number; reason?: string }): void {
    const { host, bootId, purpose, supervisorPid } = this.#record;
    this.#record = { host, bootId, purpose, supervisorPid, state: 'free', outcome };
    try {
      this.update({});
    } catch {
      // The record stays 'held' by a process that is gone, which on this machine means nothing.
    }
    closeSync(this.fd);
  }

  /** Gives the lock back and leaves what was found, for those who changed nothing. */
  releaseUnchanged(): void {
    try {
      if (this.found !== undefined) {
        this.#record = this.found;
        this.update({});
      } else ftruncateSync(this.fd, 0);
    } catch {
      // As in `release`.
    }
    closeSync(this.fd);
  }
}

/** What the lock file says; undefined when it says nothing readable. Whether anybody holds it, `isLocked` tells. */
export function readLockRecord(store: string): LockRecord | undefined {
  try {
    const record: unknown = JSON.parse(readFileSync(lockPath(store), 'utf8'));
    const isRecord = typeof record === 'object' && record !== null && 'state' in record && 'host' in record;
    return isRecord ? (record as LockRecord) : undefined;
  } catch {
    return undefined;
  }
}

/** Whether somebody on this machine holds the lock; for an instant the look itself does. */
export function isLocked(store: string): boolean {
  let fd: number;
  try {
    fd = openSync(lockPath(store), 'r');
  } catch (error) {
    if (errnoOf(errnoFromThrown(error)) === E.ENOENT) return false;
    throw failureOf(`open ${lockPath(store)}`, error);
  }
  try {
    return flock(fd, LOCK_EX | LOCK_NB) < 0;
  } finally {
    closeSync(fd);
  }
}

export function machineIdentity(): MachineIdentity {
  return { host: hostname(), bootId: bootId() };
}

/** A lock file that says nothing may be a new one, made where that of a mount was deleted. */
function refuseMounted(store: string): void {
  const real = realpathSync(store);
  const there = pacsfsMounts().find((entry) => entry.source === real);
  if (there === undefined) return;
  throw new Failure(
    `Store in use: ${store} is mounted at ${there.mountPoint} and its lock file is lost; \`umount ${there.mountPoint}\` first`,
  );
}

function openLockFile(store: string): number {
  try {
    return openSync(lockPath(store), constants.O_RDWR | constants.O_CREAT, 0o600);
  } catch (error) {
    throw failureOf(`open ${lockPath(store)}`, error);
  }
}

function takeLock(fd: number, store: string): void {
  for (let attempt = 1; ; attempt++) {
    const outcome = flock(fd, LOCK_EX | LOCK_NB);
    if (outcome === 0) return;
    if (outcome !== -E.EAGAIN.number) throw new Failure(`Cannot lock ${lockPath(store)}: errno ${-outcome}`);
    if (attempt === ATTEMPTS) throw new Failure(describeHolder(store, readLockRecord(store)));
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ATTEMPT_PAUSE_MS);
  }
}

function describeHolder(store: string, record: LockRecord | undefined): string {
  if (record === undefined) return `Store in use: another process holds ${lockPath(store)}`;
  if (record.purpose !== 'mount') {
    return `Store in use: ${store} is held by \`pacsfs ${record.purpose}\`, process ${record.supervisorPid}; wait for its end`;
  }
  const where = record.mountPoint ?? 'a place not yet known';
  return `Store in use: ${store} is mounted at ${where} by process ${record.supervisorPid}; \`pacsfs unmount ${where}\` first`;
}

/** Whoever holds the lock of this machine's kernel has been refused before; this is about what flock may not know. */
function refuseUnlessStale(
  store: string,
  left: LockRecord,
  { identity, force }: LockOptions & { readonly identity: MachineIdentity },
): void {
  if (left.state === 'free') return;
  const act = force === undefined ? 'take it over with `pacsfs mount --force`' : 'use --force';
  const what = `Store in use: ${store} was never released by process ${left.supervisorPid} on host '${left.host}'`;
  if (left.host !== identity.host) {
    throw new Failure(`${what}, this is '${identity.host}'; make sure that it is not mounted there, then ${act}`);
  }
  if (left.bootId !== identity.bootId || !isAlive(left)) return;
  throw new Failure(`${what}, which is alive; end it, or ${act} if it has nothing to do with the store`);
}

/** A number without its start proves nothing: it may have been used again. */
function isAlive({ supervisorPid, startTicks: recorded }: LockRecord): boolean {
  return recorded !== undefined && recorded === startTicks(supervisorPid);
}

/** Field 22 of /proc/PID/stat; undefined when there is no such process, or only its exit code is left of it. */
export function startTicks(pid: number): number | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The name before may hold blanks and parentheses.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    // A first thread that has ended looks the same while others go on.
    const isOver = (fields[0] === 'Z' || fields[0] === 'X') && readdirSync(`/proc/${pid}/task`).length <= 1;
    return isOver ? undefined : Number(fields[19]);
  } catch {
    return undefined;
  }
}
