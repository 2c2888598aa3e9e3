/**
 * Files that people write: YAML with a schema. What is wrong with one comes back as a list of flaws, each with its line,
 * the place in words, and the reason; nothing is thrown for any text.
 */
import { type Document, LineCounter, parseDocument, visit } from 'yaml';
import { z } from 'zod';
import { formatSize, parseSize } from './sizes.ts';

/** What is wrong at one place of the file. */
export interface Flaw {
  /** From 1. */
  readonly line: number;
  /** Words from the top of the file to the place, 'rules.2.to'; empty for the file as a whole. */
  readonly place: string;
  /** What was found and what was expected. */
  readonly reason: string;
}

export type Settings<T> = { readonly value: T } | { readonly flaws: readonly [Flaw, ...Flaw[]] };

/** A flaw by the words on the way to its place. */
export interface Contradiction {
  readonly path: readonly (string | number)[];
  readonly reason: string;
}

export interface SettingsOptions<T> {
  /** Looks at the parsed text before the schema does; a flaw from it ends the reading. */
  readonly before?: (raw: unknown) => string | undefined;
  /** What is wrong between parts that fit the schema. */
  readonly after?: (value: T) => Iterable<Contradiction>;
  /** Where people find the words that are known. */
  readonly unknownWord?: string;
}

/** More text than this was not written by people; parsing is superlinear in places. */
export const MAX_SETTINGS_CHARACTERS = 1024 * 1024;
const MAX_FLAWS = 20;

/** Reads `text` by `schema`. */
export function readSettings<S extends z.ZodType>(
  text: string,
  schema: S,
  options: SettingsOptions<z.output<S>> = {},
): Settings<z.output<S>> {
  if (text.length > MAX_SETTINGS_CHARACTERS) {
    return flawed(1, '', `${text.length} characters found, expected at most ${MAX_SETTINGS_CHARACTERS}`);
  }
  const lines = new LineCounter();
  let document: Document.Parsed;
  try {
    document = parseDocument(text, { lineCounter: lines, prettyErrors: false, logLevel: 'error' });
    const error = document.errors[0];
    if (error !== undefined) return flawed(lines.linePos(error.pos[0]).line, '', firstLine(error.message));
  } catch (thrown) {
    // Nested deeper than the stack.
    return flawed(1, '', reasonOf(thrown));
  }
  let raw: unknown;
  try {
    raw = document.toJS();
  } catch (thrown) {
    // An alias of nothing, or more of them than any file needs.
    return unknownAlias(document, lines) ?? flawed(1, '', reasonOf(thrown));
  }
  const first = options.before?.(raw);
  if (first !== undefined) return flawed(1, '', first);
  const parsed = schema.safeParse(raw);
  const source: Source = { document, lines };
  const flaws = parsed.success
    ? [...(options.after?.(parsed.data) ?? [])].map(({ path, reason }) => flawAt(source, path, reason))
    : parsed.error.issues.flatMap((issue) => flawsOf(issue, source, options.unknownWord));
  const [head, ...rest] = flaws.slice(0, MAX_FLAWS);
  if (head !== undefined) return { flaws: [head, ...rest] };
  return parsed.success ? { value: parsed.data } : flawed(1, '', 'it does not fit the schema');
}

/** In one line, as it follows 'Cannot use tiering.yaml, '. */
export function flawText(flaw: Flaw, whole: string): string {
  return `line ${flaw.line}: ${flaw.place === '' ? whole : flaw.place}: ${flaw.reason}`;
}

function flawed(line: number, place: string, reason: string): { readonly flaws: readonly [Flaw] } {
  return { flaws: [{ line, place, reason }] };
}

interface Source {
  readonly document: Document.Parsed;
  readonly lines: LineCounter;
}

function flawAt(source: Source, path: readonly PropertyKey[], reason: string): Flaw {
  return { line: lineOf(source, path), place: escaped(path.map(String).join('.')), reason: escaped(reason) };
}

function flawsOf(issue: z.core.$ZodIssue, source: Source, unknownWord: string | undefined): Flaw[] {
  if (issue.code !== 'unrecognized_keys') return [flawAt(source, issue.path, issue.message)];
  const reason = unknownWord === undefined ? 'unknown word' : `unknown word; ${unknownWord}`;
  return issue.keys.map((key) => flawAt(source, [...issue.path, key], reason));
}

/** Mostly a word that begins with '*' and should stand in quotes. */
function unknownAlias(document: Document.Parsed, lines: LineCounter): Settings<never> | undefined {
  let found: Settings<never> | undefined;
  visit(document, {
    Alias(_, alias) {
      if (alias.resolve(document) !== undefined) return undefined;
      const reason = `'*${alias.source}' is an alias of nothing; a word that begins with '*' stands in quotes`;
      found = flawed(lines.linePos(alias.range?.[0] ?? 0).line, '', escaped(reason));
      return visit.BREAK;
    },
  });
  return found;
}

/** The line of the innermost node on the way to `path` that the text has; of a word in a map, the word's own. */
function lineOf({ document, lines }: Source, path: readonly PropertyKey[]): number {
  for (let length = path.length; length > 0; length--) {
    const node: unknown = document.getIn(path.slice(0, length), true);
    if (typeof node === 'object' && node !== null && 'range' in node && Array.isArray(node.range)) {
      return lines.linePos(node.range[0] as number).line;
    }
  }
  return 1;
}

/** What stands in the file may hold any character: a newline must not make two lines of a message. */
function escaped(text: string): string {
  return text.replace(/\p{Cc}/gu, (character) => JSON.stringify(character).slice(1, -1));
}

function reasonOf(thrown: unknown): string {
  return firstLine(thrown instanceof Error ? thrown.message : String(thrown));
}

function firstLine(text: string): string {
  return text.split('\n', 1)[0] ?? text;
}

// ---- What several files have in common ----

/** Bytes: a number, or words like '8 MiB'. */
export function size(bounds: { least: number; most: number; multiple?: number }) {
  return z.union([z.number(), z.string()]).transform((value, context) => {
    const bytes = typeof value === 'number' ? value : parseSize(value);
    const multiple = bounds.multiple ?? 1;
    if (bytes === undefined || !Number.isSafeInteger(bytes)) {
      context.addIssue({ code: 'custom', message: `'${value}' is no size, expected one like '8 MiB' or 8388608` });
    } else if (bytes < bounds.least || bytes > bounds.most) {
      const range = `${formatSize(bounds.least)} to ${formatSize(bounds.most)}`;
      context.addIssue({ code: 'custom', message: `${formatSize(bytes)} found, expected ${range}` });
    } else if (bytes % multiple !== 0) {
      context.addIssue({
        code: 'custom',
        message: `${formatSize(bytes)} found, expected a multiple of ${formatSize(multiple)}`,
      });
    } else {
      return bytes;
    }
    return z.NEVER;
  });
}

/** A whole number. */
export function count(bounds: { least: number; most: number }) {
  return z
    .number()
    .int()
    .min(bounds.least, { error: (issue) => `${issue.input} found, expected at least ${bounds.least}` })
    .max(bounds.most, { error: (issue) => `${issue.input} found, expected at most ${bounds.most}` });
}
