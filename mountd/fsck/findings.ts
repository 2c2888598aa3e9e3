/** What a check has found so far: counted by kind, handed on line by line, and what a repair would do about it. */
import { KINDS, type Kind, type Severity } from './kinds.ts';
import type { Repairer } from './repairer.ts';

/** Numbers that say where, in the order in which they are shown. */
export interface Where {
  readonly inode?: number;
  readonly directory?: number;
  readonly position?: number;
  readonly partition?: number;
  readonly slot?: number;
  readonly shard?: number;
  readonly volume?: number;
  readonly aggregate?: number;
  readonly offset?: number;
  readonly ownFile?: string;
  readonly database?: string;
}

export type Repair = (repairer: Repairer) => void;

export interface Finding {
  readonly kind: Kind;
  readonly where: Where;
  readonly found: string | number;
  readonly expected: string | number;
  /** Shown only when asked for: names in an archive are patients' data. */
  readonly name?: Uint8Array | undefined;
  /** Puts it right; absent when nothing can. */
  readonly repair?: Repair | undefined;
}

export type Listener = (finding: Finding, severity: Severity) => void;

/** Repairs kept of one check; what is beyond comes up again in the check that follows them. */
const REPAIRS_MAX = 1_000_000;

export class Findings {
  readonly counts = new Map<Kind, number>();
  readonly #repairs: Repair[] = [];
  readonly #listener: Listener;

  constructor(listener: Listener) {
    this.#listener = listener;
  }

  add(finding: Finding): void {
    this.counts.set(finding.kind, (this.counts.get(finding.kind) ?? 0) + 1);
    if (finding.repair !== undefined && this.#repairs.length < REPAIRS_MAX) this.#repairs.push(finding.repair);
    this.#listener(finding, KINDS[finding.kind]);
  }

  /** In the order of the findings. */
  get repairs(): readonly Repair[] {
    return this.#repairs;
  }

  total(severity: Severity): number {
    let total = 0;
    for (const [kind, count] of this.counts) if (KINDS[kind] === severity) total += count;
    return total;
  }
}
