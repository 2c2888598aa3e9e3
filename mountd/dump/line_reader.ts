/** Lines of a stream of bytes, split at newlines and nowhere else (a name may hold U+2028), with their checksum. */
import type { Readable } from 'node:stream';
import { crc32c } from '../../base/crc32c.ts';
import { MIB } from '../../base/units.ts';
import { Failure } from '../failure.ts';

/** An inode with tens of thousands of extents is a long line; more than this is no line of ours. */
const LINE_BYTES_MAX = 256 * MIB;
const NEWLINE = 0x0a;

export interface Line {
  /** From 1. */
  readonly number: number;
  readonly text: string;
  /** Checksum of all lines before this one. */
  readonly crcBefore: number;
}

export async function* readLines(stream: Readable): AsyncGenerator<Line> {
  let parts: Buffer[] = [];
  let bytes = 0;
  let number = 0;
  let crc = 0;
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    let from = 0;
    for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, from)) {
      const line = Buffer.concat([...parts, chunk.subarray(from, end + 1)]);
      parts = [];
      bytes = 0;
      from = end + 1;
      number += 1;
      yield { number, text: line.toString('utf8', 0, line.length - 1), crcBefore: crc };
      crc = crc32c(line, crc);
    }
    parts.push(chunk.subarray(from));
    bytes += chunk.length - from;
    if (bytes > LINE_BYTES_MAX)
      throw new Failure(`Cannot load, line ${number + 1}: longer than ${LINE_BYTES_MAX} bytes`);
  }
  if (bytes > 0) throw new Failure(`Cannot load, line ${number + 1}: it ends without a newline: the dump was cut off`);
}
