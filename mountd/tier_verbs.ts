/** The verbs of `pacsfs tier`. */
import type { Command, OptionValues } from 'commander';

export function addTierVerbs(program: Command, perform: (action: () => unknown) => Promise<void>): void {
  const tier = program
    .command('tier')
    .description('where files lie: rules, and moves between volumes')
    .helpCommand(false);
  tier
    .command('move')
    .description('move files to another tier or volume, while the store is mounted')
    .argument('<PATH...>', 'files and directories in a mount; with all that lies below')
    .requiredOption('--to <TIER|VOLUME>', 'hot, warm or cold, or the name of a volume')
    .option('--wait', 'return when all is there and durable, showing how far it is; 1 when something stays, and why')
    .option('--json', 'print JSON')
    .addHelpText(
      'after',
      `
It goes on beside everything else, and by itself after a restart; files stay readable and writable all the time. What waits to
be packed is packed first. Where it is: user.pacsfs.tier and user.pacsfs.volume, by getfattr(1), or \`pacsfs info\`.
Files that share bytes move together. Large files, in files of their own on a volume (\`dedicated\`), stay for now. One that
cannot go on, since its target is full or missing, is tried again ten times, after a minute and then ever later.

Examples:
  pacsfs tier move /mnt/pacs/2019 --to warm --wait
  pacsfs tier move /mnt/pacs/2019/study --to hot`,
    )
    .action((paths: string[], options: OptionValues) =>
      perform(async () => (await import('./commands/tier.ts')).moveFiles(paths, options as never)),
    );
  tier
    .command('status')
    .description('show migrations that are not over, and how far they are')
    .argument('<TARGET>')
    .option('--json', 'print JSON')
    .addHelpText('after', '\nExample:\n  pacsfs tier status /mnt/pacs')
    .action((target: string, options: OptionValues) =>
      perform(async () => (await import('./commands/tier.ts')).tierStatus(target, options)),
    );
  tier
    .command('history')
    .description('show the last thousand migrations that are over')
    .argument('<TARGET>')
    .option('--json', 'print JSON')
    .addHelpText('after', '\nExample:\n  pacsfs tier history /mnt/pacs --json')
    .action((target: string, options: OptionValues) =>
      perform(async () => (await import('./commands/tier.ts')).tierHistory(target, options)),
    );
  tier
    .command('explain')
    .description('show which rule of tiering.yaml applies to a file, why earlier ones do not, and when it acts')
    .argument('<PATH>', 'a file in a mounted store')
    .option('--now <ISO-TIME>', 'as of another time')
    .option('--json', 'print JSON')
    .addHelpText('after', '\nExample:\n  pacsfs tier explain /mnt/pacs/patient/study/series/1.dcm')
    .action((path: string, options: OptionValues) =>
      perform(async () => (await import('./commands/tier_explain.ts')).explainTier(path, options)),
    );
  tier
    .command('plan')
    .description('count what a run of the rules would move; nothing is moved')
    .argument('<TARGET>')
    .option('--now <ISO-TIME>', 'as of another time')
    .option('--json', 'print JSON')
    .addHelpText('after', '\nExample:\n  pacsfs tier plan /mnt/pacs --now 2030-01-01T00:00:00Z')
    .action((target: string, options: OptionValues) =>
      perform(async () => (await import('./commands/tier_plan.ts')).planTiers(target, options)),
    );
}
