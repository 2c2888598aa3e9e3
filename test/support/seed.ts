/**
 * Where the seeds of a suite begin. The same numbers every time unless told otherwise, so that a change which breaks nothing
 * passes every time; `random` draws from the clock, which is how the long runs look further.
 */
const FIXED = 1_000;
const RANDOM = 'random';
const RANGE = 1_000_000;

/** From the environment: a number, or `random`. Above 0; throws for anything else. Whoever calls prints it. */
export function firstSeed(variable: 'CRASH_SEED' | 'PACSFS_SEED'): number {
  const given = process.env[variable] ?? '';
  if (given === '') return FIXED;
  if (given === RANDOM) return 1 + (Date.now() % RANGE);
  const seed = Number(given);
  if (Number.isSafeInteger(seed) && seed > 0) return seed;
  throw new Error(`${variable}=${given}: expected a whole number above 0, or \`${RANDOM}\``);
}
