/** When a chosen move may be made: the windows of the policy, and who need not heed them. */
import type { Policy, Rule } from './policy.ts';
import type { Place } from './target.ts';
import { isOpen, nextChange } from './windows.ts';

/** `rule` is undefined for a watermark's move. */
export interface ChosenMove {
  readonly rule: Rule | undefined;
  readonly from: Place;
}

/** Whether a migration may work on it now; asked again between jobs, since windows close. */
export function mayAct(policy: Policy, move: ChosenMove, nowSec: number): boolean {
  return heedsNoWindow(policy, move) || isOpen(policy.windows, nowSec, policy.zone);
}

/** From when on it may, `sec` at the earliest; undefined when no window opens within two weeks. */
export function actsFrom(policy: Policy, move: ChosenMove, sec: number): number | undefined {
  return heedsNoWindow(policy, move) ? sec : nextChange(policy.windows, sec, { zone: policy.zone, open: true });
}

/** A volume that runs full does not wait for the night. */
function heedsNoWindow(policy: Policy, { rule, from }: ChosenMove): boolean {
  return rule === undefined && policy.watermarks.get(from.id)?.anytime === true;
}
