/** The short benchmark from end to end with tiny numbers: every row is measured, and the document gets its table. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { mustShow } from '../../bench/workloads/must_show.ts';
import { CHECKOUT } from '../support/mount_harness.ts';
import { run } from '../support/processes.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'pacsfs-test-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

it('measures every row but those of peers and leaves nothing behind', { timeout: 600_000 }, async () => {
  const document = join(folder, 'benchmarks.md');
  writeFileSync(document, '# Kept\n');
  const result = await run(process.execPath, [join(CHECKOUT, 'dist', 'bench', 'main.js')], {
    timeoutMs: 580_000,
    env: {
      PACSFS_BENCH_DIR: folder,
      PACSFS_BENCH_DOCUMENT: document,
      PACSFS_BENCH_SCALE: '0.005',
      PACSFS_BENCH_ROUNDS: '1',
      PACSFS_BENCH_PEERS: '',
    },
  });
  expect(result.stderr).not.toContain('Cannot');
  expect(result.code).toBe(0);
  const text = readFileSync(document, 'utf8');
  expect(text.startsWith('# Kept\n\n<!-- bench:begin must-show ext4 -->')).toBe(true);
  expect(text).toContain('a trial of the benchmark, no measurement');
  for (const { title, against } of mustShow.rows) {
    const line = text
      .split('\n')
      .find((one) => one.startsWith(`| ${title} `) && (against === undefined || one.includes(`| ${against} `)));
    expect(line, title).toBeDefined();
    if (against !== 'peers') expect(line).not.toContain('not measured');
  }
  expect(readdirSync(folder)).toEqual(['benchmarks.md']);
});
