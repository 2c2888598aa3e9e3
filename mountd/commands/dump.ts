/** `pacsfs dump`: a store's metadata as JSON Lines. */
import { closeSync, createWriteStream, fsyncSync, openSync, renameSync, rmSync } from 'node:fs';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { bootId } from '../../base/boot.ts';
import { silentLog } from '../../base/log.ts';
import { SystemClock } from '../../base/time.ts';
import { NamespaceStore } from '../../shard/store.ts';
import { holdsOn } from '../claims.ts';
import { readConfig, type StoreConfig, volumeRows } from '../config.ts';
import { DUMP_MAGIC, DUMP_VERSION, type Header, type Row } from '../dump/format_v1.ts';
import { dumpBytes } from '../dump/lines.ts';
import { dumpRows } from '../dump/rows.ts';
import { Failure, failureOf } from '../failure.ts';
import { StoreLock } from '../lock.ts';
import { metaFolder } from '../store_paths.ts';
import { resolveTarget } from '../target.ts';

export interface DumpOptions {
  /** Take over the lock that another machine left. */
  readonly force?: boolean;
}

/** Without a file, or with '-', to standard output. */
export async function dump(target: string, file: string | undefined, options: DumpOptions): Promise<void> {
  const { store } = resolveTarget(target);
  const config = readConfig(store);
  const lock = StoreLock.acquire(store, { purpose: 'dump', force: options.force === true });
  try {
    const damaged = await writeDump({ store, config }, file === '-' ? undefined : file);
    if (damaged > 0)
      throw new Failure(`Dumped ${store} without ${damaged} damaged rows; \`pacsfs fsck ${store}\` names them`);
  } catch (thrown) {
    throw failureOf(`dump ${store}`, thrown);
  } finally {
    lock.releaseUnchanged();
  }
}

/** Resolves to the number of damaged rows, which are left out. */
async function writeDump(
  from: { readonly store: string; readonly config: StoreConfig },
  file: string | undefined,
): Promise<number> {
  const { store, config } = from;
  const clock = new SystemClock();
  const holds = holdsOn(store, config, true);
  const options = { log: silentLog, clock, bootId: bootId(), holds, readOnly: true };
  const namespace = NamespaceStore.open(metaFolder(store), options);
  try {
    const paths = new Map(config.volumes.map((volume) => [volume.id, volume.paths]));
    const volumes = volumeRows(config, store).map((row) => ({ ...row, paths: paths.get(row.id) ?? row.paths }));
    let damaged = 0;
    const counted = function* (): Generator<Row> {
      for (const row of dumpRows(namespace, volumes)) {
        if (row.row === 'damaged') damaged += 1;
        yield row;
      }
    };
    const bytes = Readable.from(dumpBytes(headerOf(namespace, store), counted()), { objectMode: false });
    if (file === undefined) await pipeline(bytes, process.stdout, { end: false });
    else await writeFile(file, bytes);
    return damaged;
  } finally {
    namespace.close();
  }
}

function headerOf(namespace: NamespaceStore, folder: string): Header {
  return {
    pacsfs: DUMP_MAGIC,
    version: DUMP_VERSION,
    store: namespace.storeId,
    folder,
    created: new Date().toISOString(),
    hashKey: Buffer.from(namespace.inspect().hashKey).toString('base64'),
    starts: namespace.start,
    lsn: namespace.lsn,
  };
}

/** Under its name only once it is whole and durable. Names in it are patients' data: nobody else may read it. */
async function writeFile(file: string, bytes: Readable): Promise<void> {
  const partial = `${file}.partial`;
  try {
    await pipeline(bytes, createWriteStream(partial, { mode: 0o600 }));
    const fd = openSync(partial, 'r');
    fsyncSync(fd);
    closeSync(fd);
    renameSync(partial, file);
  } catch (thrown) {
    rmSync(partial, { force: true });
    throw thrown;
  }
}
