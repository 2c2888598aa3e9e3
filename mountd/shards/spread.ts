/** How evenly something lies over the shards. */
export interface Spread {
  readonly least: number;
  readonly most: number;
  readonly mean: number;
  /** Standard deviation by the mean, in per cent. */
  readonly deviationPercent: number;
}

export function spreadOf(values: readonly number[]): Spread {
  const mean = values.reduce((sum, value) => sum + value, 0) / Math.max(1, values.length);
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / Math.max(1, values.length);
  const deviationPercent = mean === 0 ? 0 : Math.round((1000 * Math.sqrt(variance)) / mean) / 10;
  return {
    least: Math.min(...values),
    most: Math.max(...values),
    mean: Math.round(mean * 10) / 10,
    deviationPercent,
  };
}

export function renderSpread(what: string, { least, most, mean, deviationPercent }: Spread): string {
  const count = (value: number) => value.toLocaleString('en');
  return `${what} a shard: ${count(least)} to ${count(most)}, mean ${count(mean)}, deviation ${deviationPercent} %`;
}
