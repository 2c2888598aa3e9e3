/** What a run would do: files and bytes by rule and by way. Memory grows with rules and volumes, never with files. */
import type { Tier } from '../../base/layout.ts';
import type { Decision, StayCause } from './decide.ts';
import type { FileFacts } from './facts.ts';
import { targetText } from './target.ts';

export interface Tally {
  readonly files: number;
  readonly bytes: number;
}

/** As `--json` prints it; each list by bytes, most first. */
export interface PlanSummary {
  readonly moving: Tally;
  readonly staying: Tally;
  /** `rule` is null for watermarks. */
  readonly byRule: readonly (Tally & { readonly rule: string | null })[];
  /** From a volume to a tier or volume. */
  readonly byWay: readonly (Tally & { readonly from: string; readonly to: string })[];
  readonly byCause: readonly (Tally & { readonly cause: StayCause })[];
}

interface Count {
  files: number;
  bytes: number;
}

/** Ways beyond these are counted together: some thousand volumes with a rule for each. */
const MAX_WAYS = 4_096;
const OTHER = 'others';

export class Plan {
  readonly #moving: Count = { files: 0, bytes: 0 };
  readonly #staying: Count = { files: 0, bytes: 0 };
  readonly #byRule = new Map<string | null, Count>();
  readonly #byWay = new Map<string, Map<string, Count>>();
  readonly #byCause = new Map<StayCause, Count>();
  readonly #leaving = new Map<Tier, number>();
  #ways = 0;

  /** A file with bytes on several volumes is added for each of them. */
  add(file: Pick<FileFacts, 'place' | 'storedBytes'>, decision: Decision): void {
    const { place, storedBytes } = file;
    if (!decision.moves) {
      raise(this.#staying, storedBytes);
      raise(counted(this.#byCause, decision.cause), storedBytes);
      return;
    }
    raise(this.#moving, storedBytes);
    raise(counted(this.#byRule, decision.rule?.name ?? null), storedBytes);
    raise(this.#way(place.name, targetText(decision.to)), storedBytes);
    if (decision.to.tier !== place.tier) {
      this.#leaving.set(place.tier, (this.#leaving.get(place.tier) ?? 0) + storedBytes);
    }
  }

  /** Bytes that would leave a tier for another: for `sharePause`. */
  leaving(tier: Tier): number {
    return this.#leaving.get(tier) ?? 0;
  }

  summary(): PlanSummary {
    const byWay = [...this.#byWay].flatMap(([from, targets]) =>
      [...targets].map(([to, count]) => ({ from, to, ...count })),
    );
    return {
      moving: { ...this.#moving },
      staying: { ...this.#staying },
      byRule: mostFirst([...this.#byRule].map(([rule, count]) => ({ rule, ...count }))),
      byWay: mostFirst(byWay),
      byCause: mostFirst([...this.#byCause].map(([cause, count]) => ({ cause, ...count }))),
    };
  }

  #way(from: string, to: string): Count {
    const known = this.#byWay.get(from)?.get(to);
    if (known !== undefined) return known;
    const isFull = this.#ways >= MAX_WAYS;
    if (!isFull) this.#ways += 1;
    const targets = this.#byWay.get(isFull ? OTHER : from) ?? new Map<string, Count>();
    this.#byWay.set(isFull ? OTHER : from, targets);
    return counted(targets, isFull ? OTHER : to);
  }
}

function raise(count: Count, bytes: number): void {
  count.files += 1;
  count.bytes += bytes;
}

function counted<K>(counts: Map<K, Count>, key: K): Count {
  let count = counts.get(key);
  if (count === undefined) {
    count = { files: 0, bytes: 0 };
    counts.set(key, count);
  }
  return count;
}

function mostFirst<T extends Tally>(tallies: T[]): T[] {
  return tallies.sort((a, b) => b.bytes - a.bytes || b.files - a.files);
}
