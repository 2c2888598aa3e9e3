// What a machine can check of docs/style.md and the compiler cannot: the law of imports, file and function length,
// forbidden imports. Exits 1 and names each place.
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize, relative } from 'node:path';

const ROOT = normalize(join(import.meta.dirname, '..'));
const FOLDERS = ['base', 'shard', 'aggregate', 'fs', 'tiering', 'mountd', 'test', 'bench'];
/** What each folder may import from, besides itself. */
const MAY_IMPORT = {
  base: [],
  shard: ['base'],
  aggregate: ['base'],
  fs: ['base', 'shard', 'aggregate'],
  tiering: ['base', 'shard', 'aggregate'],
  mountd: ['base', 'shard', 'aggregate', 'fs', 'tiering'],
  bench: FOLDERS,
  test: FOLDERS,
};
const MAX_LINES = 500;
/** Modules that only the named places may import. */
const RESTRICTED = [
  { module: 'better-sqlite3', only: ['shard/', 'test/', 'bench/'], why: 'SQLite belongs to shard/' },
  { module: 'koffi', only: ['base/', 'test/support/'], why: 'libc is called through base/' },
  { module: 'node:child_process', only: ['mountd/', 'test/', 'bench/'], why: 'the daemon never forks' },
];

const complaints = [];
for (const folder of FOLDERS) {
  for (const entry of readdirSync(join(ROOT, folder), { recursive: true, withFileTypes: true })) {
    if (entry.isFile() && entry.name.endsWith('.ts')) checkFile(folder, join(entry.parentPath, entry.name));
  }
}
checkCycles();
for (const complaint of complaints) console.error(complaint);
if (complaints.length > 0) process.exit(1);

function checkFile(folder, path) {
  const place = relative(ROOT, path);
  const text = readFileSync(path, 'utf8');
  const lines = text.split('\n').length - 1;
  if (lines > MAX_LINES) complaints.push(`${place}: ${lines} lines, expected at most ${MAX_LINES}: is it one noun?`);
  for (const target of importsOf(text)) {
    if (target.startsWith('.')) {
      if (!target.endsWith('.ts') && !target.endsWith('.json'))
        complaints.push(`${place}: '${target}' does not end in .ts`);
      const to = relative(ROOT, normalize(join(dirname(path), target))).split('/')[0];
      if (to !== folder && !MAY_IMPORT[folder].includes(to))
        complaints.push(`${place}: ${folder}/ must not import ${to}/ ('${target}')`);
    }
    for (const rule of RESTRICTED) {
      if (target === rule.module && !rule.only.some((prefix) => place.startsWith(prefix)))
        complaints.push(`${place}: must not import '${target}': ${rule.why}`);
    }
  }
}

function importsOf(text) {
  return [...text.matchAll(/^(?:import|export)\b[^;'"]*?from\s+['"]([^'"]+)['"]|^import\s+['"]([^'"]+)['"]/gms)].map(
    (m) => m[1] ?? m[2],
  );
}

/** Import cycles between files, type-only imports left out (they vanish when compiled). */
function checkCycles() {
  const edges = new Map();
  for (const folder of FOLDERS) {
    for (const entry of readdirSync(join(ROOT, folder), { recursive: true, withFileTypes: true })) {
      if (!entry.isFile() || !entry.name.endsWith('.ts')) continue;
      const path = join(entry.parentPath, entry.name);
      const text = readFileSync(path, 'utf8').replace(/^(import|export)\s+type\b[^;]*;/gms, '');
      edges.set(
        path,
        importsOf(text)
          .filter((t) => t.startsWith('.'))
          .map((t) => normalize(join(dirname(path), t))),
      );
    }
  }
  const state = new Map();
  const visit = (path, trail) => {
    if (state.get(path) === 'done') return;
    if (state.get(path) === 'open') {
      complaints.push(
        `import cycle: ${[...trail.slice(trail.indexOf(path)), path].map((p) => relative(ROOT, p)).join(' -> ')}`,
      );
      return;
    }
    state.set(path, 'open');
    for (const next of edges.get(path) ?? []) visit(next, [...trail, path]);
    state.set(path, 'done');
  };
  for (const path of edges.keys()) visit(path, []);
}
