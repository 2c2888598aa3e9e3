/** A bug, not an outcome: the process that meets one ends, and its supervisor decides what follows. */
export class AssertionError extends Error {
  override readonly name = 'AssertionError';
}

export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new AssertionError(message);
}

/** For the `default` of a switch over a closed set, and for places that cannot be reached. */
export function unreachable(message: string): never {
  throw new AssertionError(`unreachable: ${message}`);
}
