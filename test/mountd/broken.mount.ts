/**
 * A flush that fails on a real mount: the store says so for good, goes on being read, and takes changes again only after a
 * repair.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { TestStore } from '../support/mount_harness.ts';
import { Strace } from '../support/strace.ts';

const IO_ERROR = 'Input/output error';
/** Opened for reading and writing, so that fsync flushes the file itself. */
const SYNCED_FILE =
  "import os; f = os.open('PATIENT-LOST', os.O_CREAT | os.O_RDWR); os.write(f, b'x' * 50000); os.fsync(f)";
const SYNCED_FOLDER = "import os; os.mkdir('PATIENT-LOST'); os.fsync(os.open('.', os.O_RDONLY))";

describe('a flush that fails', () => {
  let store: TestStore | undefined;
  let strace: Strace | undefined;
  afterEach(async () => {
    await strace?.detach();
    await store?.destroy();
    store = undefined;
    strace = undefined;
  });

  /** Has the daemon's next fdatasync fail, whatever asks for it. */
  async function failOnce(made: TestStore, script: string): Promise<string> {
    const { daemon } = made.daemonPids();
    strace = await Strace.attach(daemon ?? 0, {
      output: join(made.folder, 'strace'),
      expressions: ['trace=fdatasync', 'inject=fdatasync:error=EIO:when=1'],
    });
    const { code, stderr } = await made.run('python3', ['-c', script]);
    await strace.detach();
    expect(code).not.toBe(0);
    return stderr;
  }

  async function filled(): Promise<TestStore> {
    // No barrier comes by itself meanwhile.
    const made = await TestStore.create({ formatArgs: ['--shards', '2'], mountOptions: ['commit=60'] });
    store = made;
    await made.shell(
      'for i in $(seq 20); do head -c 30000 /dev/urandom > PATIENT-$i; done; sha256sum PATIENT-* > ../sums',
    );
    await made.sync();
    return made;
  }

  async function staysBrokenUntilRepaired(made: TestStore, reason: RegExp): Promise<void> {
    const path = join(made.path, 'meta', 'BROKEN');
    const mark = JSON.parse(readFileSync(path, 'utf8')) as { reason: string };
    expect(mark.reason).toMatch(reason);
    await servesReadsOnly(made);
    // Names in an archive are patients' data.
    expect(`${made.log()}${mark.reason}`).not.toContain('PATIENT');
    await made.pacsfs(['unmount', made.mountPoint]);
    const again = await made.pacsfs(['mount', made.path, made.mountPoint]);
    expect([again.code, again.stderr]).toEqual([0, expect.stringContaining('broken')]);
    await servesReadsOnly(made);
    await made.unmount();
    const health = expect.stringContaining('broken: ');
    expect(JSON.parse((await made.pacsfs(['status', made.path, '--json'])).stdout)).toMatchObject({ health });
    const checked = await made.fsck();
    expect([checked.code, checked.stdout]).toEqual([4, expect.stringContaining('broken')]);
    expect(existsSync(path)).toBe(true);
    expect((await made.fsck(['--repair'])).code).toBe(1);
    expect(existsSync(path)).toBe(false);
    expect((await made.fsck()).code).toBe(0);
    await made.mount();
    await made.shell('echo new > new; mv PATIENT-1 moved; sync new; test "$(cat new)" = new');
    await made.unmount();
    expect((await made.fsck()).code).toBe(0);
  }

  it('of a file breaks the store until it is repaired', { timeout: 120_000 }, async () => {
    const made = await filled();
    expect(await failOnce(made, SYNCED_FILE)).toContain(IO_ERROR);
    const { daemon } = made.daemonPids();
    await servesReadsOnly(made);
    if (daemon !== undefined) process.kill(daemon, 'SIGKILL');
    await staysBrokenUntilRepaired(made, /own file of inode \d+, own\/\d+\/\d+ of volume 1/);
  });

  it('of the journal does too, and its daemon is replaced', { timeout: 120_000 }, async () => {
    const made = await filled();
    expect(await failOnce(made, SYNCED_FOLDER)).toContain(IO_ERROR);
    await staysBrokenUntilRepaired(made, /journal/);
  });
});

async function servesReadsOnly(store: TestStore): Promise<void> {
  expect(await store.shell('sha256sum --quiet -c ../sums; ls | wc -l')).toBe('21\n');
  for (const change of ['echo x > new', 'rm PATIENT-1', 'mv PATIENT-1 moved', 'mkdir d', 'echo x >> PATIENT-2']) {
    const refused = await store.run('bash', ['-c', change]);
    expect([change, refused.code === 0, refused.stderr]).toEqual([change, false, expect.stringContaining(IO_ERROR)]);
  }
  const status = await store.pacsfs(['status', store.path, '--json']);
  expect(JSON.parse(status.stdout)).toMatchObject({ health: expect.stringContaining('broken: ') });
}
