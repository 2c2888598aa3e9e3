/** The rows and records of a backup, for whoever wants a part of them. */
import type { BackingFile } from '../../base/backing.ts';
import type { Lsn } from '../../base/units.ts';
import { decodeRecord } from '../journal/record_codec.ts';
import type { Mutation } from '../mutation.ts';
import { type BackupEnd, type BackupHeader, END, HEADER, LSN_BYTES, lsnOf, RECORD, ROWS } from './format_v1.ts';
import { BackupError, readFrames } from './reader.ts';

/** Hands on everything in order; what it was told counts once this has returned. Throws `BackupError`. */
export function readBackup(
  file: BackingFile,
  options: { readonly storeId: string; readonly take: (mutations: Iterable<Mutation>) => void },
): { readonly lsn: Lsn } {
  let header: BackupHeader | undefined;
  let end: BackupEnd | undefined;
  for (const { type, payload } of readFrames(file)) {
    if (end !== undefined) throw new BackupError('it goes on behind its end');
    if (header === undefined) {
      if (type !== HEADER) throw new BackupError('it does not begin with a header');
      header = JSON.parse(Buffer.from(payload).toString()) as BackupHeader;
      if (header.storeId !== options.storeId)
        throw new BackupError(`it is of store ${header.storeId}, expected ${options.storeId}`);
    } else if (type === END) end = JSON.parse(Buffer.from(payload).toString()) as BackupEnd;
    else if (type === ROWS || type === RECORD) {
      const record =
        type === ROWS
          ? decodeRecord((header.firstLsn - 1) as Lsn, payload)
          : decodeRecord(lsnOf(payload) ?? (0 as Lsn), payload.subarray(LSN_BYTES));
      if (record === undefined) throw new BackupError('it has a record that cannot be understood');
      options.take(record.mutations);
    } else throw new BackupError(`frame of kind ${type} found`);
  }
  if (end === undefined) throw new BackupError('it has no end mark: it was interrupted');
  return { lsn: end.lsn as Lsn };
}
