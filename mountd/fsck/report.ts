/** Findings as people and scripts read them. */
import type { Finding } from './findings.ts';
import { KINDS, type Kind, type Severity } from './kinds.ts';

const LABELS: Readonly<Record<keyof Finding['where'], string>> = {
  inode: 'inode',
  directory: 'directory',
  position: 'position',
  partition: 'partition',
  slot: 'slot',
  shard: 'shard',
  volume: 'volume',
  aggregate: 'aggregate',
  offset: 'offset',
  ownFile: 'own file',
  database: 'database',
};

/** `KIND: where: found X, expected Y`, in one line. */
export function renderFinding(finding: Finding, options: { readonly names: boolean }): string {
  const { kind, where, found, expected, name } = finding;
  const places = Object.entries(where).map(([key, value]) => `${LABELS[key as keyof Finding['where']]} ${value}`);
  if (options.names && name !== undefined) places.push(`name ${renderName(name)}`);
  return `${kind}: ${places.join(', ')}: found ${found}, expected ${expected}`;
}

export function findingJson(finding: Finding, options: { readonly names: boolean }): object {
  const { kind, where, found, expected, name, repair } = finding;
  const shown = options.names && name !== undefined ? { name: renderName(name) } : {};
  return { kind, severity: KINDS[kind], where, ...shown, found, expected, repairable: repair !== undefined };
}

/** `2 wrong-nlink, 1 orphan-inode`, the most frequent first. */
export function renderCounts(counts: ReadonlyMap<Kind, number>, severity: Severity): string {
  return [...counts]
    .filter(([kind]) => KINDS[kind] === severity)
    .sort(([, a], [, b]) => b - a)
    .map(([kind, count]) => `${count} ${kind}`)
    .join(', ');
}

export function countsOf(counts: ReadonlyMap<Kind, number>, severity: Severity): Record<string, number> {
  return Object.fromEntries([...counts].filter(([kind]) => KINDS[kind] === severity));
}

/** Quoted; bytes that are no UTF-8 show as \xNN. */
function renderName(name: Uint8Array): string {
  const text = Buffer.from(name).toString('utf8');
  if (!text.includes('\ufffd')) return JSON.stringify(text);
  return `"${Buffer.from(name)
    .toString('latin1')
    .replace(/[^\x20-\x7e]/g, (c) => `\\x${c.charCodeAt(0).toString(16).padStart(2, '0')}`)}"`;
}
