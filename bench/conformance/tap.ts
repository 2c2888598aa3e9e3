/** The Test Anything Protocol, as far as pjdfstest speaks it: a plan `1..N`, then `ok N` and `not ok N - text`. */
export interface TapResult {
  /** Tests announced; 0 for a file that skips everything. */
  readonly planned: number;
  readonly passed: readonly number[];
  readonly failed: readonly number[];
  /** What stands behind a failed test's number. */
  readonly texts: ReadonlyMap<number, string>;
}

export function parseTap(output: string): TapResult {
  let planned = 0;
  const passed: number[] = [];
  const failed: number[] = [];
  const texts = new Map<number, string>();
  for (const line of output.split('\n')) {
    const plan = /^1\.\.(\d+)/.exec(line);
    if (plan !== null) planned = Number(plan[1]);
    const test = /^(not ok|ok)(?:\s+(\d+))?\s*(.*)$/.exec(line);
    if (test === null) continue;
    const number = test[2] === undefined ? passed.length + failed.length + 1 : Number(test[2]);
    // A test marked "# TODO" is known to fail on the named system, and counts as passed, as `prove` counts it.
    if (test[1] === 'ok' || /#\s*TODO/i.test(test[3] ?? '')) passed.push(number);
    else {
      failed.push(number);
      texts.set(number, (test[3] ?? '').replace(/^- /, ''));
    }
  }
  return { planned, passed, failed, texts };
}
