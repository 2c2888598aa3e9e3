/** Sizes of the files of a PACS: 63 % have 200 to 300 KB, the others up to 1,170 KB; the mean is about 430 KB. */
import { seedOf, xorshift32 } from './random.ts';

/** The share of files with 200 to 300 KB. */
export const SMALL_SHARE = 0.63;
const SMALLEST = 200_000;
const SMALL_BELOW = 300_000;
const LARGEST = 1_170_000;

/** The same seed gives the same sizes, in bytes. */
export function sizesOf(seed: number, count: number): number[] {
  const random = xorshift32(seedOf('sizes', seed));
  const share = () => random() / 2 ** 32;
  return Array.from({ length: count }, () =>
    Math.floor(
      share() < SMALL_SHARE
        ? SMALLEST + share() * (SMALL_BELOW - SMALLEST)
        : SMALL_BELOW + share() * (LARGEST - SMALL_BELOW),
    ),
  );
}
