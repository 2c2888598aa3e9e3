/**
 * Exactly once: a request that the kernel sends again after a restart is not carried out when the record of its effect
 * names it. Only the reply is made again, from what the rows say now.
 */
import type { CompletedRequest } from '../shard/store.ts';

export type { CompletedRequest } from '../shard/store.ts';

/** What tells a request of the kernel from all others of its mount. */
export type KernelRequest = Omit<CompletedRequest, 'ino'>;
