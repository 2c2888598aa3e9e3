/** `tier explain`: which rule applies to a file, why the earlier ones do not, and when it will act. */
import { approximateSize } from '../../base/sizes.ts';
import { formatTime } from '../../base/time.ts';
import {
  type ConditionName,
  type Decision,
  type Due,
  decide,
  dueAt,
  failedCondition,
  LazyPath,
  type Moment,
  residesUntil,
} from './decide.ts';
import { type FileFacts, lastUse } from './facts.ts';
import type { Policy, Rule } from './policy.ts';
import { actsFrom } from './schedule.ts';
import { approximateSpan, formatShare, formatSpan } from './spans.ts';
import { type Target, targetText } from './target.ts';

/** One rule's part: `applies` for the one that decides, `later` for those behind it, which nobody asks. */
export interface RuleVerdict {
  readonly rule: string;
  readonly to: string;
  readonly verdict: 'applies' | 'fails' | 'later';
  /** Why it does or does not apply; empty for a later one. */
  readonly reason: string;
}

/** As `--json` prints it. Times are ISO 8601. */
export interface Explanation {
  readonly path: string;
  readonly volume: string;
  readonly tier: string;
  readonly outcome: 'moves' | 'stays';
  /** The rule that decides; null where a watermark, a pin or no rule does. */
  readonly rule: string | null;
  readonly to: string | null;
  readonly reason: string;
  /** The next move, now or later, if the file stays as it is; null for none. */
  readonly next: {
    readonly rule: string | null;
    readonly to: string;
    /** From when the rule chooses the file. */
    readonly due: string;
    /** From when on a window lets it move; null when none opens within two weeks of it. */
    readonly acts: string | null;
  } | null;
  readonly rules: readonly RuleVerdict[];
}

export function explain(
  policy: Policy,
  file: FileFacts,
  at: { readonly path: string; readonly moment: Moment },
): Explanation {
  const { moment } = at;
  const decision = decide(policy, file, moment);
  const due = dueAt(policy, file, moment);
  return {
    path: at.path,
    volume: file.place.name,
    tier: file.place.tier,
    outcome: decision.moves ? 'moves' : 'stays',
    rule: decision.rule?.name ?? null,
    to: decision.moves ? targetText(decision.to) : null,
    reason: reasonOf(policy, file, { decision, moment }),
    next: due === undefined ? null : nextMove(policy, file, due),
    rules: verdicts(policy, file, moment),
  };
}

/** For people, in a few lines. */
export function explanationText(explanation: Explanation): string {
  const { path, volume, tier, outcome, to, reason, next, rules } = explanation;
  const head = outcome === 'moves' ? `moves to ${to}` : 'stays';
  const lines = [`${path}`, `  on volume '${volume}' (${tier}): ${head}: ${reason}`];
  if (next === null) lines.push('  no rule will move it as long as it stays as it is');
  else {
    const by = next.rule === null ? 'the watermark' : `rule '${next.rule}'`;
    const when = next.acts === null ? `${next.due}, but no window opens then` : next.acts;
    lines.push(`  next: to ${next.to} by ${by}, from ${when}`);
  }
  for (const { rule, to: target, verdict, reason: why } of rules) {
    const word = verdict === 'later' ? 'not asked' : verdict === 'applies' ? 'applies' : 'does not apply';
    lines.push(`  rule '${rule}' (to ${target}): ${word}${why === '' ? '' : `: ${why}`}`);
  }
  return lines.join('\n');
}

interface Decided {
  readonly decision: Decision;
  readonly moment: Moment;
}

function reasonOf(policy: Policy, file: FileFacts, { decision, moment }: Decided): string {
  const { rule } = decision;
  if (decision.moves) {
    if (rule !== undefined) return `rule '${rule.name}' applies`;
    const mark = policy.watermarks.get(file.place.id);
    const level = mark === undefined ? '' : ` (${formatShare(mark.high)})`;
    return `volume '${file.place.name}' is above its watermark${level}, and the file is among the oldest`;
  }
  const name = rule === undefined ? '' : `rule '${rule.name}'`;
  switch (decision.cause) {
    case 'placed':
      return `${name} wants it on ${targetText((rule as Rule).to)}, where it is`;
    case 'lower':
      return `${name} is by age, which moves files down only, and it lies below '${targetText((rule as Rule).to)}' already`;
    case 'residence': {
      const until = isoTime(residesUntil(policy, file));
      const by = rule === undefined ? 'the watermark' : name;
      return `${by} would move it down, but it was recalled at ${isoTime(file.recalledSec ?? 0)} and stays until ${until}`;
    }
    case 'pinned':
      return 'it is pinned, and no rule asks for pins';
    case 'unmatched':
      return moment.pressures?.has(file.place.id) === true
        ? `no rule matches, and it is not among the oldest of '${file.place.name}', which is above its watermark`
        : 'no rule matches';
  }
}

function nextMove(policy: Policy, file: FileFacts, due: Due): NonNullable<Explanation['next']> {
  const opens = actsFrom(policy, { rule: due.rule, from: file.place }, due.atSec);
  return {
    rule: due.rule?.name ?? null,
    to: targetText(due.to),
    due: isoTime(due.atSec),
    acts: opens === undefined ? null : isoTime(opens),
  };
}

function verdicts(policy: Policy, file: FileFacts, moment: Moment): RuleVerdict[] {
  const path = new LazyPath(file);
  let isDecided = false;
  return policy.rules.map((rule): RuleVerdict => {
    const head = { rule: rule.name, to: targetText(rule.to) };
    if (isDecided) return { ...head, verdict: 'later', reason: '' };
    const failed = failedCondition(rule, { file, path, nowSec: moment.nowSec });
    if (failed !== undefined) {
      return { ...head, verdict: 'fails', reason: failure(rule, file, { failed, nowSec: moment.nowSec }) };
    }
    isDecided = true;
    return { ...head, verdict: 'applies', reason: 'all its conditions hold' };
  });
}

/** Found and wanted, for one condition. */
function failure(rule: Rule, file: FileFacts, at: { readonly failed: ConditionName; readonly nowSec: number }): string {
  const { when } = rule;
  switch (at.failed) {
    case 'pinned':
      if (when.pinned === undefined) return 'the file is pinned, and the rule does not ask for pins';
      return file.isPinned
        ? 'the file is pinned, expected one that is not'
        : 'the file is not pinned, expected one that is';
    case 'on':
      return `it lies on '${file.place.name}' (${file.place.tier}), expected ${listOf((when.on ?? []).map(placeText))}`;
    case 'olderThan': {
      const wanted = when.olderThanSec ?? 0;
      return `${age(rule, file, at.nowSec)}, expected at least ${formatSpan(wanted)}: from ${isoTime(lastUse(file, when.by) + wanted)} on`;
    }
    case 'youngerThan':
      return `${age(rule, file, at.nowSec)}, expected less than ${formatSpan(when.youngerThanSec ?? 0)}`;
    case 'largerThan':
      return `it has ${bytes(file.size)}, expected more than ${bytes(when.largerThan ?? 0)}`;
    case 'smallerThan':
      return `it has ${bytes(file.size)}, expected less than ${bytes(when.smallerThan ?? 0)}`;
    case 'user':
      return `its user is ${file.uid}, expected ${listOf([...(when.users ?? [])])}`;
    case 'group':
      return `its group is ${file.gid}, expected ${listOf([...(when.groups ?? [])])}`;
    case 'project':
      return `its project is ${file.project}, expected ${listOf([...(when.projects ?? [])])}`;
    case 'paths':
      return `its path is none of ${listOf((when.paths ?? []).map(({ text }) => text))}`;
    case 'notPaths':
      return `its path is one of ${listOf((when.notPaths ?? []).map(({ text }) => text))}, expected none`;
  }
}

function age(rule: Rule, file: FileFacts, nowSec: number): string {
  const { by } = rule.when;
  const seconds = nowSec - lastUse(file, by);
  const what = by === 'mtime' ? 'it was changed' : 'it was last used';
  if (seconds < 0) return `${what} ${approximateSpan(-seconds)} in the future`;
  return `${what} ${approximateSpan(seconds)} ago`;
}

function placeText(target: Target): string {
  return target.kind === 'tier' ? target.tier : target.volume.name;
}

const MAX_LISTED = 5;

function listOf(items: readonly (string | number)[]): string {
  const more = items.length - MAX_LISTED;
  return items.slice(0, MAX_LISTED).join(', ') + (more > 0 ? ` or ${more} more` : '');
}

function bytes(count: number): string {
  return count < 1024 ? `${count} bytes` : approximateSize(count);
}

function isoTime(sec: number): string {
  return formatTime({ sec, nsec: 0 }).replace('.000000000Z', 'Z');
}
