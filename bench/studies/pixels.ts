/**
 * Pixels like those of a CT or MR: soft gradients, a body in air, and noise, in 12 of 16 bits, little-endian. Two pixels
 * are added at a time as one 32-bit word, which keeps a core at over a gigabyte a second; neither half ever overflows.
 */
import { assert } from '../../base/assert.ts';
import { seedOf, xorshift32 } from './random.ts';

/** 2^18 words of noise (1 MiB): more than the words of the largest image, so any window of it is a different noise. */
const NOISE_WORDS = 1 << 18;
const LARGEST_SIDE = 704;
/** The phantom is this many rows taller than the image; consecutive slices look at it from different heights. */
const SPARE_ROWS = 64;

/** Two pixels a word, each the sum of two 5-bit numbers: 0 to 62 with a triangular distribution. */
export function makeNoise(seed: number): Uint32Array {
  const random = xorshift32(seedOf('noise', seed));
  const noise = new Uint32Array(NOISE_WORDS + (LARGEST_SIDE * LARGEST_SIDE) / 2);
  for (let i = 0; i < noise.length; i++) {
    const drawn = random();
    noise[i] = (drawn & 0x001f001f) + ((drawn >>> 5) & 0x001f001f);
  }
  return noise;
}

/** A soft ellipse (values up to 2,600) on a faint gradient, `SPARE_ROWS` taller than `side`. */
export function makePhantom(side: number, seed: number): Uint32Array {
  assert(side % 2 === 0 && side <= LARGEST_SIDE, `side ${side}, expected even and at most ${LARGEST_SIDE}`);
  const random = xorshift32(seedOf('phantom', seed, side));
  const width = 0.3 + (random() % 100) / 1000;
  const height = 0.25 + (random() % 100) / 1000;
  const rows = side + SPARE_ROWS;
  const pixels = new Uint16Array(side * rows);
  for (let row = 0; row < rows; row++) {
    const y = (row / rows - 0.5) / height;
    for (let column = 0; column < side; column++) {
      const x = (column / side - 0.5) / width;
      const depth = Math.max(0, 1 - x * x - y * y);
      const tissue = 1500 * Math.sqrt(depth) + 220 * wave(1.5 * x) * wave(y) * depth;
      pixels[row * side + column] = 120 + Math.round(tissue + (300 * row) / rows + (200 * column) / side);
    }
  }
  return new Uint32Array(pixels.buffer);
}

/** A soft wave of period 1 between -1 and 1 made of parabolas: arithmetic that is the same in every engine. */
function wave(turns: number): number {
  const part = turns - Math.floor(turns);
  const half = part < 0.5 ? part : part - 0.5;
  const arch = 16 * half * (0.5 - half);
  return part < 0.5 ? arch : -arch;
}

/** Fills `into`, the pixels of image `image` of a series. */
export function fillPixels(
  into: Uint32Array,
  { phantom, noise, side, image }: { phantom: Uint32Array; noise: Uint32Array; side: number; image: number },
): void {
  const shift = (image % SPARE_ROWS) * (side / 2);
  // A step that is odd visits all windows of the noise before one comes again, so images of one series all differ.
  const window = (image * 40503) % NOISE_WORDS;
  const brightness = (image % 97) * 0x00010001;
  for (let i = 0; i < into.length; i++) {
    into[i] = (phantom[shift + i] ?? 0) + (noise[window + i] ?? 0) + brightness;
  }
}
