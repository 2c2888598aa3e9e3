/** What commands print: text for people, JSON for scripts. */

import { approximateSize } from '../base/sizes.ts';
import { oneLine } from './failure.ts';

export function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

export function printJson(value: unknown): void {
  print(JSON.stringify(value, undefined, 2));
}

/** Progress and remarks, beside what scripts read. */
export function remark(text: string): void {
  process.stderr.write(`pacsfs: ${oneLine(text)}\n`);
}

/** Names and values in two columns; nested ones are indented, byte counts under `spaces` are shown rounded. */
export function renderFields(
  value: object,
  options: { readonly bytes?: boolean; readonly indent?: string } = {},
): string {
  const indent = options.indent ?? '';
  const entries = Object.entries(value).filter(([, field]) => field !== undefined && field !== null);
  const width = Math.max(0, ...entries.map(([name]) => name.length));
  return entries
    .map(([name, field]) => {
      if (typeof field === 'object') {
        const inner = renderNested(field as object, {
          bytes: options.bytes || name === 'spaces',
          indent: `${indent}  `,
        });
        return inner === '' ? `${indent}${name.padEnd(width)}  none` : `${indent}${name}\n${inner}`;
      }
      return `${indent}${name.padEnd(width)}  ${options.bytes && typeof field === 'number' ? approximateSize(field) : field}`;
    })
    .join('\n');
}

function renderNested(value: object, options: { readonly bytes: boolean; readonly indent: string }): string {
  if (!Array.isArray(value)) return renderFields(value, options);
  return value.map((item) => `${options.indent}${renderItem(item, options.bytes)}`).join('\n');
}

function renderItem(item: unknown, bytes: boolean): string {
  if (typeof item !== 'object' || item === null) return String(item);
  return Object.entries(item)
    .map(([name, field]) => `${name} ${bytes && typeof field === 'number' ? approximateSize(field) : String(field)}`)
    .join(', ');
}
