/** Byte counts as people write them: '8 MiB', '64M', '1073741824'. */
import { GIB, KIB, MIB } from './units.ts';

const TIB = 1024 * GIB;
const FACTORS: Readonly<Record<string, number>> = {
  '': 1,
  b: 1,
  k: KIB,
  kib: KIB,
  kb: 1_000,
  m: MIB,
  mib: MIB,
  mb: 1_000_000,
  g: GIB,
  gib: GIB,
  gb: 1_000_000_000,
  t: TIB,
  tib: TIB,
  tb: 1_000_000_000_000,
};

/** Bytes, or undefined when the text is no size; units of 1024 (KiB, K) and of 1000 (KB) are told apart. */
export function parseSize(text: string): number | undefined {
  const match = /^\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*$/i.exec(text);
  const factor = FACTORS[match?.[2]?.toLowerCase() ?? '?'];
  if (match === null || factor === undefined) return undefined;
  const bytes = Number(match[1]) * factor;
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}

/** In the largest unit that leaves it whole: what `parseSize` reads back exactly. */
export function formatSize(bytes: number): string {
  for (const [unit, factor] of [
    ['TiB', TIB],
    ['GiB', GIB],
    ['MiB', MIB],
    ['KiB', KIB],
  ] as const) {
    if (bytes >= factor && bytes % factor === 0) return `${bytes / factor} ${unit}`;
  }
  return `${bytes}`;
}

/** Rounded, for people: '1.4 GiB'. */
export function approximateSize(bytes: number): string {
  for (const [unit, factor] of [
    ['TiB', TIB],
    ['GiB', GIB],
    ['MiB', MIB],
    ['KiB', KIB],
  ] as const) {
    if (bytes >= factor) return `${(bytes / factor).toFixed(1)} ${unit}`;
  }
  return `${bytes} B`;
}
