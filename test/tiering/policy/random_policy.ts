/** Policies and files drawn from a seed, for properties that hold for all of them. */
import type { FileFacts } from '../../../tiering/policy/facts.ts';
import { parsePolicy } from '../../../tiering/policy/parse.ts';
import type { Policy } from '../../../tiering/policy/policy.ts';
import type { Random } from '../../support/random.ts';
import { COLD, CONTEXT, DAY, FLASH, file, HOT, NOW, WARM } from './fixture.ts';

const PLACES = [HOT, FLASH, WARM, COLD];
const SIZES = [0, 1, 1000, 4096, 250_000, 9_000_000];
const TARGETS = ['hot', 'warm', 'cold', 'flash2', 'disks', 'vault', 'volume:hot'];

function pick<T>(random: Random, items: readonly T[]): T {
  return items[random.below(items.length)] as T;
}

function condition(random: Random): string[] {
  switch (random.below(8)) {
    case 0:
    case 1:
    case 2:
      return [`olderThan: ${1 + random.below(800)}d`, `by: ${pick(random, ['mtime', 'atime'])}`];
    case 3:
      return [`youngerThan: ${1 + random.below(800)}d`, `by: ${pick(random, ['mtime', 'atime'])}`];
    case 4:
      return [`largerThan: ${pick(random, SIZES)}`];
    case 5:
      return [`smallerThan: ${1 + pick(random, SIZES)}`];
    case 6:
      return [`on: ${pick(random, TARGETS)}`];
    default:
      return [pick(random, ['paths: a/**', 'notPaths: a/**', 'user: 1', 'pinned: true', 'pinned: false'])];
  }
}

/** One that the parser takes: others are drawn again. */
export function randomPolicy(random: Random): Policy {
  for (;;) {
    const rules = Array.from({ length: 1 + random.below(4) }, (_, index) => {
      const when = new Map<string, string>();
      for (let i = random.below(3); i >= 0; i--) {
        for (const text of condition(random)) when.set(text.split(':')[0] ?? '', text);
      }
      return `  - {name: r${index}, when: {${[...when.values()].join(', ')}}, to: '${pick(random, TARGETS)}'}`;
    });
    const text = `version: 1\nrules:\n${rules.join('\n')}\nminResidence: ${random.below(30)}d\n`;
    const parsed = parsePolicy(text, 'random', CONTEXT);
    if ('policy' in parsed) return parsed.policy;
  }
}

export function randomFile(random: Random, place = pick(random, PLACES)): FileFacts {
  const time = () => NOW - random.below(1_000 * DAY) + (random.below(20) === 0 ? 500 * DAY : 0);
  const size = pick(random, SIZES);
  return file({
    path: pick(random, ['a/1', 'b/1']),
    size,
    storedBytes: size,
    mtimeSec: time(),
    atimeSec: time(),
    uid: random.below(3),
    isPinned: random.below(8) === 0,
    place,
    recalledSec: random.below(4) === 0 ? time() : undefined,
  });
}
