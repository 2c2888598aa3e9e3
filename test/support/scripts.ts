/**
 * Runs the Python programs of test/end_to_end/scripts as users of a mount. Python, because its standard library reaches
 * nearly every system call of a filesystem and can become another user in a child.
 */
import { join } from 'node:path';
import { CHECKOUT, PACSFS, type TestStore } from './mount_harness.ts';

export const SCRIPTS: string = join(CHECKOUT, 'test', 'end_to_end', 'scripts');

/** What `checks.py` prints of one check. */
interface CheckOutcome {
  readonly name: string;
  readonly ok: boolean;
  readonly detail: string;
  readonly ms: number;
}

export interface ChecksResult {
  /** Checks that ran. */
  readonly ran: number;
  /** `name: what went wrong` of each check that failed; what the script itself died of, if it did. */
  readonly failures: readonly string[];
}

/** Runs a script of checks in a folder of its own below the mount point. */
export async function runChecks(store: TestStore, script: string, timeoutMs = 300_000): Promise<ChecksResult> {
  const folder = script.replace('.py', '');
  const made = await store.run('mkdir', [folder]);
  if (made.code !== 0) return { ran: 0, failures: [`mkdir ${folder}: ${made.stderr}`] };
  const result = await store.run('python3', ['-B', join(SCRIPTS, script)], {
    cwd: join(store.mountPoint, folder),
    env: { PACSFS_COMMAND: PACSFS },
    timeoutMs,
  });
  const outcomes = result.stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as CheckOutcome);
  const failures = outcomes.filter((outcome) => !outcome.ok).map((outcome) => `${outcome.name}: ${outcome.detail}`);
  if (result.code !== 0 && failures.length === 0)
    failures.push(`${script} ended with ${result.code}: ${result.stderr}`);
  return { ran: outcomes.length, failures };
}

/** Everything visible of the tree below a path, one line a file; `options` are those of snapshot.py. */
export async function snapshot(store: TestStore, path: string, options: readonly string[] = []): Promise<string[]> {
  const args = ['-B', join(SCRIPTS, 'snapshot.py'), ...options, path];
  const result = await store.run('python3', args, { timeoutMs: 120_000 });
  if (result.code !== 0) throw new Error(`Cannot take a snapshot of ${path}: ${result.stderr.slice(-1_000)}`);
  return result.stdout.split('\n').filter((line) => line !== '');
}

/** Lines of one snapshot that the other lacks, at most ten of each, for a message that can be read. */
export function differences(before: readonly string[], after: readonly string[]): readonly string[] {
  const had = new Set(before);
  const has = new Set(after);
  const gone = before.filter((line) => !has.has(line)).slice(0, 10);
  const came = after.filter((line) => !had.has(line)).slice(0, 10);
  return [...gone.map((line) => `- ${line}`), ...came.map((line) => `+ ${line}`)];
}

/** Unmounts and says what fsck finds: '' for a clean store. */
export async function unmountedFaults(store: TestStore): Promise<string> {
  await store.unmount();
  const result = await store.fsck();
  return result.code === 0 ? '' : `fsck ended with ${result.code}: ${result.stdout}${result.stderr}`;
}
