/** The model agrees with an ordinary folder, and sees what is planted there. */
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type PhaseResult, runPhase } from '../support/model/run.ts';

describe('the model of random operations', () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'pacsfs-model-'));
    mkdirSync(join(folder, 'root'));
  });
  afterEach(() => {
    rmSync(folder, { recursive: true, force: true });
  });

  function phase(operations: number, first: boolean): PhaseResult {
    const state = join(folder, 'state');
    return runPhase({ root: join(folder, 'root'), seed: '7', operations, state, first, pack: [], packEvery: 1_000 });
  }

  function someFile(): string {
    const names = readdirSync(join(folder, 'root', 'd0')).map((name) => join(folder, 'root', 'd0', name));
    const found = names.find((name) => statSync(name).size > 0);
    if (found === undefined) throw new Error('The run left no file with content in d0');
    return found;
  }

  it('finds no difference on an ordinary filesystem, over two phases', () => {
    expect(phase(2_000, true).difference).toBeNull();
    expect(phase(2_000, false).difference).toBeNull();
  });

  it('finds one changed byte', () => {
    expect(phase(2_000, true).difference).toBeNull();
    const content = readFileSync(someFile());
    content[content.length - 1] = (content.at(-1) ?? 0) ^ 1;
    writeFileSync(someFile(), content);
    expect(phase(0, false).difference).toContain('they differ within bytes');
  });

  it('finds a missing and a surplus name', () => {
    expect(phase(2_000, true).difference).toBeNull();
    writeFileSync(join(folder, 'root', 'd1', 'surplus'), '');
    expect(phase(0, false).difference).toContain('names in d1');
    unlinkSync(join(folder, 'root', 'd1', 'surplus'));
    unlinkSync(someFile());
    expect(phase(0, false).difference).toContain('names in d0');
  });
});
