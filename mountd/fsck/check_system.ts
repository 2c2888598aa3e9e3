/** The databases as SQLite sees them, what system.db says of the whole, and the volumes that the store needs. */
import type { CheckContext } from './context.ts';

export function checkSystem(ctx: CheckContext): void {
  const { broken } = ctx.namespace;
  // What is there after the checks, and the repairs that they want, is what there is: then the mark goes.
  if (broken !== undefined) ctx.add({ kind: 'broken', where: {}, found: broken, expected: 'no mark BROKEN' });
  checkDatabases(ctx);
  checkVolumes(ctx);
}

function checkDatabases(ctx: CheckContext): void {
  ctx.progress.begin('databases', 1);
  for (const { path, shard, complaint } of ctx.inspection.integrity()) {
    ctx.hasUnseenRows = true;
    const database = path.slice(path.lastIndexOf('/') + 1);
    const where = shard === undefined ? { database } : { database, shard };
    ctx.add({ kind: 'damaged-database', where, found: complaint.split('\n', 1)[0] ?? '', expected: 'ok' });
  }
}

function checkVolumes(ctx: CheckContext): void {
  const stored = new Map(ctx.namespace.volumes().map((row) => [row.id, row]));
  for (const { id, name } of ctx.volumes) {
    const row = stored.get(id);
    if (row?.name === name) continue;
    const found = row === undefined ? 'none in system.db' : `'${row.name}' in system.db`;
    ctx.add({ kind: 'wrong-volume', where: { volume: id }, found, expected: `'${name}' as in store.yaml` });
  }
  for (const [id, { name }] of stored) {
    if (ctx.volumes.some((row) => row.id === id)) continue;
    ctx.add({ kind: 'wrong-volume', where: { volume: id }, found: 'none in store.yaml', expected: `'${name}'` });
  }
  for (const { volume, reason } of ctx.data.missing) {
    const found = reason;
    ctx.add({ kind: 'missing-volume', where: { volume }, found, expected: 'its directory with its identity file' });
  }
}
