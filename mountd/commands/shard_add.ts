/** `pacsfs shard add`: more databases for a store, and its slots evenly over all of them. */
import { setTimeout as sleep } from 'node:timers/promises';
import { DataStore } from '../../aggregate/store.ts';
import { flushTarget } from '../../base/backing.ts';
import { bootId } from '../../base/boot.ts';
import { E, errnoOf, isErrno } from '../../base/errno.ts';
import { type Log, silentLog } from '../../base/log.ts';
import { PosixBacking } from '../../base/posix_backing.ts';
import { SystemClock } from '../../base/time.ts';
import { moveAll } from '../../shard/slot_moves.ts';
import { NamespaceStore } from '../../shard/store.ts';
import { holdsOn } from '../claims.ts';
import { readConfig, volumeRows } from '../config.ts';
import { errnoReason, Failure, failureOf } from '../failure.ts';
import { askLive, daemonOf } from '../live_daemon.ts';
import { StoreLock } from '../lock.ts';
import { print, printJson, remark } from '../output.ts';
import { checkCount, refusal } from '../shards/add_live.ts';
import { Bar } from '../shards/bar.ts';
import { askShards, isMounted, wholeNumber } from '../shards/reading.ts';
import { renderSpread, spreadOf } from '../shards/spread.ts';
import { type ShardsStatus, shardsStatus } from '../shards/status.ts';
import { metaFolder } from '../store_paths.ts';
import { resolveTarget } from '../target.ts';
import { VOLUME_KINDS } from '../volume_kinds.ts';
import { describeMoves } from './shard_list.ts';

export interface ShardAddOptions {
  /** How many; 0: only what is under way goes on. */
  readonly count?: string;
  readonly wait?: boolean;
  readonly json?: boolean;
}

const ADD_TIMEOUT_MS = 120_000;
const LOOK_MS = 500;

export async function addShards(target: string, options: ShardAddOptions): Promise<void> {
  const { store } = resolveTarget(target);
  const count = wholeNumber(options.count ?? '1', { what: '--count', from: 0, to: 255 });
  const bar = new Bar('moving slots');
  try {
    const mounted = isMounted(store);
    const status = mounted ? await addLive(target, { ...options, count, bar }) : addHere(store, count, bar);
    bar.end();
    show(store, status, options);
  } catch (thrown) {
    throw failureOf(`add shards to ${store}`, thrown);
  } finally {
    bar.end();
  }
}

/** The daemon does it, and goes on with it when this command has ended. */
async function addLive(
  target: string,
  { count, wait, bar }: { readonly count: number; readonly wait?: boolean; readonly bar: Bar },
): Promise<ShardsStatus> {
  // Not asked again over a restart of the daemon: it might be done twice.
  const daemon = daemonOf(target);
  if (count > 0) {
    const before = (await askShards(target)).shards.length;
    try {
      const { askDaemon } = await import('../admin_client.ts');
      const call = { method: 'POST', path: '/shards', body: { count }, timeoutMs: ADD_TIMEOUT_MS } as const;
      await askDaemon(daemon.adminSocket, call);
    } catch (thrown) {
      const found = await askShards(target);
      // It has died of something else, and what it had recorded counts.
      if (found.shards.length !== before + count) throw thrown;
    }
  }
  let status = await askShards(target);
  const total = status.moves.toMove;
  while (wait === true && !isDone(status)) {
    bar.draw(total - status.moves.toMove, total);
    await sleep(LOOK_MS);
    status = (await askLive(daemon, { method: 'GET', path: '/shards', timeoutMs: ADD_TIMEOUT_MS })) as ShardsStatus;
    if (status.moves.failed > 0 && status.moves.toMove <= status.moves.failed) break;
  }
  return status;
}

function isDone({ moves }: ShardsStatus): boolean {
  return moves.toMove === 0 && moves.removing === 0;
}

function addHere(store: string, count: number, bar: Bar): ShardsStatus {
  const config = readConfig(store);
  const lock = StoreLock.acquire(store, { purpose: 'shard' });
  try {
    const namespace = NamespaceStore.open(metaFolder(store), {
      log: remarks,
      clock: new SystemClock(),
      bootId: bootId(),
      holds: holdsOn(store, config),
      walLimit: config.options.walLimit,
    });
    try {
      if (namespace.broken !== undefined) throw new Failure(`the store is broken: run \`pacsfs fsck --repair\` first`);
      flushWhatRecordsName(store, namespace);
      const before = namespace.shardCount;
      checkCount(before, count);
      const added = count === 0 ? undefined : namespace.addShards(count);
      if (isErrno(added)) throw new Failure(refusal(store, before, added));
      moveHere(store, namespace, bar);
      return shardsStatus(namespace);
    } finally {
      namespace.close();
    }
  } finally {
    lock.releaseUnchanged();
  }
}

function moveHere(store: string, namespace: NamespaceStore, bar: Bar): void {
  const total = namespace.moves.status().toMove;
  const done = moveAll(namespace.moves, {
    barrier: () => namespace.barrier(),
    onStep: (moved) => bar.show(moved, total),
  });
  if (done === E.ENOSPC)
    throw new Failure(
      `Cannot move the slots of ${store}: the metadata disk is full; free some space there and try again`,
    );
  if (isErrno(done)) throw new Failure(`Cannot move the slots of ${store}: ${errnoReason(done)}`);
  namespace.checkpoint();
}

/** Before the first barrier: a killed daemon may have left bytes that only the host's memory has. */
function flushWhatRecordsName(store: string, namespace: NamespaceStore): void {
  const config = readConfig(store);
  const backing = new PosixBacking();
  if (namespace.storeId !== config.storeId)
    throw new Failure(`its metadata are of store ${namespace.storeId}, expected ${config.storeId}`);
  const data = DataStore.open({
    backing,
    kinds: VOLUME_KINDS,
    storeId: config.storeId,
    start: namespace.start,
    volumes: volumeRows(config, store),
    aggregates: namespace.aggregates(),
    options: { readOnly: true },
    log: silentLog,
  });
  if (isErrno(data)) throw new Failure(`Cannot open the volumes of ${store}: ${errnoReason(data)}`);
  try {
    data.mustFlush(namespace.recovered.aggregates);
    for (const target of data.takeFlush().targets) {
      const outcome = flushTarget(backing, target);
      if (outcome < 0 && outcome !== -E.ENOENT.number)
        throw new Failure(`Cannot flush ${target.path}: ${errnoOf(-outcome).name}`);
    }
  } finally {
    data.close();
  }
}

/** What goes wrong with one slot is said, and the others go on. */
const remarks: Log = {
  ...{ warn: () => {}, info: () => {}, debug: () => {} },
  error: (fields, message) => remark(`${message} ${JSON.stringify(fields)}`),
};

function show(store: string, status: ShardsStatus, options: ShardAddOptions): void {
  const slots = spreadOf(status.shards.map((line) => line.slots));
  if (options.json === true) {
    printJson({ store, shards: status.shards.length, moves: status.moves, spread: { slots } });
    return;
  }
  print(`${store} has ${status.shards.length} shards`);
  print(renderSpread('slots', slots));
  print(describeMoves(status));
}
