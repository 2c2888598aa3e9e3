/** An `ec` volume over directories of a temporary folder, and the few steps that most of its tests take. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { formatVolume } from '../../aggregate/identity.ts';
import { SEGMENT_BYTES } from '../../aggregate/pack.ts';
import type { VolumeRow } from '../../base/layout.ts';
import { PosixBacking } from '../../base/posix_backing.ts';
import type { AggregateId, VolumeId } from '../../base/units.ts';
import type { Code } from '../../tiering/erasure/coder.ts';
import { EcVolume } from '../../tiering/erasure/ec_volume.ts';
import type { SealedAggregate, WriterOptions } from '../../tiering/erasure/ec_writer.ts';
import { STORE_ID, value } from '../aggregate/temporary_store.ts';
import { FaultBacking } from '../support/fault_backing.ts';

export const ID = 5_000_001 as AggregateId;

export function ecRow(root: string, code: Code, directories = code.dataCells + code.parityCells): VolumeRow {
  const paths = Array.from({ length: directories }, (_, i) => join(root, `disk${i}`));
  return { id: 2 as VolumeId, name: 'cold', tier: 'cold', kind: 'ec', paths, ...code };
}

/** All of an aggregate, in pieces that are no segments. */
export function writeAggregate(
  volume: EcVolume,
  id: AggregateId,
  bytes: Uint8Array,
  options: Partial<WriterOptions> = {},
): SealedAggregate {
  const writer = value(volume.begin(id, { start: 7, ...options }));
  const piece = SEGMENT_BYTES - 12_345;
  for (let at = 0; at < bytes.length; at += piece) {
    const outcome = writer.append(bytes.subarray(at, at + piece));
    if (outcome < 0) throw new Error(`Cannot append: errno ${-outcome}`);
  }
  return value(writer.seal());
}

/** All of it, or -errno. */
export function readAggregate(volume: EcVolume, id: AggregateId, length: number): Uint8Array | number {
  const file = volume.openAggregate(id);
  if (!('read' in file)) return -file.number;
  const into = new Uint8Array(length);
  const count = file.read(into, 0);
  file.close();
  return count === length ? into : count;
}

export class TemporaryEc {
  readonly root: string;
  readonly backing = new FaultBacking(new PosixBacking());
  readonly row: VolumeRow;
  volume: EcVolume;

  constructor(code: Code, directories?: number, parent = tmpdir()) {
    this.root = mkdtempSync(join(parent, 'pacsfs-ec-'));
    this.row = ecRow(this.root, code, directories);
    value(formatVolume(this.backing, this.row, { storeId: STORE_ID }));
    this.volume = this.reopen();
  }

  reopen(): EcVolume {
    this.volume = new EcVolume(this.row, { backing: this.backing, storeId: STORE_ID });
    return this.volume;
  }

  cellPath(position: number, id: AggregateId = ID): string {
    return this.volume.tools.directories.cellPath(position, id);
  }

  /** The directory with all that is in it: as on a disk that is gone. */
  lose(position: number): void {
    rmSync(this.row.paths[position] ?? '', { recursive: true });
  }

  /** An empty directory of the right identity: as `replace-disk` leaves it. */
  replace(position: number): void {
    const other = mkdtempSync(join(this.root, 'format-'));
    const paths = this.row.paths.map((path, i) => (i === position ? path : join(other, String(i))));
    value(formatVolume(this.backing, { ...this.row, paths }, { storeId: STORE_ID }));
    rmSync(other, { recursive: true });
  }

  remove(): void {
    rmSync(this.root, { recursive: true, force: true });
  }
}
