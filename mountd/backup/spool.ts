/** Records that came while rows were read, kept in a file beside the backup: they belong behind the rows. */
import { closeSync, openSync, readSync, unlinkSync, writeSync } from 'node:fs';
import type { Lsn } from '../../base/units.ts';
import type { TailRecord } from '../../shard/journal/tail.ts';

const HEAD_BYTES = 16;

export class Spool {
  readonly #fd: number;
  #end = 0;

  constructor(path: string) {
    this.#fd = openSync(path, 'w+', 0o600);
    // Nobody else needs it, and it must not stay.
    unlinkSync(path);
  }

  add(records: readonly TailRecord[]): void {
    const pieces: Uint8Array[] = [];
    for (const { lsn, payload } of records) {
      const head = Buffer.alloc(HEAD_BYTES);
      head.writeBigUInt64LE(BigInt(lsn), 0);
      head.writeUInt32LE(payload.length, 8);
      pieces.push(head, payload);
    }
    const bytes = Buffer.concat(pieces);
    for (let done = 0; done < bytes.length; )
      done += writeSync(this.#fd, bytes, done, bytes.length - done, this.#end + done);
    this.#end += bytes.length;
  }

  *records(): Generator<TailRecord> {
    for (let at = 0; at < this.#end; ) {
      const head = this.#read(at, HEAD_BYTES);
      const length = head.readUInt32LE(8);
      yield { lsn: Number(head.readBigUInt64LE(0)) as Lsn, payload: this.#read(at + HEAD_BYTES, length) };
      at += HEAD_BYTES + length;
    }
  }

  #read(at: number, length: number): Buffer {
    const bytes = Buffer.alloc(length);
    for (let done = 0; done < length; ) {
      const count = readSync(this.#fd, bytes, done, length - done, at + done);
      if (count === 0) throw new Error('The spool of records ends early');
      done += count;
    }
    return bytes;
  }

  close(): void {
    closeSync(this.#fd);
  }
}
