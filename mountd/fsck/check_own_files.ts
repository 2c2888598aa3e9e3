/** Own files that rows name against those on the volumes: there, as long as they should be, and nobody's twice. */
import { isSpareOwn } from '../../aggregate/store.ts';
import { E, isErrno } from '../../base/errno.ts';
import type { OwnName } from '../../base/layout.ts';
import type { Ino } from '../../base/units.ts';
import { FLAG_COPY, FLAG_FLUSHED, FLAG_UNSETTLED } from '../../shard/rows.ts';
import type { CheckContext, OwnFileRow } from './context.ts';

export function checkOwnFiles(ctx: CheckContext): void {
  ctx.progress.begin('own files', ctx.ownFiles.length);
  const named = new Map<string, Ino>();
  for (const row of ctx.ownFiles) {
    const key = ownKey(row.own);
    const other = named.get(key);
    if (other !== undefined)
      ctx.add({
        kind: 'shared-own-file',
        where: { inode: row.ino, ownFile: key },
        found: `an own file of inode ${other}`,
        expected: 'one of its own',
      });
    named.set(key, row.ino);
    checkRow(ctx, row);
    ctx.progress.advance(1);
  }
  for (const volume of ctx.present.keys()) {
    const files = ctx.data.ownFiles(volume);
    if (isErrno(files)) {
      const found = `own files cannot be listed: ${files.name}`;
      ctx.add({ kind: 'missing-volume', where: { volume }, found, expected: 'a readable directory' });
      continue;
    }
    let spares = 0;
    for (const own of files) {
      if (named.has(ownKey(own))) continue;
      const stat = ctx.data.statOwn(own);
      if (!isErrno(stat) && isSpareOwn(stat)) spares += 1;
      else reportUnknown(ctx, own);
    }
    if (spares > 0) {
      const found = `${spares} empty own files that were made ahead of their use`;
      ctx.add({ kind: 'spare-own-files', where: { volume }, found, expected: 'the next mount removes them' });
    }
  }
}

function checkRow(ctx: CheckContext, row: OwnFileRow): void {
  const { ino, own, size, flags } = row;
  const where = { inode: ino, volume: own.volume, ownFile: `${own.start}/${own.number}` };
  if (!ctx.volumes.some(({ id }) => id === own.volume))
    ctx.add({ kind: 'wrong-volume', where, found: `volume ${own.volume}`, expected: 'a volume of the store' });
  // Of a volume that is missing nothing is concluded.
  if (!ctx.present.has(own.volume)) return;
  const stat = ctx.data.statOwn(own);
  const isSettled = (flags & FLAG_UNSETTLED) === 0;
  if (stat === E.ENOENT) {
    const isDurable = (flags & FLAG_COPY) === 0 && (isSettled || (flags & FLAG_FLUSHED) !== 0);
    if (isDurable) ctx.add({ kind: 'missing-own-file', where, found: 'no file', expected: `${size} bytes` });
    else {
      const expected =
        (flags & FLAG_COPY) !== 0 ? 'the next mount takes its fsynced copy' : 'nothing: it was never made durable';
      ctx.add({ kind: 'lost-own-file', where, found: 'no file', expected });
    }
  } else if (isErrno(stat)) {
    ctx.add({ kind: 'missing-own-file', where, found: stat.name, expected: 'a readable file' });
  } else if (isSettled && stat.size !== size) {
    ctx.add({ kind: 'wrong-own-size', where, found: stat.size, expected: size });
  }
}

function reportUnknown(ctx: CheckContext, own: OwnName): void {
  const where = { volume: own.volume, ownFile: `${own.start}/${own.number}` };
  const found = 'a file that no inode names';
  // A mount may have had many daemons, each with files of its own.
  if (!ctx.wasClean && own.start <= ctx.namespace.start) {
    ctx.add({ kind: 'leftover-own-file', where, found, expected: 'the next mount removes it' });
    return;
  }
  const mayBeNamed = ctx.hasUnseenRows || ctx.hasDamagedInodes;
  ctx.add({
    kind: 'unknown-own-file',
    where,
    found,
    expected: 'none',
    repair: mayBeNamed ? undefined : (repairer) => repairer.setAsideOwn(own),
  });
}

function ownKey(own: OwnName): string {
  return `${own.volume}/${own.start}/${own.number}`;
}
