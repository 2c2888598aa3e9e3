import { describe, expect, it } from 'vitest';
import { Failure } from '../../mountd/failure.ts';
import { buildProgram, explain } from '../../mountd/program.ts';

/** Runs the program in this process, for arguments that are refused before anything is done. */
async function refusal(args: readonly string[]) {
  try {
    await buildProgram().parseAsync([...args], { from: 'user' });
  } catch (error) {
    return explain(error, args[0]);
  }
  throw new Error(`pacsfs ${args.join(' ')} was not refused`);
}

describe('wrong usage', () => {
  it.each([
    [[], /no verb given/],
    [['frobnicate'], /unknown command 'frobnicate'/],
    [['mount', '/a'], /missing required argument 'DIR'/],
    [['mount', '/a', '/b', '/c'], /too many arguments/],
    [['mount', '/a', '/b', '-o', 'bogus'], /'bogus': unknown option, expected .*nosuid/],
    [['mount', '/a', '/b', '--binding', 'x'], /expected kernel, libfuse or auto/],
    [['format', '/tmp/x', '--shards', '0'], /expected a number from 1 to 256/],
    [['format', '/tmp/x', '--shards', '257'], /expected a number from 1 to 256/],
    [['format', '/tmp/x', '--shards', 'many'], /expected a number from 1 to 256/],
    [['format', '/tmp/x', '--volume', 'x'], /expected NAME=TIER:KIND:ARGS/],
    [['format', '/tmp/x', '--volume', 'm=hot:mirror:/a,/b'], /this version serves 'dir' and 'ec' volumes only/],
    [['format', '/tmp/x', '--volume', 'c=hot:ec:1+1:/a,/b'], /'ec' on tier 'hot': new files are written there/],
    [['format', '/tmp/x', '--volume', 'c=cold:ec:1+1:/a,/b'], /without a hot volume/],
    [['format', '/tmp/x', '--volume', 'w=warm:dir:/a'], /without a hot volume/],
    [['format', '/tmp/x', '--volume', 'a=hot:dir:/a', '--volume', 'a=warm:dir:/b'], /twice/],
    [['format', '/tmp/x', '--volume', 'a=hot:dir:/a', '--volume', 'b=warm:dir:/a'], /for two volumes/],
    [['status', '/', '--bogus'], /unknown option '--bogus'/],
    [['format', '/tmp/x', '--volume', 'a=hot:dir:/tmp/x'], /Cannot use .tmp.x.meta: it lies in .tmp.x,/],
    [['format', '/tmp/x', '--volume', 'a=hot:dir:/tmp/x/meta'], /it is for metadata/],
    [['format', '/tmp/x', '--volume', 'a=hot:dir:/a', '--volume', 'b=warm:dir:/a/b'], /lies in .a,/],
    [['format', ''], /Cannot use argument '' of format: it is empty/],
    [['format', '/tmp/bad\uFFFD'], /it is not UTF-8/],
    [['help', 'nosuch'], /no such verb/],
  ])('%j is one line and 2', async (args, message) => {
    const { line, exitCode } = await refusal(args);
    expect(line).toMatch(message);
    expect(line).toMatch(/^pacsfs: [^\n]+$/);
    expect(exitCode).toBe(2);
  });

  it('of fsck is 16, its failures are 8', async () => {
    expect(await refusal(['fsck', '/', '--bogus'])).toMatchObject({ exitCode: 16 });
    expect(await refusal(['fsck', ''])).toMatchObject({ exitCode: 16 });
    expect(await refusal(['fsck', '/nowhere/at/all'])).toMatchObject({ exitCode: 8 });
  });

  it('may have its reason over several lines: one is shown', () => {
    expect(explain(new Failure('a name\nof two lines'), 'mount').line).toBe('pacsfs: a name\\nof two lines');
    expect(explain(new Error('first\nsecond'), 'mount')).toEqual({ line: 'pacsfs: Cannot go on: first', exitCode: 1 });
  });
});

describe('help', () => {
  it('names every verb, and shows an example of each', () => {
    const program = buildProgram();
    const verbs = program.commands.map((command) => command.name());
    for (const verb of [
      'format',
      'mount',
      'unmount',
      'status',
      'info',
      'sync',
      'compact',
      'fsck',
      'dump',
      'load',
      'config',
      'tier',
    ]) {
      expect(verbs).toContain(verb);
    }
    for (const command of program.commands.flatMap((verb) => (verb.commands.length > 0 ? verb.commands : [verb]))) {
      let help = '';
      command.configureOutput({
        writeOut: (text) => {
          help += text;
        },
      });
      command.outputHelp();
      expect(help, command.name()).toMatch(/Usage: pacsfs .*\n[\s\S]*Examples?:\n {2}pacsfs /);
    }
  });
});
