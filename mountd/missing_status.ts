/** What `pacsfs status` says of shards that are missing. */
import { describeMissing } from '../shard/missing_shard.ts';
import type { NamespaceStore } from '../shard/store.ts';

export interface MissingStatus {
  readonly health?: string;
  readonly missingShards?: readonly {
    readonly shard: number;
    readonly path: string;
    readonly reason: string;
    /** Of the store's 4,096: about that part of all names and inodes. */
    readonly slots: number;
  }[];
}

/** Nothing where none is missing. */
export function missingStatus(namespace: NamespaceStore): MissingStatus {
  const missing = namespace.missingShards;
  const [first] = missing;
  if (first === undefined) return {};
  const counts = new Map<number, number>();
  for (const shard of namespace.slotMap()) counts.set(shard, (counts.get(shard) ?? 0) + 1);
  const others = missing.length > 1 ? ` (and ${missing.length - 1} more)` : '';
  return {
    health: `degraded: ${describeMissing(first)}${others}; read-only, EIO for what lies there: unmount, bring the file back or \`pacsfs fsck --repair\`, mount again`,
    missingShards: missing.map(({ shard, path, reason }) => ({ shard, path, reason, slots: counts.get(shard) ?? 0 })),
  };
}
