/** What is to happen with a file now, and when that changes. Pure: the same facts give the same answer. */
import type { VolumeId } from '../../base/units.ts';
import { type FileFacts, lastUse } from './facts.ts';
import { SplitPath } from './glob.ts';
import type { AgeBy, Conditions, Policy, Rule } from './policy.ts';
import { descent, includes, type Target } from './target.ts';

/** A volume above its watermark: files last used at or before `untilSec` leave it. See watermarks.ts. */
export interface Pressure {
  readonly to: Target;
  readonly by: AgeBy;
  readonly untilSec: number;
}

export interface Moment {
  /** Seconds since 1970. */
  readonly nowSec: number;
  readonly pressures?: ReadonlyMap<VolumeId, Pressure>;
}

/** Why a file stays. */
export type StayCause =
  /** A rule wants it where it is. */
  | 'placed'
  /** A rule by age would have it higher than it lies: age is a reason to go down only. */
  | 'lower'
  /** Recalled not long enough ago to go down. */
  | 'residence'
  /** Pinned, and no rule asks for pins. */
  | 'pinned'
  /** No rule matches. */
  | 'unmatched';

/** `rule` is undefined where a watermark or no rule decides. Never changed: the same object serves many files. */
export type Decision =
  | { readonly moves: true; readonly rule: Rule | undefined; readonly to: Target }
  | { readonly moves: false; readonly rule: Rule | undefined; readonly cause: StayCause };

const UNMATCHED: Decision = Object.freeze({ moves: false, rule: undefined, cause: 'unmatched' });
const PINNED: Decision = Object.freeze({ moves: false, rule: undefined, cause: 'pinned' });
const RESIDENT: Decision = Object.freeze({ moves: false, rule: undefined, cause: 'residence' });

/** The first rule that matches decides; then the watermark of the volume, for what no rule wants to stay. */
export function decide(policy: Policy, file: FileFacts, moment: Moment): Decision {
  const { nowSec } = moment;
  const path = new LazyPath(file);
  for (const rule of policy.rules) {
    if (failedCondition(rule, { file, path, nowSec }) === undefined) return byRule(policy, file, { rule, nowSec });
  }
  if (file.isPinned) return PINNED;
  const pressure = moment.pressures?.get(file.place.id);
  if (pressure === undefined || lastUse(file, pressure.by) > pressure.untilSec) return UNMATCHED;
  if (residesUntil(policy, file) > nowSec) return RESIDENT;
  return { moves: true, rule: undefined, to: pressure.to };
}

function byRule(policy: Policy, file: FileFacts, by: { readonly rule: Rule; readonly nowSec: number }): Decision {
  const { rule, nowSec } = by;
  if (includes(rule.to, file.place)) return { moves: false, rule, cause: 'placed' };
  const down = descent(rule.to, file.place);
  if (down < 0 && goesDownOnly(rule)) return { moves: false, rule, cause: 'lower' };
  if (down > 0 && residesUntil(policy, file) > nowSec) return { moves: false, rule, cause: 'residence' };
  return { moves: true, rule, to: rule.to };
}

/** Rules by a least age send files down, never back up: a file that a watermark or a person sent further stays there. */
export function goesDownOnly(rule: Rule): boolean {
  return rule.when.olderThanSec !== undefined;
}

/** When a recalled file may go down again; -Infinity for one that was not recalled. */
export function residesUntil(policy: Policy, file: Pick<FileFacts, 'recalledSec'>): number {
  return file.recalledSec === undefined ? -Infinity : file.recalledSec + policy.minResidenceSec;
}

// ---- Conditions ----

/** In the order in which they are looked at: the cheap ones first, the path, which costs reads, last. */
export type ConditionName =
  | 'pinned'
  | 'on'
  | 'olderThan'
  | 'youngerThan'
  | 'largerThan'
  | 'smallerThan'
  | 'user'
  | 'group'
  | 'project'
  | 'paths'
  | 'notPaths';

/** A file's path, split once for all rules, and only if one asks. */
export class LazyPath {
  readonly #file: FileFacts;
  #split: SplitPath | undefined;
  #isKnown = false;

  constructor(file: FileFacts) {
    this.#file = file;
  }

  get(): SplitPath | undefined {
    if (!this.#isKnown) {
      const bytes = this.#file.path();
      this.#split = bytes === undefined ? undefined : new SplitPath(bytes);
      this.#isKnown = true;
    }
    return this.#split;
  }
}

interface Look {
  readonly file: FileFacts;
  readonly path: LazyPath;
  readonly nowSec: number;
}

/** The first condition of the rule that does not hold; undefined when the rule matches. */
export function failedCondition(rule: Rule, look: Look): ConditionName | undefined {
  const { when } = rule;
  const { file, nowSec } = look;
  // Pins override: a pinned file is only for rules that ask for pins.
  if (when.pinned === undefined ? file.isPinned : when.pinned !== file.isPinned) return 'pinned';
  if (when.on !== undefined && !when.on.some((place) => includes(place, file.place))) return 'on';
  const age = nowSec - lastUse(file, when.by);
  if (when.olderThanSec !== undefined && age < when.olderThanSec) return 'olderThan';
  if (when.youngerThanSec !== undefined && age >= when.youngerThanSec) return 'youngerThan';
  if (when.largerThan !== undefined && file.size <= when.largerThan) return 'largerThan';
  if (when.smallerThan !== undefined && file.size >= when.smallerThan) return 'smallerThan';
  if (when.users !== undefined && !when.users.has(file.uid)) return 'user';
  if (when.groups !== undefined && !when.groups.has(file.gid)) return 'group';
  if (when.projects !== undefined && !when.projects.has(file.project)) return 'project';
  return when.paths === undefined && when.notPaths === undefined ? undefined : failedPath(when, look.path.get());
}

function failedPath(when: Conditions, path: SplitPath | undefined): ConditionName | undefined {
  if (path === undefined) return when.paths === undefined ? 'notPaths' : 'paths';
  if (when.paths !== undefined && !when.paths.some((glob) => glob.matches(path))) return 'paths';
  return when.notPaths?.some((glob) => glob.matches(path)) === true ? 'notPaths' : undefined;
}

// ---- Times ----

/** When a file moves if it stays as it is, and what moves it. */
export interface Due {
  /** Seconds since 1970; the moment's own when it moves now. */
  readonly atSec: number;
  /** Undefined for a watermark's. */
  readonly rule: Rule | undefined;
  readonly to: Target;
}

/**
 * The earliest time from now on at which `decide` gives a move, windows aside; undefined when it never does. Watermarks
 * count only for now: nobody knows when a volume will be full.
 */
export function dueAt(policy: Policy, file: FileFacts, moment: Moment): Due | undefined {
  const now = decide(policy, file, moment);
  if (now.moves) return { atSec: moment.nowSec, rule: now.rule, to: now.to };
  const path = file.path;
  let known: { readonly bytes: Uint8Array | undefined } | undefined;
  const once: FileFacts = {
    ...file,
    path: () => {
      known ??= { bytes: path.call(file) };
      return known.bytes;
    },
  };
  for (const atSec of turningPoints(policy, file)) {
    if (atSec <= moment.nowSec) continue;
    const then = decide(policy, once, { nowSec: atSec });
    if (then.moves) return { atSec, rule: then.rule, to: then.to };
  }
  return undefined;
}

/** All times at which a decision about the file can change, in order. */
function turningPoints(policy: Policy, file: FileFacts): number[] {
  const points = new Set<number>();
  const add = (sec: number) => {
    if (Number.isFinite(sec)) points.add(sec);
  };
  for (const { when } of policy.rules) {
    const used = lastUse(file, when.by);
    if (when.olderThanSec !== undefined) add(used + when.olderThanSec);
    if (when.youngerThanSec !== undefined) add(used + when.youngerThanSec);
  }
  add(residesUntil(policy, file));
  return [...points].sort((a, b) => a - b);
}
