/**
 * EIO and ENOSPC at every call to the disk, in turn: the workload runs once for each call of each place in the code that
 * makes one, fails there, and goes on. By default one call of each place; CRASH_STATES=N takes up to N of each, and more
 * ways of failing.
 */
import { afterAll, expect, test } from 'vitest';
import { E, type Errno } from '../../base/errno.ts';
import type { CallFault, FaultKind } from '../support/fault_backing.ts';
import { FaultRun, Template } from './faults_run.ts';

const CALLS_A_SITE = Math.max(1, Number(process.env['CRASH_STATES'] ?? 1));
const IS_LONG = CALLS_A_SITE > 1;
const ONLY = process.env['CRASH_CASE'];
const CAN_BE_FULL: ReadonlySet<FaultKind> = new Set([
  'create',
  'write',
  'truncate',
  'allocate',
  'makeFolder',
  'rename',
  'setModified',
  'flush',
  'flushFolder',
  'writeBack',
  'copyRange',
]);
const LASTS: ReadonlySet<FaultKind> = new Set([
  'create',
  'write',
  'flush',
  'flushFolder',
  'truncate',
  'allocate',
  'makeFolder',
]);

interface Call {
  readonly call: number;
  readonly kind: FaultKind;
  readonly site: string;
}

const template = new Template();
afterAll(() => template.remove());

/** Where in the code a call is made: the functions of the sources above the backing, nearest first. */
function siteOf(kind: FaultKind, stack: string): string {
  const frames = stack
    .split('\n')
    .filter((line) => /\/(base|aggregate|shard|fs|mountd)\//.test(line) && !/\/test\/|posix_backing/.test(line))
    .slice(0, 3)
    .map((line) => line.replace(/^\s*at .*\/((?:base|aggregate|shard|fs|mountd)\/[^:]*):(\d+).*$/, '$1:$2'));
  return `${kind} ${frames.join(' < ')}`;
}

function callsOfRun(): Call[] {
  const calls: Call[] = [];
  Error.stackTraceLimit = 40;
  const onCall = (kind: FaultKind) => {
    calls.push({ call: calls.length + 1, kind, site: siteOf(kind, new Error('here').stack ?? '') });
  };
  const report = new FaultRun(template, { onCall }).run();
  expect(report.violations).toEqual([]);
  return calls;
}

/** The first, the last and what lies evenly between. */
function chosen(calls: readonly Call[]): Call[] {
  const count = Math.min(CALLS_A_SITE, calls.length);
  const places = Array.from({ length: count }, (_, i) =>
    count === 1 ? Math.floor(calls.length / 2) : Math.round((i * (calls.length - 1)) / (count - 1)),
  );
  return [...new Set(places)].flatMap((place) => calls[place] ?? []);
}

/** In the short run one of each error. */
function faultsOf({ call, kind }: Call): CallFault[] {
  const faults: CallFault[] = [{ call, error: E.EIO, ...(kind === 'write' && call % 2 === 0 ? { written: 0.5 } : {}) }];
  if (CAN_BE_FULL.has(kind)) faults.push({ call, error: E.ENOSPC, isLasting: LASTS.has(kind) });
  if (!IS_LONG) return faults;
  if (LASTS.has(kind)) faults.push({ call, error: E.EIO, isLasting: true });
  if (kind !== 'write') return faults;
  faults.push({ call, error: E.EIO, ...(call % 2 === 0 ? {} : { written: 0.5 }) });
  faults.push({ call, error: E.ENOSPC, written: 0.5 });
  return faults;
}

function nameOf(fault: CallFault): string {
  const { call, error, written, isLasting } = fault;
  return `${call}/${(error as Errno).name}${written === undefined ? '' : '/short'}${isLasting === true ? '/lasting' : ''}`;
}

const calls = callsOfRun();
const sites = groupBySite(calls);

function groupBySite(all: readonly Call[]): Map<string, Call[]> {
  const groups = new Map<string, Call[]>();
  for (const each of all) groups.set(each.site, [...(groups.get(each.site) ?? []), each]);
  return groups;
}

test('a fault at any call leaves what was answered, and nothing half-made', { timeout: 3_600_000 }, () => {
  const wrong: string[] = [];
  let runs = 0;
  let broken = 0;
  let deaths = 0;
  for (const [site, all] of sites) {
    for (const each of chosen(all)) {
      for (const fault of faultsOf(each)) {
        const name = nameOf(fault);
        if (ONLY !== undefined && ONLY !== name) continue;
        const report = new FaultRun(template, { fault }).run();
        runs += 1;
        if (report.isBroken) broken += 1;
        deaths += report.deaths;
        if (report.violations.length > 0) wrong.push(`${name} at ${site}\n    ${report.violations.join('\n    ')}`);
      }
    }
  }
  console.log(`${calls.length} calls at ${sites.size} places: ${runs} runs, ${broken} broken, ${deaths} deaths`);
  expect(wrong.join('\n')).toBe('');
});
