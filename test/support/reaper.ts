/**
 * Cleans up after a test process however that ends: at the end of its time the runner kills it, and then no `finally`, no
 * hook and no exit handler runs. A detached process of its own, the reaper, is told over a pipe what has been made; the
 * pipe ends with its writer, and then the reaper clears away what was not given back.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { statSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { type KnownProcess, knownProcess } from './leavings.ts';

/** What the reaper hears, a line of JSON each. */
export type ReaperMessage =
  | { readonly kind: 'folder'; readonly folder: string; readonly isGone: boolean }
  | { readonly kind: 'process'; readonly process: KnownProcess; readonly isGone: boolean };

let reaper: ChildProcess | undefined;

/** Everything below the folder goes with this process; its name must be this test's alone, as mkdtemp(3) makes them. */
export function guardFolder(folder: string): void {
  tell({ kind: 'folder', folder, isGone: false });
}

/** The folder has been cleared away. */
export function releaseFolder(folder: string): void {
  tell({ kind: 'folder', folder, isGone: true });
}

/** A child, and its group where it leads one, ends with this process; to be called right after it was started. */
export function guardProcess(child: ChildProcess): void {
  const known = knownProcess(child.pid);
  if (known === undefined) return;
  tell({ kind: 'process', process: known, isGone: false });
  child.once('exit', () => tell({ kind: 'process', process: known, isGone: true }));
}

/** For the test of the reaper. */
export function reaperPid(): number | undefined {
  return reaper?.pid;
}

function tell(message: ReaperMessage): void {
  reaper ??= start();
  // Into a pipe with room this goes at once, before the next instruction of this process.
  reaper.stdin?.write(`${JSON.stringify(message)}\n`);
}

function start(): ChildProcess {
  const program = builtProgram();
  const child = spawn(process.execPath, [program], { detached: true, stdio: ['pipe', 'ignore', 'ignore'] });
  // This process must not wait for it at its end; for its input a socket is used, which is unref'd with its handle.
  child.unref();
  child.stdin?.on('error', () => {});
  (child.stdin as unknown as { unref(): void }).unref();
  return child;
}

/** Of the sources only a loader makes a program, which a process of its own would have to load first: it is built. */
function builtProgram(): string {
  const isBuilt = import.meta.url.endsWith('.js');
  const here = new URL(isBuilt ? './reaper_process.js' : '../../dist/test/support/reaper_process.js', import.meta.url);
  const program = fileURLToPath(here);
  if (isBuilt) return program;
  const built = statSync(program, { throwIfNoEntry: false });
  for (const name of ['reaper_process.ts', 'leavings.ts']) {
    const source = statSync(new URL(name, import.meta.url));
    if (built === undefined || built.mtimeMs < source.mtimeMs)
      throw new Error(
        `Cannot start the reaper of tests: ${name} is newer than what was built of it; run \`make build\``,
      );
  }
  return program;
}
