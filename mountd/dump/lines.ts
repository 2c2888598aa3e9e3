/** A dump as bytes, in pieces of about 256 KiB: header, rows, and the end line that counts and sums them up. */
import { crc32c } from '../../base/crc32c.ts';
import type { Header, Row, RowKind } from './format_v1.ts';

const PIECE_CHARACTERS = 256 * 1024;

export function* dumpBytes(header: Header, rows: Iterable<Row>): Generator<Buffer> {
  const counts: Partial<Record<RowKind, number>> = {};
  let text = `${JSON.stringify(header)}\n`;
  let crc = 0;
  const piece = (): Buffer => {
    const bytes = Buffer.from(text);
    crc = crc32c(bytes, crc);
    text = '';
    return bytes;
  };
  for (const row of rows) {
    counts[row.row] = (counts[row.row] ?? 0) + 1;
    text += `${JSON.stringify(row)}\n`;
    if (text.length >= PIECE_CHARACTERS) yield piece();
  }
  yield piece();
  yield Buffer.from(`${JSON.stringify({ row: 'end', counts, crc32c: checksumText(crc) })}\n`);
}

export function checksumText(crc: number): string {
  return crc.toString(16).padStart(8, '0');
}
