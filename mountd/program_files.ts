/** The files that are processes or threads of their own. As sources they lie in this folder, as built in one (scripts/bundle.mjs). */
import { fileURLToPath } from 'node:url';

export type ProgramFile =
  | 'control_thread'
  | 'daemon'
  | 'notifier_main'
  | 'read_thread'
  | 'refuser_thread'
  | 'supervisor_main'
  | 'worker_thread';

/** Its path. */
export function programFile(name: ProgramFile): string {
  return fileURLToPath(new URL(`./${name}.js`, import.meta.url));
}
