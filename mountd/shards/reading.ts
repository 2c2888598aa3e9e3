/**
 * A store's shards for commands that only look: beside a daemon what it has committed, else what the next mount will find,
 * with the store's lock held.
 */
import { statSync } from 'node:fs';
import { bootId } from '../../base/boot.ts';
import { silentLog } from '../../base/log.ts';
import { SystemClock } from '../../base/time.ts';
import { StoreDatabases } from '../../shard/databases.ts';
import { shardPath } from '../../shard/format.ts';
import { NamespaceStore } from '../../shard/store.ts';
import { readConfig } from '../config.ts';
import { Failure } from '../failure.ts';
import { askLive, daemonOf } from '../live_daemon.ts';
import { isLocked, readLockRecord, StoreLock } from '../lock.ts';
import { metaFolder } from '../store_paths.ts';
import { resolveTarget } from '../target.ts';
import { type ShardsStatus, shardsStatus } from './status.ts';

const ASK_TIMEOUT_MS = 30_000;

export interface LookAt {
  readonly store: string;
  readonly isMounted: boolean;
  readonly status: ShardsStatus;
  /** The databases, open for reading. */
  readonly databases: StoreDatabases;
}

export function isMounted(store: string): boolean {
  return isLocked(store) && readLockRecord(store)?.purpose === 'mount';
}

/** `act` gets the shards of a target; everything is closed when it has ended. */
export async function lookAtShards<T>(target: string, act: (at: LookAt) => T | Promise<T>): Promise<T> {
  const { store } = resolveTarget(target);
  readConfig(store);
  const mounted = isMounted(store);
  const lock = mounted ? undefined : StoreLock.acquire(store, { purpose: 'shard' });
  try {
    const status = mounted ? await askShards(target) : readStatus(store);
    const now = new SystemClock().now();
    const databases = StoreDatabases.open(metaFolder(store), { now, readOnly: true, allowMissing: true });
    try {
      return await act({ store, isMounted: mounted, status, databases });
    } finally {
      databases.close();
    }
  } finally {
    lock?.releaseUnchanged();
  }
}

export async function askShards(target: string): Promise<ShardsStatus> {
  const call = { method: 'GET', path: '/shards', timeoutMs: ASK_TIMEOUT_MS } as const;
  return (await askLive(daemonOf(target), call)) as ShardsStatus;
}

function readStatus(store: string): ShardsStatus {
  const options = { log: silentLog, clock: new SystemClock(), bootId: bootId(), readOnly: true, allowMissing: true };
  const namespace = NamespaceStore.open(metaFolder(store), options);
  try {
    return shardsStatus(namespace);
  } finally {
    namespace.close();
  }
}

/** Bytes of a shard's database, and of its log. */
export function bytesOf(store: string, shard: number): { readonly bytes: number; readonly logBytes: number } {
  const path = shardPath(metaFolder(store), shard);
  const size = (name: string) => statSync(name, { throwIfNoEntry: false })?.size ?? 0;
  return { bytes: size(path), logBytes: size(`${path}-wal`) };
}

/** A number on the command line. */
export function wholeNumber(
  text: string,
  of: { readonly what: string; readonly from: number; readonly to: number },
): number {
  const { what, from, to } = of;
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= from && value <= to) return value;
  throw new Failure(`Cannot use ${what} '${text}': expected a number from ${from} to ${to}`, 2);
}
