/** What a migration is, as a row of `migrations` has it: who goes where, how far it is, what stays and why. */
import type { MigrationRow } from '../base/layout.ts';
import { type Ino, MAX_INTEGER } from '../base/units.ts';
import { WALK_DEPTH_MAX, WALK_START, type WalkLevel, type WalkPlace } from './tree_walk.ts';

/** Inodes that one of them begins with, at most. */
export const ROOTS_MAX = 128;
/** So often it is tried again by itself. */
export const RETRIES_MAX = 10;
/** Seconds between two tries at most. */
export const RETRY_SEC_MAX = 3_600;

const STATES = ['planned', 'copying', 'done', 'failed'] as const;
export type MigrationState = (typeof STATES)[number];

/**
 * Why files stay where they are:
 * - `dedicated`: large files in own files do not move yet;
 * - `open`: being written, or waiting to be packed;
 * - `changed`: changed while they were copied, each time;
 * - `shared`: they share bytes with too many others, or with some that must stay for now;
 * - `damaged`: a block cannot be read, or is not what was written;
 * - `unreachable`: on a volume that is missing or broken, or in a directory that cannot be read.
 */
export const STAY_REASONS = ['dedicated', 'open', 'changed', 'shared', 'damaged', 'unreachable'] as const;
export type StayReason = (typeof STAY_REASONS)[number];
export type Stay = Readonly<Record<StayReason, number>>;
export const NONE_STAYS: Stay = { dedicated: 0, open: 0, changed: 0, shared: 0, damaged: 0, unreachable: 0 };

export interface Amount {
  readonly files: number;
  readonly bytes: number;
}

export interface MigrationJob {
  readonly id: number;
  readonly state: MigrationState;
  /** Told by whoever asks: the same question asked again gets the same migration. */
  readonly request: string;
  /** Name of a tier or a volume. */
  readonly to: string;
  /** Empty once it is over. */
  readonly roots: readonly Ino[];
  readonly place: WalkPlace;
  /** Of walks over everything that copy; what was busy is looked at again. */
  readonly pass: number;
  /** What did not lie there when it was looked at first, as far as it has been. */
  readonly toDo: Amount;
  readonly moved: Amount;
  /** Of the present walk, up to its place. */
  readonly stay: Stay;
  readonly beganSec: number;
  readonly endedSec: number;
  /** Why it failed last; empty when it has not. */
  readonly reason: string;
  readonly retries: number;
  readonly nextTrySec: number;
}

/** It is not tried again. */
export function isOver({ state, retries }: MigrationJob): boolean {
  return state === 'done' || (state === 'failed' && retries > RETRIES_MAX);
}

export function stayCount(stay: Stay): number {
  return STAY_REASONS.reduce((sum, reason) => sum + stay[reason], 0);
}

export function rowOf({ id, state, ...job }: MigrationJob): MigrationRow {
  const levels = job.place.levels.map(({ dir, after, isBelow }) => [dir, after, isBelow ? 1 : 0]);
  return { id, state, job: JSON.stringify({ ...job, place: { root: job.place.root, levels } }) };
}

/** Undefined for what no version has written. */
export function jobOf({ id, state, job }: MigrationRow): MigrationJob | undefined {
  const value = parsed(job);
  const known = STATES.find((each) => each === state);
  if (value === undefined || known === undefined) return undefined;
  const { request, to, roots, reason } = value;
  const place = placeOf(value['place']);
  const texts = [request, to, reason].every((each) => typeof each === 'string');
  if (!texts || place === undefined || !isNumbers(roots) || roots.length > ROOTS_MAX) return undefined;
  const number = (name: string) => (isWhole(value[name]) ? value[name] : 0);
  return {
    ...{ id, state: known, place, roots: roots as Ino[] },
    ...{ request: request as string, to: to as string, reason: reason as string },
    ...{ pass: number('pass'), toDo: amountOf(value['toDo']), moved: amountOf(value['moved']) },
    ...{ stay: stayOf(value['stay']), beganSec: number('beganSec'), endedSec: number('endedSec') },
    ...{ retries: number('retries'), nextTrySec: number('nextTrySec') },
  };
}

type Fields = Readonly<Record<string, unknown>>;

function parsed(text: string): Fields | undefined {
  try {
    return fieldsOf(JSON.parse(text));
  } catch {
    return undefined;
  }
}

function fieldsOf(value: unknown): Fields | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Fields) : undefined;
}

function isWhole(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= MAX_INTEGER;
}

function isNumbers(value: unknown): value is readonly number[] {
  return Array.isArray(value) && value.every(isWhole);
}

function amountOf(value: unknown): Amount {
  const { files, bytes } = fieldsOf(value) ?? {};
  return { files: isWhole(files) ? files : 0, bytes: isWhole(bytes) ? bytes : 0 };
}

function stayOf(value: unknown): Stay {
  const fields = fieldsOf(value) ?? {};
  const stay = { ...NONE_STAYS };
  for (const reason of STAY_REASONS) {
    const count = fields[reason];
    if (isWhole(count)) stay[reason] = count;
  }
  return stay;
}

function placeOf(value: unknown): WalkPlace | undefined {
  const { root, levels } = fieldsOf(value) ?? {};
  if (!isWhole(root) || !Array.isArray(levels) || levels.length > WALK_DEPTH_MAX) return undefined;
  const found: WalkLevel[] = [];
  for (const level of levels as unknown[]) {
    if (!isNumbers(level)) return undefined;
    const [dir, after, isBelow] = level;
    if (dir === undefined || after === undefined || isBelow === undefined) return undefined;
    found.push({ dir: dir as Ino, after, isBelow: isBelow === 1 });
  }
  return found.length === 0 ? { ...WALK_START, root } : { root, levels: found };
}
