/** `tiering.yaml` in the store folder, beside store.yaml: absent means that nothing moves by itself. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { E, errnoFromThrown, errnoOf } from '../../base/errno.ts';
import { localOwnerNames } from '../../tiering/policy/owner_names.ts';
import { emptyPolicy, POLICY_FILE, parsePolicy } from '../../tiering/policy/parse.ts';
import type { Policy } from '../../tiering/policy/policy.ts';
import { type StoreConfig, volumeRows } from '../config.ts';
import { Failure, failureOf } from '../failure.ts';

export function policyPath(store: string): string {
  return join(store, POLICY_FILE);
}

/** Throws a Failure with the first flaw of the file, and how many more there are. */
export function readPolicy(store: string, config: StoreConfig): Policy {
  const context = { volumes: volumeRows(config, store), names: localOwnerNames() };
  const path = policyPath(store);
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if (errnoOf(errnoFromThrown(error)) === E.ENOENT) return emptyPolicy(context);
    throw failureOf(`read ${path}`, error);
  }
  const parsed = parsePolicy(text, path, context);
  if ('policy' in parsed) return parsed.policy;
  const more = parsed.flaws.length - 1;
  throw new Failure(parsed.flaws[0] + (more > 0 ? ` (and ${more} more)` : ''));
}
