/**
 * What a store should hold: names and contents, as the answers to its user say. Immutable, so that a state is kept by
 * keeping it.
 */
import type { LooseUser } from '../support/loose_user.ts';

/** Bytes of a file, or 'folder'. Hard links are two names with the same bytes. */
export type Node = Uint8Array | 'folder';
export type State = ReadonlyMap<string, Node>;

/** Everything there is, read through the filesystem; a file that cannot be read is an error by its name. */
export function stateOf(user: LooseUser): State {
  const found = new Map<string, Node>();
  const walk = (folder: string) => {
    for (const name of user.list(folder)) {
      const path = folder === '' ? name : `${folder}/${name}`;
      const isFolder = (user.stat(path).mode & 0o170000) === 0o040000;
      if (isFolder) {
        found.set(path, 'folder');
        walk(path);
        continue;
      }
      const bytes = user.read(path);
      if (typeof bytes === 'number') throw new Error(`${path} cannot be read: errno ${-bytes}`);
      found.set(path, bytes);
    }
  };
  walk('');
  return found;
}

export function isSameNode(a: Node | undefined, b: Node | undefined): boolean {
  if (a === undefined || b === undefined || a === 'folder' || b === 'folder') return a === b;
  return Buffer.compare(a, b) === 0;
}

/** Paths whose nodes differ, with what is there and what should be. */
export function differences(found: State, expected: State): string[] {
  const paths = new Set([...found.keys(), ...expected.keys()]);
  return [...paths]
    .filter((path) => !isSameNode(found.get(path), expected.get(path)))
    .map((path) => `${path}: ${describe(found.get(path))}, expected ${describe(expected.get(path))}`);
}

function describe(node: Node | undefined): string {
  if (node === undefined || node === 'folder') return node ?? 'nothing';
  return `${node.length} bytes (${Buffer.from(node.subarray(0, 8)).toString('hex')})`;
}

/** A write that failed may have written any of its bytes, and may not have made the file longer. */
export function isMixture(found: Node | undefined, before: Node | undefined, after: Node | undefined): boolean {
  if (!(found instanceof Uint8Array) || !(before instanceof Uint8Array) || !(after instanceof Uint8Array)) return false;
  return found.length === before.length && found.every((byte, i) => byte === before[i] || byte === after[i]);
}
