/** `pacsfs tier explain` and `tier plan` on a real store, mounted and not. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import type { TierPlan } from '../../mountd/commands/tier_plan.ts';
import type { Explanation } from '../../tiering/policy/explain.ts';
import { TestStore } from '../support/mount_harness.ts';

const POLICY = `version: 1
rules:
  - {name: trials, when: {paths: 'trials/**'}, to: hot}
  - {name: to-warm, when: {olderThan: 90d}, to: warm}
`;

let store: TestStore | undefined;
afterEach(async () => {
  await store?.destroy();
  store = undefined;
});

async function create(): Promise<TestStore> {
  const made = await TestStore.create({ mounted: false });
  const volumes = ['hot', 'warm'].map((name) => `${name}=${name}:dir:${join(made.folder, name)}`);
  await made.destroy();
  store = await TestStore.create({ formatArgs: volumes.flatMap((volume) => ['--volume', volume]) });
  return store;
}

async function planned(of: TestStore, args: readonly string[] = []): Promise<TierPlan> {
  const result = await of.pacsfs(['tier', 'plan', of.path, '--json', ...args], { timeoutMs: 60_000 });
  expect([result.code, result.stderr]).toEqual([0, '']);
  return JSON.parse(result.stdout) as TierPlan;
}

describe('tier', () => {
  it('explains a file, and plans the same with the store mounted or not', { timeout: 240_000 }, async () => {
    const of = await create();
    const explained = async (path: string, args: readonly string[] = []) => {
      const found = await of.pacsfs(['tier', 'explain', join(of.mountPoint, path), ...args], { timeoutMs: 60_000 });
      expect([found.code, found.stderr]).toEqual([0, '']);
      return found.stdout;
    };
    await of.shell(`
      mkdir -p trials/a patient/study empty
      for i in $(seq 40); do head -c 5000 /dev/urandom > patient/study/old$i; head -c 3000 /dev/urandom > trials/a/old$i; done
      head -c 700 /dev/urandom > patient/new; touch empty/none
      touch -d '100 days ago' patient/study/* trials/a/* empty/none
      setfattr -n user.pacsfs.pin -v 1 patient/study/old40`);
    writeFileSync(join(of.path, 'tiering.yaml'), POLICY);
    await of.sync();

    const moves = JSON.parse(await explained('patient/study/old1', ['--json'])) as Explanation;
    expect(moves).toMatchObject({ outcome: 'moves', rule: 'to-warm', to: 'warm', volume: 'hot' });
    expect(moves.rules.map(({ verdict }) => verdict)).toEqual(['fails', 'applies']);
    expect(await explained('trials/a/old1')).toContain("stays: rule 'trials' wants it on hot, where it is");
    expect(await explained('patient/study/old40')).toContain('stays: it is pinned');
    expect(await explained('patient/new')).toContain("next: to warm by rule 'to-warm', from ");
    expect(await explained('patient/new', ['--now', '2100-01-01'])).toContain('moves to warm');

    const mounted = await planned(of);
    expect(mounted).toMatchObject({
      moving: { files: 39, bytes: 39 * 5_000 },
      byRule: [{ rule: 'to-warm', files: 39 }],
      byWay: [{ from: 'hot', to: 'warm', files: 39 }],
      pauses: [],
      damaged: 0,
    });
    expect(mounted.byCause).toEqual([
      { cause: 'placed', files: 40, bytes: 40 * 3_000 },
      { cause: 'pinned', files: 1, bytes: 5_000 },
      { cause: 'unmatched', files: 1, bytes: 700 },
    ]);
    await of.unmount();
    expect({ ...(await planned(of)), now: '' }).toEqual({ ...mounted, now: '' });
    expect((await planned(of, ['--now', '2100-01-01T00:00:00Z'])).moving.files).toBe(40);
    const text = (await of.pacsfs(['tier', 'plan', of.path])).stdout;
    expect(text).toMatch(/^moving at .*: 39 files, 190.4 KiB\n {2}by rule 'to-warm': 39 files/);
    expect((await of.fsck()).code).toBe(0);
  });

  it('names what is wrong with a policy or a path', { timeout: 240_000 }, async () => {
    const of = await create();
    await of.shell('mkdir folder; touch empty');
    const refusal = async (args: readonly string[]) => {
      const result = await of.pacsfs(['tier', ...args], { timeoutMs: 60_000 });
      expect(result.stderr).toMatch(/^pacsfs: [^\n]+\n$/);
      return [result.code, result.stderr] as const;
    };
    expect(await refusal(['explain', join(of.mountPoint, 'folder')])).toEqual([
      1,
      expect.stringMatching(/it is not a file/),
    ]);
    expect(await refusal(['explain', of.path])).toEqual([1, expect.stringMatching(/Not in a mount/)]);
    expect(await refusal(['plan', of.path, '--now', 'soon'])).toEqual([
      2,
      expect.stringMatching(/Cannot use --now 'soon'/),
    ]);
    writeFileSync(join(of.path, 'tiering.yaml'), `${POLICY}rulez: 1\nminResidence: x\n`);
    expect(await refusal(['plan', of.mountPoint])).toEqual([
      1,
      expect.stringMatching(/Cannot use .*store\/tiering.yaml, line \d: .*\(and 1 more\)/),
    ]);
  });
});
