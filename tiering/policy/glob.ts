/**
 * Path globs relative to the mount's root. `*` is any run of characters of one name, `?` one character, `**` as a whole
 * name any number of folders, none included (as the last one: whatever lies below), `{a,b}` either; a backslash takes a
 * character as it is. Names that begin with a dot are names like any other.
 *
 * Paths are bytes, patterns text: a character is one of UTF-8, and a byte that is none counts as one. The matcher keeps
 * one place to go back to per level (the last `*` of a name, the last `**` of a path), which is enough since whatever
 * matches earlier leaves more for the rest: its time is the product of the lengths at worst. What compiles globs to
 * regular expressions takes a power of them, and the names are other people's: picomatch 4.0.7 takes 29 s to tell that
 * `*a*a*a*a*b` does not match a name of 200 `a`, this 0.3 ms.
 */

const SLASH = 0x2f;
const MAX_PATTERN_CHARACTERS = 4096;
/** Alternatives that the braces of one pattern may make. */
const MAX_ALTERNATIVES = 256;

const ANY_RUN = 1;
const ANY_ONE = 2;
/** Literal bytes, or what `*` and `?` stand for. */
type Part = Uint8Array | typeof ANY_RUN | typeof ANY_ONE;

/** `undefined` stands for `**`. */
type Segment = readonly Part[] | undefined;

interface Alternative {
  readonly segments: readonly Segment[];
}

/** A path split at its slashes: made once for all the globs that look at it. */
export class SplitPath {
  readonly bytes: Uint8Array;
  /** Start and end of each name, in turns. */
  readonly bounds: readonly number[];

  /** Relative to the mount's root, with or without a slash in front. */
  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    const bounds: number[] = [];
    let start = 0;
    for (let at = 0; at <= bytes.length; at++) {
      if (at < bytes.length && bytes[at] !== SLASH) continue;
      if (at > start) bounds.push(start, at);
      start = at + 1;
    }
    this.bounds = bounds;
  }
}

export class Glob {
  /** As it was written. */
  readonly text: string;
  readonly #alternatives: readonly Alternative[];

  private constructor(text: string, alternatives: readonly Alternative[]) {
    this.text = text;
    this.#alternatives = alternatives;
  }

  /** Gives what is wrong with it as text. */
  static parse(value: unknown): Glob | string {
    if (typeof value !== 'string' || value === '') return `${JSON.stringify(value) ?? 'nothing'} is no path pattern`;
    if (value.length > MAX_PATTERN_CHARACTERS) {
      return `a pattern of ${value.length} characters found, expected at most ${MAX_PATTERN_CHARACTERS}`;
    }
    if (/[\0\p{Surrogate}]/u.test(value)) return `'${value}' holds a character that no name can have`;
    const texts = expandBraces(value);
    if (typeof texts === 'string') return texts;
    const alternatives: Alternative[] = [];
    for (const text of texts) {
      const segments = parseSegments(text, value);
      if (typeof segments === 'string') return segments;
      alternatives.push({ segments });
    }
    return new Glob(value, alternatives);
  }

  matches(path: SplitPath): boolean {
    return this.#alternatives.some(({ segments }) => matchPath(segments, path));
  }
}

/** Braces written out, innermost last; escapes stay as they are. */
function expandBraces(pattern: string): string[] | string {
  const pending = [pattern];
  const done: string[] = [];
  for (let text = pending.pop(); text !== undefined; text = pending.pop()) {
    const brace = firstBrace(text);
    if (typeof brace === 'string') return `'${pattern}': ${brace}`;
    if (brace === undefined) {
      done.push(text);
    } else {
      const head = text.slice(0, brace.start);
      const tail = text.slice(brace.end + 1);
      pending.push(...brace.choices.map((choice) => head + choice + tail));
    }
    if (pending.length + done.length > MAX_ALTERNATIVES) {
      return `'${pattern}': its braces make more than ${MAX_ALTERNATIVES} patterns; write several`;
    }
  }
  return done;
}

interface Brace {
  readonly start: number;
  readonly end: number;
  readonly choices: readonly string[];
}

function firstBrace(text: string): Brace | undefined | string {
  const choices: string[] = [];
  let start = -1;
  let depth = 0;
  let from = 0;
  for (let at = 0; at < text.length; at++) {
    const character = text[at];
    if (character === '\\') at += 1;
    else if (character === '{') {
      depth += 1;
      if (depth === 1) [start, from] = [at, at + 1];
    } else if (character === '}') {
      if (depth === 0) return `'}' without '{'; one that is part of a name is written '\\}'`;
      depth -= 1;
      if (depth > 0) continue;
      choices.push(text.slice(from, at));
      return { start, end: at, choices };
    } else if (character === ',' && depth === 1) {
      choices.push(text.slice(from, at));
      from = at + 1;
    }
  }
  return depth > 0 ? `'{' without '}'; one that is part of a name is written '\\{'` : undefined;
}

function parseSegments(text: string, pattern: string): Segment[] | string {
  const names = (text.startsWith('/') ? text.slice(1) : text).split('/');
  const segments: Segment[] = [];
  for (const name of names) {
    if (name === '')
      return `'${pattern}': an empty name between slashes found; what lies below a folder is 'folder/**'`;
    if (name === '.' || name === '..') return `'${pattern}': '${name}' found, expected a path from the mount's root`;
    if (name === '**') {
      // Two in a row say no more than one.
      if (segments.length === 0 || segments.at(-1) !== undefined) segments.push(undefined);
      continue;
    }
    const parts = parseName(name);
    if (typeof parts === 'string') return `'${pattern}': ${parts}`;
    segments.push(parts);
  }
  return segments;
}

function parseName(name: string): Part[] | string {
  const parts: Part[] = [];
  let literal = '';
  const flush = () => {
    if (literal !== '') parts.push(new TextEncoder().encode(literal));
    literal = '';
  };
  for (let at = 0; at < name.length; at++) {
    const character = name[at];
    if (character === '*') {
      if (name[at + 1] === '*') return `'**' found within a name, expected it as a whole one ('a/**/b') or one '*'`;
      flush();
      parts.push(ANY_RUN);
    } else if (character === '?') {
      flush();
      parts.push(ANY_ONE);
    } else if (character === '[') {
      return `'[' has no meaning here; one that is part of a name is written '\\['`;
    } else if (character === '\\') {
      at += 1;
      if (at === name.length) return 'a backslash at the end of a name found, expected a character behind it';
      literal += name[at];
    } else {
      literal += character;
    }
  }
  flush();
  return parts;
}

function matchPath(segments: readonly Segment[], path: SplitPath): boolean {
  const names = path.bounds.length / 2;
  let segment = 0;
  let name = 0;
  let backSegment = -1;
  let backName = 0;
  while (name < names) {
    if (segment < segments.length) {
      const parts = segments[segment];
      if (parts === undefined) {
        // The last one stands for at least one name: the folder itself does not lie below itself.
        if (segment === segments.length - 1) return true;
        backSegment = segment;
        backName = name;
        segment += 1;
        continue;
      }
      if (matchName(parts, path, name)) {
        segment += 1;
        name += 1;
        continue;
      }
    }
    if (backSegment < 0) return false;
    backName += 1;
    name = backName;
    segment = backSegment + 1;
  }
  return segment === segments.length;
}

function matchName(parts: readonly Part[], path: SplitPath, name: number): boolean {
  const bytes = path.bytes;
  const end = path.bounds[2 * name + 1] as number;
  let at = path.bounds[2 * name] as number;
  let part = 0;
  let backPart = -1;
  let backAt = 0;
  for (;;) {
    if (part === parts.length) {
      if (at === end) return true;
    } else {
      const wanted = parts[part] as Part;
      if (wanted === ANY_RUN) {
        if (part === parts.length - 1) return true;
        backPart = part;
        backAt = at;
        part += 1;
        continue;
      }
      if (wanted === ANY_ONE) {
        if (at < end) {
          at += characterLength(bytes, at, end);
          part += 1;
          continue;
        }
      } else if (startsWith(bytes, { at, end, wanted })) {
        at += wanted.length;
        part += 1;
        continue;
      }
    }
    if (backPart < 0 || backAt >= end) return false;
    backAt += characterLength(bytes, backAt, end);
    at = backAt;
    part = backPart + 1;
  }
}

function startsWith(bytes: Uint8Array, look: { at: number; end: number; wanted: Uint8Array }): boolean {
  const { at, end, wanted } = look;
  if (end - at < wanted.length) return false;
  for (let i = 0; i < wanted.length; i++) {
    if (bytes[at + i] !== wanted[i]) return false;
  }
  return true;
}

/** Bytes of the UTF-8 character at `at`; 1 for what is none. */
function characterLength(bytes: Uint8Array, at: number, end: number): number {
  const lead = bytes[at] as number;
  const length = lead < 0xc2 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : lead < 0xf5 ? 4 : 1;
  if (at + length > end) return 1;
  for (let i = 1; i < length; i++) {
    if (((bytes[at + i] as number) & 0xc0) !== 0x80) return 1;
  }
  return length;
}
