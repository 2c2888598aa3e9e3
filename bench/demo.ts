/**
 * `make demo`: pacsfs shown at work in under three minutes. Formats a store, mounts it, lets 64 writers send studies,
 * looks around, packs, copies out and back, mounts again, proves every byte, and checks the store. Every command shown is
 * the command run. Ends with 0, with 1 and one line that says why, or with 130 on Ctrl-C, and never leaves a mount, a
 * process or a file behind.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { Tour } from './demo/tour.ts';
import { chooseParent, Workspace } from './demo/workspace.ts';
import type { CrewReport } from './studies/crew.ts';

const CHECKOUT = join(import.meta.dirname, '..', '..');
const STUDIES = join(CHECKOUT, 'dist', 'bench', 'studies', 'main.js');
const STUDY_COUNT = 2;
const WRITERS = 64;

/** One line for people, or undefined when the demo can run here. */
function whyNot(): string | undefined {
  if (process.platform !== 'linux') return `pacsfs runs on Linux; this is ${process.platform}`;
  if (process.getuid?.() !== 0) return 'mounting needs root; run `sudo make demo`';
  if (!existsSync('/dev/fuse')) {
    return 'there is no /dev/fuse; run `modprobe fuse`, or start the container with --device /dev/fuse --cap-add SYS_ADMIN';
  }
  for (const [program, debianPackage] of [
    ['getfattr', 'attr'],
    ['diff', 'diffutils'],
    ['find', 'findutils'],
  ] as const) {
    if (spawnSync(program, ['--version']).error)
      return `${program} is missing; run \`apt-get install ${debianPackage}\``;
  }
  return undefined;
}

async function visit(tour: Tour, { work, files }: { work: Workspace; files: number }): Promise<string[][]> {
  const began = Date.now();
  const figures = (name: string): CrewReport => JSON.parse(readFileSync(join(work.folder, 'manifest', name), 'utf8'));
  tour.say(`pacsfs demo in ${work.folder}, where all commands run`);

  tour.step('Make a store and mount it');
  await tour.command('pacsfs format store');
  await tour.command('pacsfs mount store mnt');

  tour.step(`Write ${STUDY_COUNT} studies of ${files} images through the mount with ${WRITERS} parallel writers`);
  await tour.command(
    `node ${STUDIES} write mnt --manifest manifest --studies ${STUDY_COUNT} --files ${files} --parallel ${WRITERS}`,
    { seconds: 150 },
  );
  const written = figures('write.json');

  tour.step('Look at it with everyday commands');
  await tour.command('ls -lR mnt | tail -3');
  await tour.command('du -sh mnt');
  await tour.command('df -h mnt');
  await expectCount(tour, written.files);

  tour.step('Pack: small files move together into aggregates of 64 MiB, directory by directory, and become durable');
  const packing = Date.now();
  await tour.command('pacsfs sync mnt --packed', { seconds: 90 });
  const packingSeconds = (Date.now() - packing) / 1000;

  tour.step('See where a file lies');
  await tour.assign('FILE', "find mnt/DEMO0001 -name '2.25*.dcm' | sort | sed -n 1p");
  await tour.command('pacsfs info $FILE');
  const layout = await tour.command('getfattr -n user.pacsfs.layout $FILE');
  if (!layout.includes('="packed"')) throw new Error('a file is not packed after `pacsfs sync --packed`');
  await tour.command('find store/volumes/hot/own -type f | wc -l');
  await tour.command('find store/volumes/hot/aggregates -type f | wc -l');

  tour.step('Copy a study out and back and compare');
  await tour.command('cp -a mnt/DEMO0001 out', { seconds: 90 });
  await tour.command(`diff -r mnt/DEMO0001 out && echo 'equal: the study and its copy outside'`, { seconds: 90 });
  await tour.command('cp -a out mnt/COPY', { seconds: 90 });
  await tour.command(`diff -r out mnt/COPY && echo 'equal: the copy outside and the copy back in'`, { seconds: 90 });

  tour.step('Unmount, and mount again');
  await tour.command('pacsfs unmount mnt', { seconds: 90 });
  await tour.command('pacsfs mount store mnt');

  tour.step('Read every file back and compare its SHA-256 with what the writer noted');
  await tour.command(`node ${STUDIES} verify mnt --manifest manifest --parallel ${WRITERS}`, { seconds: 150 });
  const verified = figures('verify.json');
  if (verified.files !== written.files) throw new Error(`${verified.files} files verified, ${written.files} written`);

  tour.step('Unmount and check the whole store');
  await tour.command('pacsfs unmount mnt', { seconds: 90 });
  await tour.command('pacsfs fsck store', { seconds: 90 });

  return [
    ['written', `${amount(written)} by ${WRITERS} writers: ${rates(written)}`],
    ['packed', `${packingSeconds.toFixed(1)} s until everything was packed and durable`],
    ['copied', 'one study out and back, equal'],
    ['after remount', `${amount(verified)} equal by SHA-256: ${rates(verified)}`],
    ['fsck', 'clean'],
    ['whole demo', `${((Date.now() - began) / 1000).toFixed(0)} s`],
  ];
}

async function expectCount(tour: Tour, expected: number): Promise<void> {
  const found = Number(await tour.command('find mnt -type f | wc -l'));
  if (found !== expected) throw new Error(`${found} files in the mount, expected the ${expected} that were written`);
}

function amount({ files, bytes }: CrewReport): string {
  return `${files.toLocaleString('en')} files, ${(bytes / 1e6).toFixed(0)} MB`;
}

function rates({ files, bytes, seconds }: CrewReport): string {
  return `${(files / seconds).toFixed(0)} files/s, ${(bytes / 1e6 / seconds).toFixed(0)} MB/s`;
}

async function main(): Promise<number> {
  const { values } = parseArgs({ options: { files: { type: 'string', default: '1000' } } });
  const files = Number(values.files);
  const reason = whyNot();
  if (reason !== undefined) return refuse(reason);
  const place = chooseParent(files * STUDY_COUNT);
  if ('reason' in place) return refuse(place.reason);
  const work = new Workspace(place.parent);
  const tour = new Tour({ folder: work.folder, bin: join(CHECKOUT, 'bin'), onTimeout: () => work.abort() });
  let interrupted = false;
  const interrupt = (): void => {
    interrupted = true;
    work.abort();
    tour.stop();
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, interrupt);
  try {
    const table = await visit(tour, { work, files });
    tour.say('');
    for (const [what, result] of table) tour.say(`   ${what?.padEnd(14)} ${result}`);
    return 0;
  } catch (thrown) {
    const message = thrown instanceof Error ? thrown.message : String(thrown);
    if (!interrupted) for (const line of work.troubles()) tour.say(`   log: ${line}`);
    process.stderr.write(interrupted ? '\ndemo: interrupted, cleaning up\n' : `\ndemo: ${message}\n`);
    return interrupted ? 130 : 1;
  } finally {
    await tour.quiet();
    await work.remove();
  }
}

function refuse(reason: string): number {
  process.stderr.write(`demo: ${reason}\n`);
  return 1;
}

process.exitCode = await main();
