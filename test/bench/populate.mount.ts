/** A populated store is a store like any other: nothing to find in it, names and bytes served, changed, durable. */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { FileNames } from '../../bench/populate/names.ts';
import { CHECKOUT, pacsfs } from '../support/mount_harness.ts';
import { run } from '../support/processes.ts';

const FILES = 3_000;
const DIRECTORIES = 300;

let folder: string;
let store: string;
let mountPoint: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'pacsfs-test-'));
  store = join(folder, 'store');
  mountPoint = join(folder, 'mnt');
  mkdirSync(mountPoint);
});
afterEach(async () => {
  await pacsfs(['unmount', mountPoint]);
  rmSync(folder, { recursive: true, force: true });
});

async function succeed(command: string, args: readonly string[]): Promise<string> {
  const result = await run(command, args, { timeoutMs: 60_000 });
  if (result.code !== 0) throw new Error(`${command} ${args.join(' ')} ended with ${result.code}: ${result.stderr}`);
  return result.stdout;
}

async function populate(args: readonly string[]): Promise<void> {
  const program = join(CHECKOUT, 'dist', 'bench', 'populate.js');
  await succeed(process.execPath, [program, store, '--files', String(FILES), ...args]);
}

async function clean(args: readonly string[]): Promise<void> {
  const result = await pacsfs(['fsck', store, ...args], { timeoutMs: 60_000 });
  expect(result.stdout).toContain('clean');
  expect(result.code).toBe(0);
}

it('holds what was asked for and is served like any other store', { timeout: 120_000 }, async () => {
  await populate(['--directories', String(DIRECTORIES), '--name-bytes', '40']);
  await clean([]);
  await pacsfs(['mount', store, mountPoint]);
  const names = (await succeed('find', [mountPoint, '-type', 'f'])).trim().split('\n');
  expect(names.length).toBe(FILES);
  expect(names.every((name) => name.slice(name.lastIndexOf('/') + 1).length === 40)).toBe(true);
  const [first = '', second = ''] = names;
  await succeed('sh', ['-c', `tr -d '\\0' < "${first}" | cmp - /dev/null && rm "${first}" && echo x >> "${second}"`]);
  expect((await succeed('tail', ['-c', '2', second])).trim()).toBe('x');
  await pacsfs(['unmount', mountPoint]);
  await clean([]);
});

it('with --empty has no file with bytes', { timeout: 120_000 }, async () => {
  await populate(['--directories', '1', '--empty']);
  await clean(['--metadata-only']);
  await pacsfs(['mount', store, mountPoint]);
  expect((await succeed('find', [mountPoint, '-type', 'f', '-size', '0'])).trim().split('\n').length).toBe(FILES);
});

it('divides a directory with many files as its splits would have', { timeout: 120_000 }, async () => {
  const names = 150_000;
  await populate(['--directories', '1', '--empty', '--name-bytes', '16', '--files', String(names)]);
  await clean(['--metadata-only']);
  await pacsfs(['mount', store, mountPoint]);
  const directory = join(mountPoint, 'study-00000000');
  const { partitions, entries } = JSON.parse((await pacsfs(['info', directory, '--json'])).stdout);
  expect(partitions).toBeGreaterThan(1);
  expect(entries).toBe(names);
  const listed = (await succeed('find', [directory, '-type', 'f', '-printf', '%f\\n'])).trim().split('\n');
  expect(new Set(listed).size).toBe(names);
  expect(listed.length).toBe(names);
  const places = new Set<number>();
  const names16 = new FileNames(16);
  const textOf = (number: number) => names16.textOf(number);
  for (let number = 0; number < names; number += 9_999) {
    const { slot, partition } = JSON.parse((await pacsfs(['info', join(directory, textOf(number)), '--json'])).stdout);
    places.add(slot);
    expect(partition).toBeLessThan(4_096);
  }
  expect(places.size).toBeGreaterThan(1);
  await succeed('sh', ['-c', `cd ${directory} && rm ${textOf(77)} && mv ${textOf(78)} new && stat ${textOf(149_999)}`]);
  await pacsfs(['unmount', mountPoint]);
  await clean(['--metadata-only']);
});
