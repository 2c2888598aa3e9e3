/**
 * Supervisor, or supervisor and daemon, killed while programs write: after the next mount whatever was fsynced, or closed before a
 * `pacsfs sync`, is there with its bytes, and fsck finds nothing. What was not synced may be missing.
 */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { pacsfs, TestStore } from '../support/mount_harness.ts';
import { waitUntil } from '../support/processes.ts';
import { guardProcess } from '../support/reaper.ts';
import { SCRIPTS } from '../support/scripts.ts';
import { firstSeed } from '../support/seed.ts';

const WRITERS = 6;
/** What goes on before the kill, once enough is promised. */
const LOAD_MS = 500;

/** What the writers may rely on: SHA-256 by path. */
class Promises {
  readonly #synced = new Map<string, string>();
  readonly #closed = new Map<string, string>();

  take(line: string): void {
    const [word, path = '', digest = ''] = line.split(' ');
    this.#synced.delete(path);
    this.#closed.delete(path);
    if (word === 'synced') this.#synced.set(path, digest);
    if (word === 'closed') this.#closed.set(path, digest);
  }

  /** What was closed when `pacsfs sync` was asked for, and not changed until it was answered. */
  get closed(): ReadonlyMap<string, string> {
    return new Map(this.#closed);
  }

  promote(before: ReadonlyMap<string, string>): void {
    for (const [path, digest] of before) {
      if (this.#closed.get(path) !== digest) continue;
      this.#closed.delete(path);
      this.#synced.set(path, digest);
    }
  }

  get synced(): ReadonlyMap<string, string> {
    return this.#synced;
  }
}

describe('a kill under load', () => {
  const first = firstSeed('PACSFS_SEED');
  let store: TestStore;
  beforeEach(async () => {
    store = await TestStore.create();
  });
  afterEach(async () => {
    await store.destroy();
  });

  for (const [index, who] of (['supervisor', 'both'] as const).entries())
    it(`of ${who} loses nothing that was synced (seed ${first + index})`, { timeout: 60_000 }, async () => {
      const seed = first + index;
      console.info(`kill: PACSFS_SEED=${seed}`);
      const promises = new Promises();
      const load = startLoad(seed, promises);
      await waitUntil(() => promises.closed.size > 3, { what: 'files are closed', timeoutMs: 20_000 });
      const before = promises.closed;
      await store.sync({ packed: seed % 2 === 0 });
      promises.promote(before);
      await waitUntil(() => promises.synced.size > 10, { what: 'files are synced', timeoutMs: 20_000 });
      await new Promise((resolve) => setTimeout(resolve, LOAD_MS + (seed % 7) * 50));
      kill(who);
      await load;
      await waitUntil(() => !isServed(), { what: 'nobody serves it', timeoutMs: 30_000 });
      await pacsfs(['unmount', store.mountPoint]);
      expect(store.isMounted()).toBe(false);
      expect(promises.synced.size).toBeGreaterThan(5);
      await store.mount();
      expect(await wrongFiles(promises.synced)).toBe('');
      await store.unmount();
      const checked = await store.fsck();
      expect(checked.stdout + checked.stderr).toContain('clean');
      expect(checked.code).toBe(0);
    });

  function startLoad(seed: number, promises: Promises): Promise<void> {
    const script = join(SCRIPTS, 'kill_load.py');
    const args = ['-B', script, String(WRITERS), String(seed)];
    const child = spawn('python3', args, { cwd: store.mountPoint, stdio: ['ignore', 'pipe', 'inherit'] });
    guardProcess(child);
    let rest = '';
    child.stdout.on('data', (chunk: Buffer) => {
      const lines = (rest + chunk.toString()).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) promises.take(line);
    });
    return new Promise((resolve) => child.once('close', () => resolve()));
  }

  function isServed(): boolean {
    const { supervisor, daemon } = store.daemonPids();
    return supervisor !== undefined || daemon !== undefined;
  }

  function kill(who: 'supervisor' | 'both'): void {
    const { supervisor, daemon } = store.daemonPids();
    const pids = who === 'supervisor' ? [supervisor] : [supervisor, daemon];
    for (const pid of pids) if (pid !== undefined) process.kill(pid, 'SIGKILL');
  }

  /** Lines of sha256sum that are not OK. */
  async function wrongFiles(files: ReadonlyMap<string, string>): Promise<string> {
    const input = [...files].map(([path, digest]) => `${digest}  ${path}\n`).join('');
    const result = await store.run('sha256sum', ['-c', '--quiet', '-'], { input });
    return result.stdout + result.stderr;
  }
});
