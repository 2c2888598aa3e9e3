/** `pacsfs tier plan`: what a run of the policy would move. Nothing is moved, and nothing written. */

import type { Tier, VolumeRow } from '../../base/layout.ts';
import { PosixBacking } from '../../base/posix_backing.ts';
import { approximateSize } from '../../base/sizes.ts';
import type { VolumeId } from '../../base/units.ts';
import type { StoreDatabases } from '../../shard/databases.ts';
import { decide, type Moment, type Pressure } from '../../tiering/policy/decide.ts';
import type { FileFacts } from '../../tiering/policy/facts.ts';
import { type Pause, sharePause, type TierLoad } from '../../tiering/policy/guard.ts';
import { Plan, type PlanSummary, type Tally } from '../../tiering/policy/plan.ts';
import type { Policy } from '../../tiering/policy/policy.ts';
import { AgeHistogram, watermarkNeeds } from '../../tiering/policy/watermarks.ts';
import { readConfig, volumeRows } from '../config.ts';
import { failureOf } from '../failure.ts';
import { print, printJson, remark } from '../output.ts';
import { Bar } from '../shards/bar.ts';
import { bytesOf, lookAtShards } from '../shards/reading.ts';
import { resolveTarget } from '../target.ts';
import { volumeFills } from '../tiering/fills.ts';
import { isoOf, momentOf } from '../tiering/moment.ts';
import { readPolicy } from '../tiering/policy_file.ts';
import { storeFiles } from '../tiering/store_files.ts';

export interface TierPlanOptions {
  readonly json?: boolean;
  /** ISO time; default the present. */
  readonly now?: string;
}

/** What `--json` prints. */
export interface TierPlan extends PlanSummary {
  readonly store: string;
  readonly now: string;
  /** Why a run would pause for a confirmation. */
  readonly pauses: readonly Pause[];
  /** Rows that could not be read, whose files are left out. */
  readonly damaged: number;
}

export async function planTiers(target: string, options: TierPlanOptions): Promise<void> {
  const nowSec = momentOf(options.now);
  const { store } = resolveTarget(target);
  const config = readConfig(store);
  const volumes = volumeRows(config, store);
  const policy = readPolicy(store, config);
  const bar = new Bar('looking at files');
  try {
    await lookAtShards(target, ({ databases, status }) => {
      // What a file takes at least in its database tells how far it is.
      const total = status.shards.reduce((sum, { shard }) => sum + bytesOf(store, shard).bytes, 0) / 200;
      const look = new Look(databases, { volumes, bar, total });
      const found = planOf(policy, look, nowSec);
      bar.end();
      const plan: TierPlan = { store, now: isoOf(nowSec), ...found, damaged: look.damaged };
      if (options.json === true) printJson(plan);
      else print(planText(plan));
      const missing = status.shards.filter(({ isMissing }) => isMissing).length;
      if (missing > 0)
        remark(`${missing} shards are missing: their files are not in the plan; see \`pacsfs shard list\``);
    });
  } catch (thrown) {
    throw failureOf(`plan for ${target}`, thrown);
  } finally {
    bar.end();
  }
}

/** One look over all files, as often as it is asked for. */
class Look {
  damaged = 0;
  readonly #databases: StoreDatabases;
  readonly #of: { readonly volumes: readonly VolumeRow[]; readonly bar: Bar; readonly total: number };

  constructor(databases: StoreDatabases, of: { volumes: readonly VolumeRow[]; bar: Bar; total: number }) {
    this.#databases = databases;
    this.#of = of;
  }

  get volumes(): readonly VolumeRow[] {
    return this.#of.volumes;
  }

  files(): Generator<FileFacts> {
    const { volumes, bar, total } = this.#of;
    this.damaged = 0;
    let done = 0;
    return storeFiles(this.#databases, {
      volumes,
      onDamaged: () => {
        this.damaged += 1;
      },
      onInode: () => {
        done += 1;
        bar.show(Math.min(done, Math.ceil(total)), Math.ceil(total));
      },
    });
  }
}

function planOf(policy: Policy, look: Look, nowSec: number): PlanSummary & { readonly pauses: readonly Pause[] } {
  const moment: Moment = { nowSec, pressures: pressuresOf(policy, look, nowSec) };
  const plan = new Plan();
  const held = new Map<Tier, number>();
  for (const file of look.files()) {
    const { tier } = file.place;
    held.set(tier, (held.get(tier) ?? 0) + file.storedBytes);
    plan.add(file, decide(policy, file, moment));
  }
  const loads = new Map<Tier, TierLoad>();
  for (const [tier, heldBytes] of held) loads.set(tier, { heldBytes, leavingBytes: plan.leaving(tier) });
  const pause = sharePause(loads);
  return { ...plan.summary(), pauses: pause === undefined ? [] : [pause] };
}

/** Costs a look of its own, where a volume is above its watermark. */
function pressuresOf(policy: Policy, look: Look, nowSec: number): Map<VolumeId, Pressure> {
  const needs = watermarkNeeds(policy, volumeFills(look.volumes, new PosixBacking()));
  const ages = new Map(needs.map((need) => [need.volume, new AgeHistogram(need.watermark.by, nowSec)]));
  const leaving = new Map<VolumeId, number>();
  if (needs.length > 0) {
    for (const file of look.files()) {
      const { id } = file.place;
      const decision = decide(policy, file, { nowSec });
      if (decision.moves) leaving.set(id, (leaving.get(id) ?? 0) + file.storedBytes);
      else if (decision.cause === 'unmatched') ages.get(id)?.add(file);
    }
  }
  const pressures = new Map<VolumeId, Pressure>();
  for (const need of needs) {
    // What rules take off the volume need not be taken for its watermark.
    const bytes = need.bytes - (leaving.get(need.volume) ?? 0);
    const pressure = bytes > 0 ? ages.get(need.volume)?.pressure({ ...need, bytes }) : undefined;
    if (pressure !== undefined) pressures.set(need.volume, pressure);
  }
  return pressures;
}

function planText(plan: TierPlan): string {
  const tally = ({ files, bytes }: Tally) => `${files.toLocaleString('en')} files, ${approximateSize(bytes)}`;
  return [
    `moving at ${plan.now}: ${tally(plan.moving)}`,
    ...plan.byRule.map((line) => `  by ${line.rule === null ? 'watermarks' : `rule '${line.rule}'`}: ${tally(line)}`),
    ...plan.byWay.map((line) => `  from ${line.from} to ${line.to}: ${tally(line)}`),
    `staying: ${tally(plan.staying)}`,
    ...plan.byCause.map((line) => `  ${CAUSES[line.cause]}: ${tally(line)}`),
    ...plan.pauses.map(({ reason }) => `would pause until confirmed: ${reason}`),
    ...(plan.damaged > 0 ? [`damaged rows left out: ${plan.damaged}; \`pacsfs fsck ${plan.store}\` names them`] : []),
  ].join('\n');
}

const CAUSES = {
  placed: 'where their rule wants them',
  lower: 'below where their rule by age wants them',
  residence: 'recalled too recently',
  pinned: 'pinned',
  unmatched: 'no rule matches',
} as const;
