/**
 * What the tree on the mount ought to be: a few directories with names, files with all their bytes. Kept in memory, and
 * saved between the phases of a run so that a later phase can check what an earlier one left.
 */
import { readFileSync, writeFileSync } from 'node:fs';

/** One inode of the model. */
export class TreeFile {
  readonly id: number;
  links = 0;
  size = 0;
  /** Room for the content; bytes from `size` on are zero. */
  #room = new Uint8Array(4096);

  constructor(id: number) {
    this.id = id;
  }

  /** A view, valid until the next change. */
  content(): Uint8Array {
    return this.#room.subarray(0, this.size);
  }

  /** What a read at this place gives. */
  read(offset: number, length: number): Uint8Array {
    return this.#room.subarray(Math.min(offset, this.size), Math.min(offset + length, this.size));
  }

  write(offset: number, data: Uint8Array): void {
    if (data.length === 0) return;
    if (offset + data.length > this.size) this.resize(offset + data.length);
    this.#room.set(data, offset);
  }

  /** Zeros a range, as far as the file goes. */
  zero(offset: number, length: number): void {
    if (offset < this.size) this.#room.fill(0, offset, Math.min(offset + length, this.size));
  }

  resize(size: number): void {
    if (size > this.#room.length) {
      const room = new Uint8Array(Math.max(size, this.#room.length * 2));
      room.set(this.content());
      this.#room = room;
    } else if (size < this.size) {
      this.#room.fill(0, size, this.size);
    }
    this.size = size;
  }
}

export class Tree {
  /** By directory, then by name. */
  readonly directories: Map<string, Map<string, TreeFile>> = new Map();
  #files = 0;

  newFile(): TreeFile {
    this.#files += 1;
    return new TreeFile(this.#files);
  }

  names(directory: string): Map<string, TreeFile> {
    const names = this.directories.get(directory);
    if (names === undefined) throw new Error(`The model has no directory ${directory}`);
    return names;
  }

  get(place: Place): TreeFile | undefined {
    return this.names(place.directory).get(place.name);
  }

  /** Names a file, in place of whatever had the name. */
  put(place: Place, file: TreeFile): void {
    this.remove(place);
    this.names(place.directory).set(place.name, file);
    file.links += 1;
  }

  remove(place: Place): void {
    const file = this.get(place);
    if (file === undefined) return;
    file.links -= 1;
    this.names(place.directory).delete(place.name);
  }

  *places(): Generator<readonly [Place, TreeFile]> {
    for (const [directory, names] of this.directories) {
      for (const [name, file] of names) yield [{ directory, name }, file];
    }
  }

  save(path: string): void {
    const files = new Map<number, TreeFile>();
    for (const [, file] of this.places()) files.set(file.id, file);
    const listed = [...files.values()];
    const directories = [...this.directories].map(
      ([name, names]) => [name, [...names].map(([entry, file]) => [entry, file.id] as const)] as const,
    );
    const state: SavedTree = { files: this.#files, sizes: listed.map((file) => [file.id, file.size]), directories };
    writeFileSync(`${path}.json`, JSON.stringify(state));
    writeFileSync(`${path}.bytes`, Buffer.concat(listed.map((file) => file.content())));
  }

  static load(path: string): Tree {
    const state = JSON.parse(readFileSync(`${path}.json`, 'utf8')) as SavedTree;
    const bytes = readFileSync(`${path}.bytes`);
    const tree = new Tree();
    tree.#files = state.files;
    const files = new Map<number, TreeFile>();
    let at = 0;
    for (const [id, size] of state.sizes) {
      const file = new TreeFile(id);
      file.write(0, bytes.subarray(at, at + size));
      files.set(id, file);
      at += size;
    }
    for (const [directory, names] of state.directories) {
      tree.directories.set(directory, new Map());
      for (const [name, id] of names) {
        const file = files.get(id);
        if (file !== undefined) tree.put({ directory, name }, file);
      }
    }
    return tree;
  }
}

/** One name in one directory. */
export interface Place {
  readonly directory: string;
  readonly name: string;
}

interface SavedTree {
  readonly files: number;
  /** Id and size, in the order of the bytes. */
  readonly sizes: readonly (readonly [number, number])[];
  readonly directories: readonly (readonly [string, readonly (readonly [string, number])[]])[];
}
