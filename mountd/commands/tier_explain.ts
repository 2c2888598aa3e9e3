/** `pacsfs tier explain PATH`: which rule of the policy applies to a file, why earlier ones do not, and when it acts. */
import { relative } from 'node:path';
import { timespecFromNs } from '../../base/time.ts';
import { type Explanation, explain, explanationText } from '../../tiering/policy/explain.ts';
import type { FileFacts } from '../../tiering/policy/facts.ts';
import { readConfig, volumeRows } from '../config.ts';
import { Failure } from '../failure.ts';
import { askLive, daemonOf } from '../live_daemon.ts';
import { print, printJson } from '../output.ts';
import { patientStat } from '../patient_stat.ts';
import { resolveOutsideMounts, resolveTarget } from '../target.ts';
import { momentOf } from '../tiering/moment.ts';
import { readPolicy } from '../tiering/policy_file.ts';

export interface TierExplainOptions {
  readonly json?: boolean;
  /** ISO time; default the present. */
  readonly now?: string;
}

const TIMEOUT_MS = 30_000;

/** The part of the daemon's answer that a policy asks for. */
interface Placed {
  readonly volume?: string;
  readonly pinned: boolean;
  readonly project: number;
}

/** Watermarks are not in it: whether a file is among the oldest of its volume tells only a look at all of them. */
export async function explainTier(path: string, options: TierExplainOptions): Promise<void> {
  const nowSec = momentOf(options.now);
  const { store } = daemonOf(path, { withinMount: true });
  const policy = readPolicy(store, readConfig(store));
  const file = await factsAt(path, store);
  const found: Explanation = explain(policy, file, { path, moment: { nowSec } });
  if (options.json === true) printJson(found);
  else print(explanationText(found));
}

async function factsAt(path: string, store: string): Promise<FileFacts> {
  const daemon = daemonOf(path, { withinMount: true });
  const stat = await patientStat(path);
  if (!stat.isFile()) throw new Failure(`Cannot explain ${path}: it is not a file; policies move files only`);
  const call = { method: 'GET', path: `/inode/${stat.ino}`, timeoutMs: TIMEOUT_MS } as const;
  const placed = (await askLive(daemon, call)) as Placed;
  const place = volumeRows(readConfig(store), store).find(({ name }) => name === placed.volume);
  if (place === undefined) throw new Failure(`Cannot explain ${path}: it has no bytes on any volume, so nothing moves`);
  const mountPoint = resolveTarget(path).mount?.mountPoint ?? '/';
  const inMount = new TextEncoder().encode(relative(mountPoint, resolveOutsideMounts(path)));
  return {
    path: () => inMount,
    size: Number(stat.size),
    storedBytes: Number(stat.blocks) * 512,
    mtimeSec: secondsOf(stat.mtimeNs),
    atimeSec: secondsOf(stat.atimeNs),
    uid: Number(stat.uid),
    gid: Number(stat.gid),
    project: placed.project,
    isPinned: placed.pinned,
    place,
    recalledSec: undefined,
  };
}

/** Times before 1970 are rounded down, too. */
function secondsOf(ns: bigint): number {
  return timespecFromNs(ns).sec;
}
