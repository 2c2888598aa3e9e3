/**
 * Every kind of thing that fsck can find, and how bad it is: 'damage' is what must not be; a 'note' is a state that the
 * next mount settles by itself. docs/fsck.md says what each means and what `--repair` does about it.
 */
export type Severity = 'damage' | 'note';

export const KINDS = {
  // The store as a whole
  broken: 'damage',
  // Databases
  'missing-shard': 'damage',
  'damaged-database': 'damage',
  'bad-row-checksum': 'damage',
  'foreign-slot': 'damage',
  'stray-move': 'damage',
  'moving-slot': 'note',
  'wrong-sequence': 'damage',
  'wrong-lsn': 'damage',
  'wrong-index': 'damage',
  // Names
  'dangling-dentry': 'damage',
  'stray-dentry': 'damage',
  'wrong-type': 'damage',
  'wrong-position': 'damage',
  'misplaced-dentry': 'damage',
  'bad-name': 'damage',
  'duplicate-name': 'damage',
  'extra-directory-name': 'damage',
  // Directories
  'missing-root': 'damage',
  'unreachable-directory': 'damage',
  'missing-partition': 'damage',
  'stray-partition': 'damage',
  'wrong-partition-count': 'damage',
  'wrong-boundary': 'damage',
  'removed-directory-in-use': 'damage',
  // Inodes
  'orphan-inode': 'damage',
  'wrong-nlink': 'damage',
  'wrong-parent': 'damage',
  'wrong-flag': 'damage',
  'bad-layout': 'damage',
  'missing-symlink-target': 'damage',
  'wrong-symlink-size': 'damage',
  'stray-symlink': 'damage',
  'stray-xattr': 'damage',
  'stray-extent-row': 'damage',
  'waiting-orphan': 'note',
  'unsettled-file': 'note',
  // Packed bytes
  'bad-extent': 'damage',
  'overlapping-extents': 'damage',
  'extent-beyond-written': 'damage',
  'bad-data-checksum': 'damage',
  'unreadable-data': 'damage',
  'missing-sharer': 'damage',
  'stale-sharer': 'damage',
  // Aggregates
  'missing-aggregate': 'damage',
  'missing-aggregate-row': 'damage',
  'stale-aggregate-row': 'damage',
  'unknown-aggregate': 'damage',
  'leftover-aggregate': 'note',
  'short-aggregate': 'damage',
  'bad-aggregate-header': 'damage',
  'wrong-aggregate-state': 'damage',
  'wrong-live-count': 'damage',
  // Own files
  'missing-own-file': 'damage',
  'lost-own-file': 'note',
  'wrong-own-size': 'damage',
  'shared-own-file': 'damage',
  'unknown-own-file': 'damage',
  'leftover-own-file': 'note',
  'spare-own-files': 'note',
  // Volumes
  'missing-volume': 'damage',
  'wrong-volume': 'damage',
} as const satisfies Record<string, Severity>;

export type Kind = keyof typeof KINDS;
