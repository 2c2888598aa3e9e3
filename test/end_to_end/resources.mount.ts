/** What a mount may cost: memory and descriptors while much is written, and no growth when it is written again and again. */
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { TestStore } from '../support/mount_harness.ts';
import { highestUsage, usageOf } from '../support/process_usage.ts';
import { SCRIPTS, unmountedFaults } from '../support/scripts.ts';

const MEMORY_LIMIT = 512 * 1024 * 1024;
const DESCRIPTOR_LIMIT = 5_000;
const WRITERS = 64;
const ROUNDS = 10;
const FILES_PER_ROUND = WRITERS * 20;
/** Between early and late rounds: what a collector leaves or takes by chance. */
const CHANCE_BYTES = 24 * 1024 * 1024;
/** What volumes may hold with every file deleted, space written ahead left out; a round writes some 55 MB. */
const DISK_LIMIT = 80 * 1024 * 1024;

describe('resources', () => {
  let store: TestStore;
  let supervisor: number;
  beforeEach(async () => {
    store = await TestStore.create();
    supervisor = store.daemonPids().supervisor ?? 0;
    expect(supervisor).toBeGreaterThan(0);
  });
  afterEach(async () => {
    await store.destroy();
  });

  async function ingest(folder: string, files: number): Promise<void> {
    const script = join(SCRIPTS, 'ingest.py');
    const each = Math.ceil(files / WRITERS);
    await store.shell(`python3 -B ${script} ${folder} ${WRITERS} ${each}`, { timeoutMs: 180_000 });
  }

  async function bytesOfVolumes(): Promise<number> {
    const status = JSON.parse((await store.pacsfs(['status', store.path, '--json'])).stdout);
    const used = execFileSync('du', ['-s', '--block-size=1', join(store.path, 'volumes')]).toString();
    return Number.parseInt(used, 10) - status.spaces[0].ahead;
  }

  it('stay bounded while 64 writers ingest 20,000 files', { timeout: 600_000 }, async () => {
    const usage = await highestUsage(supervisor, async () => {
      await ingest('archive', 20_000);
      await store.sync();
    });
    console.info(`resources: ${Math.round(usage.memory / 1e6)} MB, ${usage.descriptors} descriptors at most`);
    expect(usage.memory).toBeLessThan(MEMORY_LIMIT);
    expect(usage.descriptors).toBeLessThan(DESCRIPTOR_LIMIT);
    expect(await store.shell('find archive -type f | wc -l')).toBe(`${Math.ceil(20_000 / WRITERS) * WRITERS}\n`);
    expect(await unmountedFaults(store)).toBe('');
  });

  it('do not grow over ten rounds of writing and deleting', { timeout: 600_000 }, async () => {
    const memory: number[] = [];
    const descriptors: number[] = [];
    const disk: number[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      await ingest(`round-${round}`, FILES_PER_ROUND);
      await store.sync();
      await store.shell(`rm -rf round-${round}`);
      await store.sync();
      const usage = usageOf(supervisor);
      memory.push(usage.memory);
      descriptors.push(usage.descriptors);
      disk.push(await bytesOfVolumes());
    }
    const inMegabytes = (values: readonly number[]) => values.map((value) => Math.round(value / 1e6)).join(' ');
    console.info(
      `resources by round: ${inMegabytes(memory)} MB; ${descriptors.join(' ')} descriptors; volumes ${inMegabytes(disk)} MB`,
    );
    expect(highest(memory.slice(7))).toBeLessThan(highest(memory.slice(2, 5)) * 1.1 + CHANCE_BYTES);
    expect(highest(descriptors.slice(7))).toBeLessThan(highest(descriptors.slice(2, 5)) + 20);
    // An aggregate or two that is not full yet, and what is still to be punched.
    expect(highest(disk)).toBeLessThan(DISK_LIMIT);
    expect(await unmountedFaults(store)).toBe('');
  });
});

function highest(values: readonly number[]): number {
  return Math.max(...values);
}
