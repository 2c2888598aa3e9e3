/** Seeded chance: the same seed gives the same numbers on every machine. Nothing here is for secrets. */
import { createHash } from 'node:crypto';

/** A 32-bit seed, never 0, from whatever names the thing that is to be drawn. */
export function seedOf(...parts: readonly (string | number)[]): number {
  const digest = createHash('sha256').update(parts.join('/')).digest();
  return digest.readUInt32LE(0) || 1;
}

/** Marsaglia's xorshift32 ("Xorshift RNGs", 2003): each call gives the next of 2^32 - 1 whole numbers, never 0. */
export function xorshift32(seed: number): () => number {
  let state = seed >>> 0 || 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    state >>>= 0;
    return state;
  };
}

/** One of `choices`, all equally likely. */
export function pick<T>(random: () => number, choices: readonly [T, ...T[]]): T {
  return choices[random() % choices.length] ?? choices[0];
}

/**
 * A DICOM UID for whatever `parts` name, always 43 characters: the root 2.25 and a number below 2^128 of 38 digits
 * (DICOM PS3.5, annex B.2). The fixed width is what lets a template be patched in place.
 */
export function uidOf(...parts: readonly (string | number)[]): string {
  const digest = createHash('sha256').update(parts.join('/')).digest();
  const drawn = (digest.readBigUInt64LE(0) << 64n) | digest.readBigUInt64LE(8);
  const smallest = 10n ** 37n;
  return `2.25.${smallest + (drawn % (9n * smallest))}`;
}
