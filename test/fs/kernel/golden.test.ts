/**
 * Every message against test/golden/fuse-messages.json, whose bytes come from C structs of linux/fuse.h 7.45 and whose
 * calls were written by hand.
 */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { OPCODE_TABLE } from '../../../fs/kernel/opcode_table.ts';
import { Opcode } from '../../../fs/kernel/protocol.ts';
import { bench, serve } from './messages.ts';

interface Golden {
  readonly name: string;
  readonly request: string;
  readonly calls: readonly (readonly unknown[])[];
  readonly reply: string;
}

const goldens = JSON.parse(
  readFileSync(new URL('../../golden/fuse-messages.json', import.meta.url), 'utf8'),
) as Golden[];

describe('golden messages', () => {
  it.each(goldens.map((golden) => [golden.name, golden] as const))('%s', (_name, golden) => {
    const { exchange, calls } = bench();
    const reply = serve(exchange, Buffer.from(golden.request, 'hex'));
    expect(JSON.parse(JSON.stringify(calls))).toEqual(golden.calls);
    expect(Buffer.from(reply).toString('hex')).toBe(golden.reply);
  });

  it('cover every opcode that the table handles', () => {
    const covered = new Set(goldens.map((golden) => Buffer.from(golden.request, 'hex').readUInt32LE(4)));
    const missing = OPCODE_TABLE.flatMap((row, opcode) => (row === undefined || covered.has(opcode) ? [] : [row.name]));
    // The kernel sends NOTIFY_REPLY only to a daemon that asks for it.
    expect(missing).toEqual(['NOTIFY_REPLY']);
    expect(covered.has(Opcode.COPY_FILE_RANGE_64)).toBe(true);
  });
});
