/** How many messages each file costs: what programs do must not become dearer by an oversight. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { MAKE_SOURCE, perFile, WORKLOADS } from '../../bench/messages/workloads.ts';
import { TestStore } from '../support/mount_harness.ts';
import { run } from '../support/processes.ts';

/** What the kernel asks for whatever is made: its place, the directory as the last create left it, file capabilities. */
const MAKING = { LOOKUP: 1, GETATTR: 1, CREATE: 1, GETXATTR: 1, RELEASE: 1 };
/** Messages of a kind for each file, at most, with ACLs; nothing else may come. */
const MOST: Readonly<Record<string, Readonly<Record<string, number>>>> = {
  'create, write, close': MAKING,
  'open, read, close': { LOOKUP: 1, OPEN: 1, READ: 1, RELEASE: 1 },
  // It asks for the ACL, and for SELinux's label.
  'ls -l': { GETXATTR: 2 },
  'ls -l again': { GETXATTR: 2 },
  'cp -r': MAKING,
  // Its second look at each file is for what reading has done to it.
  tar: { LOOKUP: 1, GETATTR: 1, OPEN: 1, READ: 3, RELEASE: 1 },
  // Under another name first; owner, mode and time are set one by one.
  'rsync -a': { ...MAKING, LOOKUP: 3, GETATTR: 5, SETATTR: 3, RENAME: 1 },
};
/** Of ACLs nothing is asked where there are none. */
const MOST_WITHOUT_ACL: typeof MOST = { ...MOST, 'ls -l': { GETXATTR: 1 }, 'ls -l again': { GETXATTR: 1 } };
/** Where ACLs may make a difference. */
const CHANGED_BY_ACL = ['create, write, close', 'ls -l', 'ls -l again'];
/** What is for all files together, and for what the command line asks. */
const FOR_ALL = 0.2;

describe('messages per file', () => {
  let store: TestStore;
  beforeEach(async () => {
    store = await TestStore.create();
  });
  afterEach(async () => {
    await store.destroy();
  });

  async function requests(): Promise<Readonly<{ [name: string]: number }>> {
    return JSON.parse((await store.pacsfs(['status', store.path, '--json'])).stdout).requests;
  }

  it.each(['acl', 'noacl'])('are as few as the protocol allows: -o %s', { timeout: 120_000 }, async (options) => {
    const sources = join(store.folder, 'sources');
    mkdirSync(sources);
    const made = await run('bash', ['-euo', 'pipefail', '-c', MAKE_SOURCE], { cwd: sources });
    expect(made.code).toBe(0);
    await store.remount([options, 'passthrough']);
    const most = options === 'acl' ? MOST : MOST_WITHOUT_ACL;
    const excess: string[] = [];
    const workloads = WORKLOADS.filter(({ name }) => options === 'acl' || CHANGED_BY_ACL.includes(name));
    for (const { name, isCold, script } of workloads) {
      if (isCold) {
        await store.sync();
        await store.remount([options, 'passthrough']);
      }
      const before = await requests();
      await store.shell(script, { env: { ...process.env, SOURCE: join(sources, 'source') } });
      for (const [kind, count] of perFile(before, await requests()).byKind)
        if (count > (most[name]?.[kind] ?? 0) + FOR_ALL) excess.push(`${name}: ${count.toFixed(2)} ${kind}`);
    }
    expect(excess).toEqual([]);
  });
});
