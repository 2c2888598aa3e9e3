/** The program `pacsfs`. */
import { Failure } from './failure.ts';
import { buildProgram, explain } from './program.ts';

try {
  await buildProgram().parseAsync();
} catch (error) {
  const { line, exitCode } = explain(error, process.argv[2]);
  process.exitCode = exitCode;
  if (line !== undefined) process.stderr.write(`${line}\n`);
  if (process.env['PACSFS_DEBUG'] !== undefined && error instanceof Error) process.stderr.write(`${error.stack}\n`);
  // A look at a mount that hangs would keep the process from ending by itself.
  if (error instanceof Failure) (await import('../base/libc.ts')).exitNow(exitCode);
}
