/** `user.pacsfs.*`: where a file lies, read with getfattr; only the pin can be written. */
import { E, type Result } from '../base/errno.ts';
import { FLAG_PINNED, type Inode } from '../shard/rows.ts';
import { type Core, S_IFMT, S_IFREG } from './core.ts';

export const PIN_NAME = 'user.pacsfs.pin';
export const LAYOUT_NAMES = [
  'user.pacsfs.layout',
  'user.pacsfs.tier',
  'user.pacsfs.volume',
  'user.pacsfs.extents',
] as const;

/** Where the bytes of one extent lie, as people and scripts see it. */
export interface ShownExtent {
  readonly volume: string;
  readonly aggregate: number;
  readonly offset: number;
  readonly length: number;
}

export function isLayoutName(name: string): boolean {
  return name === PIN_NAME || (LAYOUT_NAMES as readonly string[]).includes(name);
}

export function readLayoutXattr(core: Core, inode: Inode, name: string): Result<Uint8Array> {
  const value = layoutValue(core, inode, name);
  return value === undefined ? E.ENODATA : new TextEncoder().encode(value);
}

export function shownExtents(core: Core, inode: Inode): ShownExtent[] {
  return inode.extents.map((extent) => ({
    volume: core.volumes.get(extent.volume)?.name ?? `${extent.volume}`,
    aggregate: extent.aggregate,
    offset: extent.offset,
    length: extent.length,
  }));
}

function layoutValue(core: Core, inode: Inode, name: string): string | undefined {
  if (name === PIN_NAME) return (inode.flags & FLAG_PINNED) !== 0 ? '1' : undefined;
  if ((inode.mode & S_IFMT) !== S_IFREG) return undefined;
  const volume = inode.own?.volume ?? inode.extents[0]?.volume;
  const row = volume === undefined ? undefined : core.volumes.get(volume);
  switch (name) {
    case 'user.pacsfs.layout':
      return inode.layout;
    case 'user.pacsfs.extents':
      return JSON.stringify(shownExtents(core, inode));
    case 'user.pacsfs.volume':
      return row?.name;
    case 'user.pacsfs.tier':
      return row?.tier;
    default:
      return undefined;
  }
}
