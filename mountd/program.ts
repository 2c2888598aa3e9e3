/** The verbs of `pacsfs`, their arguments and help. Each verb loads only what it needs, so that starting is quick. */
import { readFileSync } from 'node:fs';
import { Command, CommanderError, type OptionValues } from 'commander';
import { FAILED, failureOf, oneLine, USAGE, usage } from './failure.ts';
import { USAGE as FSCK_USAGE, OPERATIONAL } from './fsck/exit_codes.ts';
import { addTierVerbs } from './tier_verbs.ts';

/** Runs a verb; its number, if it gives one, is the exit code. */
type Action = () => unknown;

function collect(value: string, previous: readonly string[] = []): string[] {
  return [...previous, value];
}

function version(): string {
  for (const place of ['../package.json', '../../package.json']) {
    try {
      return (JSON.parse(readFileSync(new URL(place, import.meta.url), 'utf8')) as { version: string }).version;
    } catch {
      // Sources and dist/ lie at different depths.
    }
  }
  return 'unknown';
}

/** An empty argument would mean the present folder, one that is not UTF-8 has lost its bytes: neither is what was meant. */
function checkArguments(command: Command): void {
  for (const [name, value] of Object.entries(command.opts())) {
    if ([value].flat().includes('')) throw usage(`Cannot use --${name} of ${command.name()}: it is empty`);
  }
  for (const argument of command.args) {
    const flaw = argument === '' ? 'it is empty' : argument.includes('\uFFFD') ? 'it is not UTF-8' : undefined;
    if (flaw !== undefined) throw usage(`Cannot use argument '${argument}' of ${command.name()}: ${flaw}`);
  }
}

async function perform(action: Action): Promise<void> {
  const code = await action();
  process.exitCode = typeof code === 'number' ? code : 0;
}

export function buildProgram(): Command {
  const program = new Command('pacsfs')
    .description('A POSIX filesystem for medical-image archives')
    .version(version(), '--version', 'print the version')
    .helpCommand('help [VERB]', 'show help for a verb')
    .showSuggestionAfterError(false)
    .exitOverride()
    .configureOutput({ writeErr: () => {} })
    .hook('preAction', (_, command) => checkArguments(command))
    .addHelpText(
      'after',
      `
TARGET is a store folder, a mount point, or any path below one of them.

Examples:
  pacsfs format /srv/pacs
  pacsfs mount /srv/pacs /mnt/pacs
  pacsfs status /mnt/pacs
  pacsfs info /mnt/pacs/patient/study/series/1.dcm
  pacsfs unmount /mnt/pacs

Exit codes: 0 done, 1 failed, 2 wrong usage; fsck has those of fsck(8).`,
    );
  addStoreVerbs(program);
  addMountVerbs(program);
  addShardVerbs(program);
  addMetadataVerbs(program);
  addTierVerbs(program, perform);
  return program;
}

function addStoreVerbs(program: Command): void {
  program
    .command('format')
    .description('make an empty store')
    .argument('<STORE>', 'folder of the store: absent or empty')
    .option('--shards <N>', 'shard databases, 1 to 256', '16')
    .option('--journal <PATH>', 'folder on another disk for a copy of the journal; may be repeated', collect)
    .option('--volume <NAME=TIER:KIND:ARGS>', 'a place for data; may be repeated (default: hot in the store)', collect)
    .option('--same-device', 'allow directories of one volume on one device')
    .option('--json', 'print JSON')
    .addHelpText(
      'after',
      `
KIND:ARGS is dir:PATH (to come: mirror:PATH,PATH... and ec:K+M:PATH,PATH...); TIER is hot, warm or cold.

Examples:
  pacsfs format /srv/pacs
  pacsfs format /srv/pacs --shards 32 --volume hot=hot:dir:/flash/pacs`,
    )
    .action((store: string, options: OptionValues) =>
      perform(async () =>
        (await import('./commands/format.ts')).format(store, { journal: [], volume: [], ...options } as never),
      ),
    );
  const config = program.command('config').description("a store's configuration").helpCommand(false);
  config
    .command('show')
    .description('print store.yaml with every option and its present value')
    .argument('<TARGET>')
    .option('--json', 'print JSON')
    .addHelpText('after', '\nExample:\n  pacsfs config show /srv/pacs')
    .action((target: string, options: OptionValues) =>
      perform(async () => (await import('./commands/config.ts')).showConfig(target, options)),
    );
}

function addMountVerbs(program: Command): void {
  program
    .command('mount')
    .description('mount a store; returns once the mount answers')
    .argument('<STORE>', 'folder of the store')
    .argument('<DIR>', 'mount point, an existing directory outside the store')
    .option('-o, --option <OPT,...>', 'mount options, see below; may be repeated', collect)
    .option('--foreground', 'stay in the foreground and log to standard error')
    .option('--binding <NAME>', 'kernel or auto (to come: libfuse)', 'auto')
    .option('--force', 'take over the lock that another machine left')
    .option('--json', 'print JSON')
    .addHelpText(
      'after',
      `
Options of -o:
  ro, nosuid, nodev, noexec   as in mount(8)
  noatime                     never update access times (otherwise as relatime)
  noacl                       no POSIX ACLs
  commit=SECONDS              how often changes become durable by themselves: 0.01 to 300, otherwise 1
  layoutxattrs                list user.pacsfs.* among each file's extended attributes
  restarts=N                  at more deaths of the daemon than N within a minute no other is started, and every access
                              gets an error until the store is unmounted; otherwise 5
  nopassthrough               all bytes pass through the daemon; otherwise the kernel reads and writes open files by
                              itself where it can (Linux 6.9); also passthrough, passthrough=on and passthrough=off
  noresend                    as on kernels before 6.9: no pass-through, and what a daemon was just serving when it died
                              fails

Examples:
  pacsfs mount /srv/pacs /mnt/pacs
  pacsfs mount /srv/pacs /mnt/pacs -o noatime,nosuid --foreground`,
    )
    .action((store: string, directory: string, options: OptionValues) =>
      perform(async () =>
        (await import('./commands/mount.ts')).mount(store, directory, { option: [], ...options } as never),
      ),
    );
  program
    .command('unmount')
    .alias('umount')
    .description('unmount; returns once everything is durable')
    .argument('<DIR>', 'mount point, or any TARGET')
    .option('--lazy', 'detach it even while it is in use')
    .option('--json', 'print JSON')
    .addHelpText('after', '\nExample:\n  pacsfs unmount /mnt/pacs')
    .action((target: string, options: OptionValues) =>
      perform(async () => (await import('./commands/unmount.ts')).unmount(target, options)),
    );
  program
    .command('status')
    .description('show who serves a store, its health, space and counts')
    .argument('<TARGET>')
    .option('--json', 'print JSON')
    .addHelpText('after', '\nExample:\n  pacsfs status /mnt/pacs --json')
    .action((target: string, options: OptionValues) =>
      perform(async () => (await import('./commands/status.ts')).status(target, options)),
    );
  program
    .command('info')
    .description('show where a file, its name and its bytes lie')
    .argument('<PATH>', 'a path in a mount')
    .option('--json', 'print JSON')
    .addHelpText('after', '\nExample:\n  pacsfs info /mnt/pacs/patient/study/series/1.dcm')
    .action((path: string, options: OptionValues) =>
      perform(async () => (await import('./commands/info.ts')).info(path, options)),
    );
  program
    .command('sync')
    .description('make all that was written before survive power loss')
    .argument('<TARGET>')
    .option('--packed', 'also wait until no closed small file is unpacked')
    .option('--json', 'print JSON')
    .addHelpText('after', '\nExample:\n  pacsfs sync /mnt/pacs --packed')
    .action((target: string, options: OptionValues) =>
      perform(async () => (await import('./commands/sync.ts')).sync(target, options)),
    );
}

function addShardVerbs(program: Command): void {
  const shard = program.command('shard').description("a store's shard databases").helpCommand(false);
  shard
    .command('list')
    .description('show the shards, how many slots each has, and slots on their way')
    .argument('<TARGET>')
    .option('--json', 'print JSON')
    .addHelpText('after', '\nExample:\n  pacsfs shard list /mnt/pacs')
    .action((target: string, options: OptionValues) =>
      perform(async () => (await import('./commands/shard_list.ts')).listShards(target, options)),
    );
  shard
    .command('stats')
    .description('as list, and count the rows of each shard, which takes a second for some ten million')
    .argument('<TARGET>')
    .option('--json', 'print JSON')
    .addHelpText('after', '\nExample:\n  pacsfs shard stats /mnt/pacs --json')
    .action((target: string, options: OptionValues) =>
      perform(async () => (await import('./commands/shard_list.ts')).shardStats(target, options)),
    );
  shard
    .command('check')
    .description("check every row's checksum, and, of a store that is not mounted, the databases as SQLite sees them")
    .argument('<TARGET>')
    .option('--shard <N>', 'only this one')
    .option('--json', 'print JSON')
    .addHelpText('after', '\nExample:\n  pacsfs shard check /mnt/pacs --shard 3')
    .action((target: string, options: OptionValues) =>
      perform(async () => (await import('./commands/shard_check.ts')).checkShards(target, options)),
    );
  shard
    .command('add')
    .description('add shards and spread the slots over all, while the store is mounted or not')
    .argument('<TARGET>')
    .option('--count <N>', 'how many; 0 adds none and goes on with what was interrupted', '1')
    .option('--wait', 'of a mounted store: return when every slot is in its place, showing how far it is')
    .option('--json', 'print JSON')
    .addHelpText(
      'after',
      `
A mounted store moves its slots in the background, also after a restart; --wait may be given again with --count 0.
Shards cannot be taken away again. The databases grow by what is moved before those it came from use the room again.

Examples:
  pacsfs shard add /mnt/pacs --count 4
  pacsfs shard add /mnt/pacs --count 0 --wait`,
    )
    .action((target: string, options: OptionValues) =>
      perform(async () => (await import('./commands/shard_add.ts')).addShards(target, options)),
    );
}

function addMetadataVerbs(program: Command): void {
  program
    .command('fsck')
    .description('check a store that is not mounted')
    .argument('<TARGET>')
    .option('--repair', 'put right what can be')
    .option('--backup <FILE>', 'with --repair, when a shard is lost: its rows come from this backup')
    .option('--rebuild', "make lost metadata anew from the volumes' own descriptions")
    .option('--force', 'take over the lock that another machine left; --rebuild: set aside what metadata is left')
    .option('--dry-run', 'with --rebuild: only say what would come back')
    .option('--volume <NAME=TIER:dir:PATH>', 'with --rebuild, when store.yaml is lost: a volume', collect)
    .option('--metadata-only', 'do not read the contents of files')
    .option('--names', 'show file names, which may be personal data')
    .option('--json', 'print JSON')
    .addHelpText(
      'after',
      '\nExit codes: 0 clean, 1 repaired, 4 damage left, 8 operational error, 16 usage.\n\nExample:\n  pacsfs fsck /srv/pacs --repair',
    )
    .action((target: string, options: OptionValues) =>
      perform(async () => (await import('./commands/fsck.ts')).fsck(target, options)),
    );
  program
    .command('compact')
    .description('move what is left in mostly dead aggregates of a mounted store together, and give the rest back')
    .argument('<TARGET>')
    .option('--wait', 'return when it is done and durable, showing how far it is')
    .option('--json', 'print JSON')
    .addHelpText(
      'after',
      `
It goes on beside everything else, for aggregates of which less than a quarter is live (half, on a volume that is over
85 % full). Space that deleted files took goes back to the disk without it, wherever the disk's filesystem can punch
holes; a mounted store does by itself what gives back more than it copies.

Example:
  pacsfs compact /mnt/pacs --wait`,
    )
    .action((target: string, options: OptionValues) =>
      perform(async () => (await import('./commands/compact.ts')).compact(target, options)),
    );
  program
    .command('backup')
    .description('write the metadata into one file, while the store is mounted or not')
    .argument('<TARGET>')
    .argument('<FILE>', 'replaced once the new one is whole')
    .option('--json', 'print JSON')
    .addHelpText('after', '\nExample:\n  pacsfs backup /mnt/pacs /backup/pacs.backup')
    .action((target: string, file: string, options: OptionValues) =>
      perform(async () => (await import('./commands/backup.ts')).backup(target, file, options)),
    );
  program
    .command('restore')
    .description('make lost metadata anew from a backup')
    .argument('<FILE>', 'what backup wrote')
    .argument('<STORE>', 'folder of the store, whose volumes are where they were')
    .option('--journal <PATH>', 'a journal folder that survived: replayed on top; may be repeated', collect)
    .option('--force', 'set aside the metadata that is there, take over a lock that another machine left')
    .option('--json', 'print JSON')
    .addHelpText('after', '\nExample:\n  pacsfs restore /backup/pacs.backup /srv/pacs --journal /ssd2/pacs-journal')
    .action((file: string, store: string, options: OptionValues) =>
      perform(async () =>
        (await import('./commands/restore.ts')).restore(file, store, { journal: [], ...options } as never),
      ),
    );
  program
    .command('dump')
    .description('write the metadata as JSON Lines')
    .argument('<TARGET>')
    .argument('[FILE]', 'file to write (default: standard output)')
    .option('--force', 'take over the lock that another machine left')
    .addHelpText('after', '\nExample:\n  pacsfs dump /srv/pacs pacs.jsonl')
    .action((target: string, file: string | undefined, options: OptionValues) =>
      perform(async () => (await import('./commands/dump.ts')).dump(target, file, options)),
    );
  program
    .command('load')
    .description('fill an empty store with metadata that dump wrote')
    .argument('<STORE>', 'a store just formatted, not mounted')
    .argument('[FILE]', 'file to read (default: standard input)')
    .option('--json', 'print JSON')
    .addHelpText('after', '\nExample:\n  pacsfs load /srv/new pacs.jsonl')
    .action((store: string, file: string | undefined, options: OptionValues) =>
      perform(async () => (await import('./commands/load.ts')).load(store, file, options)),
    );
}

/** fsck(8) has codes of its own where the other verbs have 1 and 2. */
function fsckCode(exitCode: number): number {
  if (exitCode === FAILED) return OPERATIONAL;
  return exitCode === USAGE ? FSCK_USAGE : exitCode;
}

export interface Explanation {
  /** What to print on standard error; undefined when nothing went wrong (help was asked for). */
  readonly line: string | undefined;
  readonly exitCode: number;
}

/** One line, and the exit code, for what a verb threw. */
export function explain(error: unknown, verb: string | undefined): Explanation {
  const isFsck = verb === 'fsck';
  if (error instanceof CommanderError) {
    if (error.exitCode === 0) return { line: undefined, exitCode: 0 };
    const noVerb = verb === 'help' ? 'no such verb' : 'no verb given';
    const reason = error.code === 'commander.help' ? noVerb : error.message.replace(/^error: /, '').split('\n')[0];
    return {
      line: `pacsfs: ${oneLine(reason ?? '').replace(/\.$/, '')}; see \`pacsfs --help\``,
      exitCode: isFsck ? FSCK_USAGE : USAGE,
    };
  }
  const failure = failureOf('go on', error);
  const exitCode = isFsck ? fsckCode(failure.exitCode) : failure.exitCode;
  return { line: `pacsfs: ${oneLine(failure.message)}`, exitCode };
}
