/** A loose filesystem and a user of it, gone with the test. */
import { onTestFinished } from 'vitest';
import { LooseFilesystem, type LooseOptions } from '../support/loose_filesystem.ts';
import { LooseUser, ROOT_USER } from '../support/loose_user.ts';

export interface Fixture {
  readonly loose: LooseFilesystem;
  readonly user: LooseUser;
}

export function start(options: LooseOptions = {}): Fixture {
  const loose = new LooseFilesystem(options);
  onTestFinished(() => loose.remove());
  const pump = (round: number) => {
    if (round > 0) loose.work();
    loose.tick();
  };
  return { loose, user: new LooseUser(() => loose.filesystem, ROOT_USER, pump) };
}

/** Contents that tell their place: no two ranges of 4 bytes are alike, and `seed` tells files apart. */
export function pattern(length: number, seed = 1): Uint8Array {
  const words = new Uint32Array(Math.ceil(length / 4));
  for (let i = 0; i < words.length; i++) words[i] = (i * 2_654_435_761 + seed * 40_503) >>> 0;
  return new Uint8Array(words.buffer, 0, length);
}

/** Equality of contents; `toEqual` takes seconds for megabytes. */
export function same(found: Uint8Array | number, expected: Uint8Array): boolean {
  return typeof found !== 'number' && Buffer.compare(found, expected) === 0;
}
