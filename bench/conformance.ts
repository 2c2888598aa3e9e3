/**
 * Runs a built pjdfstest checkout that lies outside the project on a mount of its own:
 *
 *   make conformance PJDFSTEST=DIR
 *   node dist/bench/conformance.js DIR [TEST-FILE-OR-FOLDER...]      e.g. rename chmod/00.t
 *
 * Prints a line per folder of tests, each failed test with its number, and a summary. Exit codes: 0 all passed but the
 * exclusions, 1 some failed, 2 usage. The tests depend on timing (they sleep and compare times), so they run one by one.
 */
import { existsSync, readdirSync, realpathSync, statSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { ScratchMount } from './conformance/scratch_mount.ts';
import { parseTap, type TapResult } from './conformance/tap.ts';
import { EXCLUSIONS } from './conformance_exclusions.ts';

/** The slowest file makes and removes over a hundred files with a second's sleep between. */
const FILE_TIMEOUT_MS = 180_000;

interface FileReport {
  readonly file: string;
  readonly tap: TapResult;
  /** Failed tests that no exclusion names. */
  readonly failed: readonly number[];
  readonly excluded: number;
  /** Anything else that went wrong: a plan not kept, a timeout, an exit code. */
  readonly trouble: string | undefined;
}

async function main(): Promise<number> {
  const [given, ...chosen] = process.argv.slice(2);
  const tests = given === undefined || given === '' ? undefined : join(given, 'tests');
  if (tests === undefined || !existsSync(join(tests, 'conf')) || !existsSync(join(given ?? '', 'pjdfstest'))) {
    process.stderr.write(
      `conformance: '${given ?? ''}' is no built pjdfstest checkout (no tests/ or no pjdfstest program in it); ` +
        'usage: make conformance PJDFSTEST=DIR\n',
    );
    return 2;
  }
  if (process.getuid?.() !== 0) {
    process.stderr.write('conformance: pjdfstest has to run as root, since it becomes other users; use sudo\n');
    return 2;
  }
  const folder = realpathSync(tests);
  const files = testFiles(folder, chosen);
  if (files.length === 0) {
    process.stderr.write(`conformance: no test below ${folder} matches '${chosen.join(' ')}'\n`);
    return 2;
  }
  const mount = await ScratchMount.create();
  try {
    return await runAll(mount, folder, files);
  } finally {
    await mount.destroy();
  }
}

async function runAll(mount: ScratchMount, folder: string, files: readonly string[]): Promise<number> {
  const started = Date.now();
  const reports: FileReport[] = [];
  let group = '';
  for (const file of files) {
    if (group !== '' && dirname(file) !== group) tellGroup(group, reports);
    group = dirname(file);
    const report = await runFile(mount, folder, file);
    reports.push(report);
    for (const number of report.failed) {
      console.log(`FAILED ${file} test ${number}: ${report.tap.texts.get(number) ?? ''}`);
    }
    if (report.trouble !== undefined) console.log(`FAILED ${file}: ${report.trouble}`);
  }
  tellGroup(group, reports);
  const count = (of: (report: FileReport) => number) => reports.reduce((sum, report) => sum + of(report), 0);
  const failed = count((report) => report.failed.length);
  const troubled = reports.filter((report) => report.trouble !== undefined).length;
  const seconds = Math.round((Date.now() - started) / 1000);
  const faults = await mount.faults();
  console.log(
    `pjdfstest: ${count((report) => report.tap.passed.length)} tests passed, ${failed} failed, ` +
      `${count((report) => report.excluded)} excluded, ${troubled} of ${reports.length} files troubled; ` +
      `fsck ${faults === '' ? 'finds nothing' : `finds: ${faults}`}; ${seconds} s`,
  );
  return failed + troubled > 0 || faults !== '' ? 1 : 0;
}

async function runFile(mount: ScratchMount, folder: string, file: string): Promise<FileReport> {
  const result = await mount.run('sh', [join(folder, file)], FILE_TIMEOUT_MS);
  const tap = parseTap(result.stdout);
  const excluded = (number: number) =>
    EXCLUSIONS.some((entry) => entry.file === file && (entry.tests === 'all' || entry.tests.includes(number)));
  const failed = tap.failed.filter((number) => !excluded(number));
  const ran = tap.passed.length + tap.failed.length;
  let trouble: string | undefined;
  if (result.timedOut)
    trouble = `still running after ${FILE_TIMEOUT_MS / 1000} s, after ${ran} of ${tap.planned} tests`;
  else if (ran !== tap.planned) trouble = `${ran} tests ran, ${tap.planned} planned: ${result.stderr.slice(-300)}`;
  return { file, tap, failed, excluded: tap.failed.length - failed.length, trouble };
}

function tellGroup(group: string, reports: readonly FileReport[]): void {
  const own = reports.filter((report) => dirname(report.file) === group);
  const count = (of: (report: FileReport) => number) => own.reduce((sum, report) => sum + of(report), 0);
  const passed = count((report) => report.tap.passed.length);
  console.log(
    `${group}: ${own.length} files, ${passed} tests passed, ${count((report) => report.failed.length)} failed`,
  );
}

/** Paths of *.t below the folder, in order; with `chosen`, those of the files or folders named. */
function testFiles(folder: string, chosen: readonly string[]): readonly string[] {
  const all = readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.t') && statSync(join(folder, name)).isFile())
    .map((name) => relative('.', name))
    .sort();
  return chosen.length === 0 ? all : all.filter((name) => chosen.some((c) => name === c || name.startsWith(`${c}/`)));
}

try {
  process.exitCode = await main();
} catch (error) {
  process.stderr.write(`conformance: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
