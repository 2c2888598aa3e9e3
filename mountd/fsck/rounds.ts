/**
 * Checks a store, repairs it if that is wanted, and checks again until nothing is left that a repair could change. Only
 * the first check reads the contents: no repair touches them.
 */
import type { Backing } from '../../base/backing.ts';
import { errnoOf } from '../../base/errno.ts';
import type { VolumeRow } from '../../base/layout.ts';
import { PosixBacking } from '../../base/posix_backing.ts';
import { SystemClock } from '../../base/time.ts';
import { removeBroken } from '../../shard/broken.ts';
import type { NamespaceOptions } from '../../shard/store.ts';
import { Failure } from '../failure.ts';
import { metaFolder } from '../store_paths.ts';
import { check } from './check.ts';
import { CheckContext } from './context.ts';
import { Findings, type Listener } from './findings.ts';
import type { Kind } from './kinds.ts';
import { findLostShards, type LostShard, refillLostShards } from './lost_shards.ts';
import { openData } from './open_data.ts';
import { openNamespace } from './open_namespace.ts';
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
  /** Of a shard that is lost a repair takes from here what the journals do not have: a backup's path, and folders. */
  readonly backup?: string | undefined;
  readonly journals?: readonly string[];
  /** Default: this machine's. */
  readonly bootId?: string;
  readonly progress: Progress;
  /** Default: this machine's filesystems. */
  readonly backing?: Backing;
  /** How the metadata are opened. */
  readonly namespace?: Partial<NamespaceOptions>;
  /** Told, in a line, what a shard that was lost is made of now. */
  readonly onRefilled?: (text: string) => void;
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
  const lost = findLostShards(job);
  if (lost.length === 0) return runWhole(job);
  // Of what the others say of it nothing is concluded as long as it is not there.
  if (!job.repair || lost.some(({ isRepairable }) => !isRepairable)) return lostOutcome(lost);
  refillLostShards(job, lost);
  const { found, damageFound, ...rest } = runWhole({ ...job, wasClean: false });
  return {
    ...rest,
    found: new Map([...found, ['missing-shard', lost.length]]),
    damageFound: damageFound + lost.length,
  };
}

function lostOutcome(lost: readonly LostShard[]): FsckOutcome {
  const counts = new Map<Kind, number>([['missing-shard', lost.length]]);
  const checked = { inodes: 0, aggregates: 0, ownFiles: 0 };
  return { found: counts, left: counts, damageFound: lost.length, damageLeft: lost.length, checked };
}

function runWhole(job: FsckJob): FsckOutcome {
  const outcome = runRounds(job);
  if (!job.repair || !outcome.left.has('broken')) return outcome;
  // Nothing is concluded from databases that SQLite itself cannot read.
  if (outcome.left.has('damaged-database')) return outcome;
  const removed = removeBroken(job.backing ?? new PosixBacking(), metaFolder(job.store));
  if (removed < 0) throw new Failure(`Cannot remove the mark BROKEN of ${job.store}: ${errnoOf(-removed).name}`);
  const left = new Map([...outcome.left].filter(([kind]) => kind !== 'broken'));
  return { ...outcome, left, damageLeft: outcome.damageLeft - 1 };
}

function runRounds(job: FsckJob): FsckOutcome {
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
    // The mark, which goes once all else has been looked at, is not left.
    for (const told of left) if (told[0].kind !== 'broken') job.onLeft(...told);
    const counts = new Map([...next.findings.counts, ...contents]);
    const damageLeft = next.findings.total('damage') + contents.reduce((sum, [, count]) => sum + count, 0);
    return { found: first.findings.counts, left: counts, damageFound, damageLeft, checked: next.checked };
  }
}

function runRound(job: FsckJob, options: { readonly contents: boolean; readonly listener: Listener }) {
  const clock = new SystemClock();
  const backing = job.backing ?? new PosixBacking();
  const namespace = openNamespace(job, { clock, backing, repair: job.repair });
  try {
    const data = openData(job, namespace, backing);
    try {
      const findings = new Findings(options.listener);
      const { volumes, progress } = job;
      // A broken store was not cleared up after, however often it was mounted since.
      const wasClean = job.wasClean && namespace.broken === undefined;
      const ctx = new CheckContext({ namespace, data, volumes, wasClean, findings, progress });
      check(ctx, options);
      const repaired = job.repair ? repairAll(ctx, { now: clock.now(), backing }) : 0;
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
function repairAll(ctx: CheckContext, by: ConstructorParameters<typeof Repairer>[1]): number {
  const { counts } = ctx.findings;
  const repairs = ctx.slotRepairs.length > 0 ? ctx.slotRepairs : ctx.findings.repairs;
  if (repairs.length === 0 || counts.has('damaged-database')) return 0;
  const repairer = new Repairer(ctx, by);
  ctx.progress.begin('repairs', repairs.length);
  for (const repair of repairs) {
    repair(repairer);
    ctx.progress.advance(1);
  }
  ctx.progress.end();
  repairer.flush();
  repairer.removeLeftovers();
  repairer.flush();
  ctx.namespace.checkpoint();
  return repairs.length;
}
