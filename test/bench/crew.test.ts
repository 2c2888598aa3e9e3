import { appendFileSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadManifest } from '../../bench/studies/manifest.ts';
import { verifyStudies } from '../../bench/studies/reader.ts';
import { Study } from '../../bench/studies/study.ts';
import { writeStudies } from '../../bench/studies/writer.ts';

const STUDIES = { seed: 5, studies: 2, files: 12 };

describe('parallel writers and readers', () => {
  let folder = '';
  const to = (): string => join(folder, 'to');
  const manifest = (): string => join(folder, 'manifest');
  const read = () => verifyStudies({ from: to(), manifest: manifest(), processes: 2, readers: 3 }, 20_000);

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'pacsfs-crew-'));
    const places = { to: to(), manifest: manifest(), realFolder: join(folder, 'none') };
    const report = await writeStudies({ ...STUDIES, ...places, processes: 2, writers: 4, writeBytes: 65_536 }, 20_000);
    expect(report.files).toBe(24);
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it('write what the generator makes and note it', () => {
    const entries = loadManifest(manifest());
    expect(entries.length).toBe(24);
    for (const index of [0, 1]) {
      const study = new Study({ ...STUDIES, index });
      for (let file = 0; file < STUDIES.files; file++) {
        const expected = study.file(file);
        expect(readFileSync(join(to(), expected.path)).equals(expected.bytes)).toBe(true);
        expect(entries.find((entry) => entry.path === expected.path)?.size).toBe(expected.bytes.length);
      }
    }
  });

  it('read it back equal', async () => {
    const report = await read();
    expect(report.files).toBe(24);
    expect(report.bytes).toBe(loadManifest(manifest()).reduce((sum, entry) => sum + entry.size, 0));
  });

  it('refuse to write over what is there', async () => {
    const places = { to: to(), manifest: join(folder, 'again'), realFolder: join(folder, 'none') };
    const again = writeStudies({ ...STUDIES, ...places, processes: 1, writers: 2, writeBytes: 65_536 }, 20_000);
    await expect(again).rejects.toThrow(/EEXIST/);
  });

  it('stop at the time allowed', async () => {
    const slow = verifyStudies({ from: to(), manifest: manifest(), processes: 1, readers: 1 }, 1);
    await expect(slow).rejects.toThrow(/the time allowed/);
  });

  it('name the file that differs', async () => {
    const entry = loadManifest(manifest())[3];
    const path = join(to(), entry?.path ?? '');
    const { size } = statSync(path);
    appendFileSync(path, 'x');
    await expect(read()).rejects.toThrow(`${entry?.path} differs: ${size + 1} bytes, expected ${size}`);
    rmSync(path);
    await expect(read()).rejects.toThrow(/ENOENT/);
  });
});
