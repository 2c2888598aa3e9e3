/** Writes a backup: what it says goes to `put`, in order. */
import { setU48, viewOf } from '../../base/bytes.ts';
import type { Lsn } from '../../base/units.ts';
import { RecordEncoder } from '../journal/record_encoder.ts';
import type { TailRecord } from '../journal/tail.ts';
import type { Mutation } from '../mutation.ts';
import {
  type BackupEnd,
  type BackupHeader,
  END,
  FRAME_BYTES,
  HEADER,
  LSN_BYTES,
  preamble,
  RECORD,
  ROWS,
  sealFrame,
} from './format_v1.ts';

/** Rows of one frame. */
const FRAME_ROWS = 512;

export class BackupWriter {
  readonly #put: (bytes: Uint8Array) => void;
  readonly #encoder = new RecordEncoder(FRAME_BYTES);
  #rows: Mutation[] = [];
  #seed = 0;
  rows = 0;
  records = 0;
  bytes = 0;
  /** Of the last record. */
  lsn: Lsn;

  /** `put` must be done with the bytes when it returns. */
  constructor(put: (bytes: Uint8Array) => void, header: BackupHeader) {
    this.#put = put;
    this.lsn = (header.firstLsn - 1) as Lsn;
    this.#write(preamble());
    this.#json(HEADER, header);
  }

  row(mutation: Mutation): void {
    this.#rows.push(mutation);
    this.rows += 1;
    if (this.#rows.length >= FRAME_ROWS) this.flushRows();
  }

  flushRows(): void {
    if (this.#rows.length === 0) return;
    const end = this.#encoder.encode({ lsn: 0 as Lsn, mutations: this.#rows });
    this.#rows = [];
    this.#frame(this.#encoder.bytes.subarray(0, end), ROWS);
  }

  record(record: TailRecord): void {
    const bytes = new Uint8Array(FRAME_BYTES + LSN_BYTES + record.payload.length);
    setU48(viewOf(bytes), FRAME_BYTES, record.lsn);
    bytes.set(record.payload, FRAME_BYTES + LSN_BYTES);
    this.#frame(bytes, RECORD);
    this.records += 1;
    this.lsn = record.lsn;
  }

  end(end: Omit<BackupEnd, 'lsn' | 'rows' | 'records'>): BackupEnd {
    this.flushRows();
    const { lsn, rows, records } = this;
    const mark = { lsn, rows, records, ...end };
    this.#json(END, mark);
    return mark;
  }

  #json(type: number, value: object): void {
    const text = Buffer.from(JSON.stringify(value));
    const bytes = new Uint8Array(FRAME_BYTES + text.length);
    bytes.set(text, FRAME_BYTES);
    this.#frame(bytes, type);
  }

  #frame(bytes: Uint8Array, type: number): void {
    this.#seed = sealFrame(bytes, { type, seed: this.#seed });
    this.#write(bytes);
  }

  #write(bytes: Uint8Array): void {
    this.bytes += bytes.length;
    this.#put(bytes);
  }
}
