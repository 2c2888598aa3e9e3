/** Whether a mount, or the replacement of a daemon that was killed, takes longer with more files. */
import { type Figure, median, milliseconds, whole } from './figures.ts';
import { NameUser } from './name_user.ts';
import { sleep, type Workbench } from './workbench.ts';

const NAME_BYTES = 16;
const KILLS = 7;
const CHANGES = 2_000;
const BETWEEN_MS = 3_000;

export interface Restart {
  readonly files: number;
  readonly mountMs: number;
  /** From SIGKILL to the first answer. */
  readonly replacedMs: number;
}

export function restartOf(bench: Workbench, files: number): Promise<Restart> {
  return bench.once(`restart ${files}`, () => measured(bench, files));
}

async function measured(bench: Workbench, files: number): Promise<Restart> {
  const store = bench.store({ files, nameBytes: NAME_BYTES, empty: true });
  bench.mount(store).unmount();
  const start = performance.now();
  const mount = bench.mount(store);
  const mountMs = performance.now() - start;
  const user = new NameUser({ directory: mount.directory, nameBytes: NAME_BYTES });
  const replaced: number[] = [];
  try {
    for (let kill = 0; kill < KILLS; kill++) {
      await sleep(BETWEEN_MS);
      const numbers = bench.newNumbers(CHANGES);
      await user.each({ act: 'make', numbers });
      const { daemonPid } = mount.status();
      const killed = performance.now();
      process.kill(daemonPid, 'SIGKILL');
      await user.each({ act: 'settle', numbers: [] });
      replaced.push(performance.now() - killed);
      await user.each({ act: 'unlink', numbers });
    }
  } finally {
    user.end();
    mount.unmount();
  }
  return { files, mountMs, replacedMs: median(replaced) };
}

export async function restart(bench: Workbench, sizes: readonly number[]): Promise<Figure[]> {
  const row = 'restart';
  const figures: Figure[] = [];
  for (const size of sizes) {
    const { files, mountMs, replacedMs } = await restartOf(bench, size);
    figures.push(
      { row, what: `mount, ${whole(files)} files`, found: milliseconds(mountMs) },
      { row, what: `kill -9 to the next fsync, ${whole(files)} files`, found: milliseconds(replacedMs) },
    );
  }
  return figures;
}
