/** What has come of the flushes of a barrier, folder by folder. */
import type { FlushTarget } from '../../base/backing.ts';

export interface FlushOutcome {
  readonly target: FlushTarget;
  /** 0 or -errno. */
  readonly outcome: number;
}

/** The worst of the journal's own folder `own`; `drop` hears of each target elsewhere that failed. */
export function ownOutcome(
  outcomes: readonly FlushOutcome[],
  own: string,
  drop: (path: string, outcome: number) => void,
): number {
  let worst = 0;
  for (const { target, outcome } of outcomes) {
    if (outcome >= 0) continue;
    if (target.path.startsWith(own)) worst = outcome;
    else drop(target.path, outcome);
  }
  return worst;
}
