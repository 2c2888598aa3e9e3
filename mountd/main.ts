/** The program `pacsfs`. */
import { FAILED, Failure, failureOf } from './failure.ts';
import { OPERATIONAL } from './fsck/exit_codes.ts';
import { buildProgram, explain } from './program.ts';

// Who read the output may have seen enough (`| head`): that is no failure of the verb. A full disk is.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') return;
  process.stderr.write(`pacsfs: ${failureOf('write the output', error).message}\n`);
  process.exitCode = process.argv[2] === 'fsck' ? OPERATIONAL : FAILED;
});
process.stderr.on('error', () => {});

void buildProgram()
  .parseAsync()
  .catch(async (error: unknown) => {
    const { line, exitCode } = explain(error, process.argv[2]);
    process.exitCode = exitCode;
    if (line !== undefined) process.stderr.write(`${line}\n`);
    if (process.env['PACSFS_DEBUG'] !== undefined && error instanceof Error) process.stderr.write(`${error.stack}\n`);
    // A look at a mount that hangs would keep the process from ending by itself.
    if (error instanceof Failure) (await import('../base/libc.ts')).exitNow(exitCode);
  });
