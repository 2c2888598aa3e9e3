// Joins what tsc built of the program into few CommonJS files: node scripts/bundle.mjs DIST writes DIST/program/. A daemon
// starts seven threads, each of which would load some hundred modules through Node's loader of ES modules: joined, a
// thread costs about half the processor time. Packages with native parts stay outside; so do loggers that look for files.
import { rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { rolldown } from 'rolldown';

const PROGRAMS = [
  'main',
  'control_thread',
  'daemon',
  'notifier_main',
  'read_thread',
  'refuser_thread',
  'supervisor_main',
  'worker_thread',
];

const dist = resolve(process.argv[2] ?? 'dist');
const out = join(dist, 'program');
rmSync(out, { recursive: true, force: true });
const bundle = await rolldown({
  input: Object.fromEntries(PROGRAMS.map((name) => [name, join(dist, 'mountd', `${name}.js`)])),
  platform: 'node',
  external: [/^koffi/, /^better-sqlite3/, /^@node-rs\//, /^pino/],
});
// In one folder, all of them: programs find each other beside themselves.
await bundle.write({
  dir: out,
  format: 'cjs',
  entryFileNames: '[name].js',
  chunkFileNames: '[name]-[hash].js',
  comments: false,
});
await bundle.close();
writeFileSync(join(out, 'package.json'), '{ "type": "commonjs" }\n');
