/** `pacsfs config show`: store.yaml with every option's present value. */
import { stringify } from 'yaml';
import { describeOptions, readConfig, volumeRows } from '../config.ts';
import { print, printJson } from '../output.ts';
import { resolveTarget } from '../target.ts';

export interface ConfigOptions {
  readonly json?: boolean;
}

export function showConfig(target: string, options: ConfigOptions): void {
  const { store } = resolveTarget(target);
  const config = readConfig(store);
  if (options.json === true) {
    printJson({ ...config, store, volumes: volumeRows(config, store) });
    return;
  }
  print(stringify({ ...config, options: describeOptions(config.options) }, { lineWidth: 0 }).trimEnd());
}
