/**
 * Demo input for any folder:
 *
 *   node dist/bench/studies/main.js write DIR --manifest FOLDER [--studies 2] [--files 1000] [--seed 1] ...
 *   node dist/bench/studies/main.js verify DIR --manifest FOLDER
 *
 * Prints one line; the same figures go into FOLDER/write.json or FOLDER/verify.json. Exit codes: 0 done, 1 failed, 2 usage.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { CrewReport } from './crew.ts';
import { verifyStudies } from './reader.ts';
import { realObjectFolder } from './real_objects.ts';
import { writeStudies } from './writer.ts';

const CHECKOUT = join(import.meta.dirname, '..', '..', '..');
const USAGE =
  'usage: main.js write|verify DIR --manifest FOLDER [--studies N] [--files N] [--seed N] ' +
  '[--processes N] [--parallel N] [--write-bytes N] [--timeout SECONDS]';

async function main(): Promise<number> {
  const options = parse();
  if (options === undefined) return 2;
  const { verb, folder, values, count } = options;
  const processes = count('processes');
  const perProcess = Math.ceil(count('parallel') / processes);
  const timeoutMs = count('timeout') * 1000;
  mkdirSync(values.manifest, { recursive: true });
  let report: CrewReport;
  if (verb === 'write') {
    const amount = { seed: count('seed'), studies: count('studies'), files: count('files') };
    const crew = { processes, writers: perProcess, writeBytes: count('write-bytes') };
    const places = { to: folder, manifest: values.manifest, realFolder: realObjectFolder(CHECKOUT) };
    report = await writeStudies({ ...amount, ...crew, ...places }, timeoutMs);
  } else {
    const task = { from: folder, manifest: values.manifest, processes, readers: perProcess };
    report = await verifyStudies(task, timeoutMs);
  }
  writeFileSync(join(values.manifest, `${verb}.json`), `${JSON.stringify(report)}\n`);
  process.stdout.write(`${sentence(verb, report)}\n`);
  return 0;
}

function parse() {
  const text = (initial: string) => ({ type: 'string', default: initial }) as const;
  try {
    const { values, positionals } = parseArgs({
      allowPositionals: true,
      options: {
        manifest: text(''),
        studies: text('2'),
        files: text('1000'),
        seed: text('1'),
        processes: text('4'),
        parallel: text('64'),
        'write-bytes': text('65536'),
        timeout: text('120'),
      },
    });
    const [verb, folder, ...rest] = positionals;
    const known = verb === 'write' || verb === 'verify';
    if (!known || folder === undefined || rest.length > 0 || values.manifest === '') throw new Error(USAGE);
    const count = (name: keyof typeof values): number => {
      const value = Number(values[name]);
      if (!Number.isSafeInteger(value) || value < 1) throw new Error(`--${name} ${values[name]}, expected 1 or more`);
      return value;
    };
    for (const name of Object.keys(values)) if (name !== 'manifest') count(name as keyof typeof values);
    return { verb, folder, values, count };
  } catch (thrown) {
    process.stderr.write(`${thrown instanceof Error ? thrown.message : thrown}\n`);
    return undefined;
  }
}

function sentence(verb: string, report: CrewReport): string {
  const { files, bytes, seconds, cpuSeconds } = report;
  const megabytes = bytes / 1e6;
  const who = verb === 'write' ? 'writers, images and SHA-256' : 'readers and SHA-256';
  return (
    `${files.toLocaleString('en')} files, ${megabytes.toFixed(0)} MB in ${seconds.toFixed(1)} s: ` +
    `${(files / seconds).toFixed(0)} files/s, ${(megabytes / seconds).toFixed(0)} MB/s ` +
    `(${who}: ${cpuSeconds.toFixed(1)} s of processor time)`
  );
}

try {
  process.exitCode = await main();
} catch (thrown) {
  const reason = thrown instanceof Error ? thrown.message : String(thrown);
  process.stderr.write(`Cannot ${process.argv[2]} studies in ${process.argv[3]}: ${reason}\n`);
  process.exitCode = 1;
}
