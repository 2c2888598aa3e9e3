/**
 * Checks a store, repairs it if that is wanted, and checks again until nothing is left that a repair could change. Only
 * the first check reads the contents: no repair touches them.
 */
import { DataStore } from '../../aggregate/store.ts';
import { isErrno } from '../../base/errno.ts';
import type { VolumeRow } from '../../base/layout.ts';
import { silentLog } from '../../base/log.ts';
import { PosixBacking } from '../../base/posix_backing.ts';
import { SystemClock } from '../../base/time.ts';
import { NamespaceStore } from '../../shard/store.ts';
import { Failure } from '../failure.ts';
import { metaFolder } from '../store_paths.ts';
import { check } from './check.ts';
import { CheckContext } from './context.ts';
import { Findings, type Listener } from './findings.ts';
import type { Kind } from './kinds.ts';
import type { Progress } from './progress.ts';
import { Repairer } from './repairer.ts';

/** A repair may bring to light what another one needs; that ends, and is made to end. */
const ROUNDS_MAX = 12;

export interface FsckJob {
  readonly store: string;
  readonly storeId: string;
  readonly volumes: readonly VolumeRow[];
  readonly wasClean: boolean;
  readonly repair: boolean;
  readonly contents: boolean;
  readonly progress: Progress;
  /** Told of what the first check finds, and of what is left after the last one. */
  readonly onFound: Listener;
  readonly onLeft: Listener;
}

export interface FsckOutcome {
  readonly found: ReadonlyMap<Kind, number>;
  readonly left: ReadonlyMap<Kind, number>;
  readonly damageFound: number;
  readonly damageLeft: number;
  readonly checked: { readonly inodes: number; readonly aggregates: number; readonly ownFiles: number };
}

/** Throws what opening the stores throws: `StoreError`, or a `Failure`. */
export function runFsck(job: FsckJob): FsckOutcome {
  const first = runRound(job, { contents: job.contents, listener: job.onFound });
  const damageFound = first.findings.total('damage');
  if (first.repaired === 0) {
    const { counts } = first.findings;
    return { found: counts, left: counts, damageFound, damageLeft: damageFound, checked: first.checked };
  }
  const contents = [...first.findings.counts].filter(
    ([kind]) => kind === 'bad-data-checksum' || kind === 'unreadable-data',
  );
  for (let round = 2; ; round++) {
    const left: Parameters<Listener>[] = [];
    const next = runRound(job, { contents: false, listener: (...told) => left.push(told) });
    if (next.repaired > 0 && round < ROUNDS_MAX) continue;
    for (const told of left) job.onLeft(...told);
    const counts = new Map([...next.findings.counts, ...contents]);
    const damageLeft = next.findings.total('damage') + contents.reduce((sum, [, count]) => sum + count, 0);
    return { found: first.findings.counts, left: counts, damageFound, damageLeft, checked: next.checked };
  }
}

function runRound(job: FsckJob, options: { readonly contents: boolean; readonly listener: Listener }) {
  const clock = new SystemClock();
  const namespace = NamespaceStore.open(metaFolder(job.store), { log: silentLog, clock, readOnly: !job.repair });
  try {
    const data = openData(job, namespace);
    try {
      const findings = new Findings(options.listener);
      const { volumes, wasClean, progress } = job;
      const ctx = new CheckContext({ namespace, data, volumes, wasClean, findings, progress });
      check(ctx, options);
      const repaired = job.repair ? repairAll(ctx, clock) : 0;
      const checked = { inodes: ctx.inodes.count, aggregates: ctx.aggregates.size, ownFiles: ctx.ownFiles.length };
      return { findings, repaired, checked };
    } finally {
      data.close();
    }
  } finally {
    namespace.close();
  }
}

/** How many repairs were made; none in databases that SQLite itself holds to be damaged. */
function repairAll(ctx: CheckContext, clock: SystemClock): number {
  const { repairs, counts } = ctx.findings;
  if (repairs.length === 0 || counts.has('damaged-database')) return 0;
  const repairer = new Repairer(ctx, clock.now());
  ctx.progress.begin('repairs', repairs.length);
  for (const repair of repairs) {
    repair(repairer);
    ctx.progress.advance(1);
  }
  ctx.progress.end();
  repairer.flush();
  ctx.namespace.checkpoint();
  return repairs.length;
}

function openData(job: FsckJob, namespace: NamespaceStore): DataStore {
  if (namespace.storeId !== job.storeId)
    throw new Failure(
      `Cannot check ${job.store}: its metadata are of store ${namespace.storeId}, expected ${job.storeId}`,
    );
  const data = DataStore.open({
    backing: new PosixBacking(),
    storeId: job.storeId,
    start: namespace.generation,
    volumes: job.volumes,
    aggregates: namespace.aggregates(),
    options: { readOnly: true },
    log: silentLog,
  });
  if (isErrno(data)) throw new Failure(`Cannot open the volumes of ${job.store}: ${data.name}`);
  return data;
}
