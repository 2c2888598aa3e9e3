/** A loose filesystem whose READs are answered by reader threads' code, here, when it is told to; replies go into a file. */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { segmentMemory } from '../../aggregate/segments.ts';
import { readDescriptor } from '../../base/posix_backing.ts';
import { MIB } from '../../base/units.ts';
import { ReadServer } from '../../fs/reads/read_server.ts';
import { ReadRing, ringMemory } from '../../fs/reads/ring.ts';
import { ANSWERED_ELSEWHERE } from '../../fs/types.ts';
import type { LooseFilesystem } from '../support/loose_filesystem.ts';
import type { LooseUser, OpenFile } from '../support/loose_user.ts';
import { start } from './fixture.ts';

const HEADER_BYTES = 16;

/** What a client gets, and who gave it. */
export interface Read {
  readonly bytes: Uint8Array | number;
  readonly by: 'asker' | 'device' | 'again';
}

export interface Options {
  readonly readers?: number;
  readonly cacheBytes?: number;
  readonly volumes?: number;
  /** They have not begun to look. */
  readonly isDown?: boolean;
}

export class ReadBench {
  readonly loose: LooseFilesystem;
  readonly user: LooseUser;
  readonly segments;
  /** Bytes fetched from files by each reader. */
  readonly fetched: number[];
  bells = 0;
  #servers: readonly ReadServer[] = [];
  readonly #device: number;
  readonly #rings;
  #told = 0;
  #unique = 1;

  constructor({ readers = 2, cacheBytes = 16 * MIB, volumes = 1, isDown = false }: Options = {}) {
    const memories = Array.from({ length: readers }, ringMemory);
    this.segments = segmentMemory(cacheBytes);
    this.#rings = memories.map((memory) => new ReadRing(memory));
    this.fetched = memories.map(() => 0);
    let device = -1;
    const readThreads = { rings: memories, segments: this.segments, device: () => device };
    const { loose, user } = start({ readThreads, volumes, data: { aggregateBytes: 64 * MIB } });
    device = openSync(join(loose.folder, 'device'), 'w+');
    this.#device = device;
    onTestFinished(() => closeSync(device));
    this.loose = loose;
    this.user = user;
    if (!isDown) this.begin();
  }

  begin(): void {
    this.#servers = this.#rings.map((ring, index) => {
      const fetch = (descriptor: number, into: Uint8Array, offset: number) => {
        this.fetched[index] = (this.fetched[index] ?? 0) + into.length;
        return readDescriptor(descriptor, into, offset);
      };
      const ringBell = () => {
        this.bells += 1;
      };
      return new ReadServer({ ring, segments: this.segments, ringBell, fetch });
    });
  }

  /** A READ, answered at once or once the readers have worked. */
  read(file: OpenFile, offset: number, size: number): Read {
    const asked = this.ask(file, offset, size);
    this.work();
    this.loose.look();
    return asked();
  }

  /** A READ; what it gives tells what has become of it by then. */
  ask(file: OpenFile, offset: number, size: number): () => Read {
    const into = new Uint8Array(size);
    const request = { ...file, offset };
    const uniqueLow = this.#unique++;
    let again: Read | undefined;
    const answerHere = () => {
      const count = this.user.filesystem.read(request, into);
      again = { bytes: count < 0 ? count : into.subarray(0, count), by: 'again' };
    };
    const count = this.user.filesystem.read(request, into, { uniqueLow, uniqueHigh: 7, answerHere });
    if (count !== ANSWERED_ELSEWHERE)
      return () => ({ bytes: count < 0 ? count : into.subarray(0, count), by: 'asker' });
    return () => again ?? { bytes: this.#replyTo(uniqueLow), by: 'device' };
  }

  /** The readers, or one of them, do all that there is to do, or so many steps of it. */
  work(options: { readonly turns?: number; readonly reader?: number } = {}): void {
    for (const [index, server] of this.#servers.entries()) {
      if (index !== (options.reader ?? index)) continue;
      for (let left = options.turns ?? Number.POSITIVE_INFINITY; left > 0 && server.turn(); left -= 1);
    }
  }

  #replyTo(unique: number): Uint8Array {
    const { size } = fstatSync(this.#device);
    const written = new Uint8Array(size - this.#told);
    readSync(this.#device, written, 0, written.length, this.#told);
    for (let at = 0; at < written.length; ) {
      const view = new DataView(written.buffer, at);
      const [length, error] = [view.getUint32(0, true), view.getInt32(4, true)];
      if (view.getUint32(8, true) === unique && view.getUint32(12, true) === 7 && error === 0)
        return written.slice(at + HEADER_BYTES, at + length);
      at += length;
    }
    throw new Error(`No reply to ${unique} in ${written.length} bytes`);
  }

  /** Replies so far are forgotten: a second one to the same request would be found. */
  forget(): void {
    this.#told = fstatSync(this.#device).size;
  }
}
