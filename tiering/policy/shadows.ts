/** Rules that never act, because one before them takes every file that they would. */
import type { Glob } from './glob.ts';
import type { Conditions, Rule } from './policy.ts';
import { type Target, targetText } from './target.ts';

/** The first rule before `rules[index]` that surely matches whatever that one matches. */
export function shadowOf(rules: readonly Rule[], index: number): Rule | undefined {
  const rule = rules[index];
  if (rule === undefined) return undefined;
  return rules.slice(0, index).find((earlier) => covers(earlier.when, rule.when));
}

/** True only when it is certain: conditions that cannot be compared are taken for different ones. */
function covers(wide: Conditions, narrow: Conditions): boolean {
  return (
    coversAge(wide, narrow) &&
    (narrow.largerThan ?? -1) >= (wide.largerThan ?? -1) &&
    (narrow.smallerThan ?? Infinity) <= (wide.smallerThan ?? Infinity) &&
    coversSet(wide.paths && new Set(wide.paths.map(textOf)), narrow.paths && new Set(narrow.paths.map(textOf))) &&
    (wide.notPaths ?? []).every((glob) => narrow.notPaths?.some((other) => other.text === glob.text) === true) &&
    coversSet(wide.users, narrow.users) &&
    coversSet(wide.groups, narrow.groups) &&
    coversSet(wide.projects, narrow.projects) &&
    coversPin(wide, narrow) &&
    coversSet(wide.on && new Set(wide.on.map(placeText)), narrow.on && new Set(narrow.on.map(placeText)))
  );
}

/** A pinned file is passed over by each rule that does not ask for pins. */
function coversPin(wide: Conditions, narrow: Conditions): boolean {
  return narrow.pinned === true ? wide.pinned === true : wide.pinned !== true;
}

function coversAge(wide: Conditions, narrow: Conditions): boolean {
  const { olderThanSec: older, youngerThanSec: younger } = wide;
  if (older === undefined && younger === undefined) return true;
  if (wide.by !== narrow.by) return false;
  if (older !== undefined && (narrow.olderThanSec ?? -Infinity) < older) return false;
  return younger === undefined || (narrow.youngerThanSec ?? Infinity) <= younger;
}

function coversSet<T>(wide: ReadonlySet<T> | undefined, narrow: ReadonlySet<T> | undefined): boolean {
  if (wide === undefined) return true;
  return narrow !== undefined && [...narrow].every((item) => wide.has(item));
}

function textOf(glob: Glob): string {
  return glob.text;
}

function placeText(target: Target): string {
  return targetText(target);
}
