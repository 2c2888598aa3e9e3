import { describe, expect, it } from 'vitest';
import { Glob, SplitPath } from '../../../tiering/policy/glob.ts';
import { Random } from '../../support/random.ts';
import { firstSeed } from '../../support/seed.ts';

function glob(text: string): Glob {
  const parsed = Glob.parse(text);
  if (typeof parsed === 'string') throw new Error(parsed);
  return parsed;
}

function split(path: string | Uint8Array): SplitPath {
  return new SplitPath(typeof path === 'string' ? new TextEncoder().encode(path) : path);
}

function matches(text: string, path: string | Uint8Array): boolean {
  return glob(text).matches(split(path));
}

describe('path patterns', () => {
  it.each<[pattern: string, yes: string[], no: string[]]>([
    ['a', ['a', '/a'], ['b', 'aa', 'a/b', 'x/a']],
    ['/a/b', ['a/b', '/a/b'], ['a', 'b', 'a/b/c']],
    ['*.dcm', ['1.dcm', '.dcm', '.x.dcm'], ['a/1.dcm', '1.dcm.gz', '1dcm']],
    ['**/*.dcm', ['1.dcm', 'a/1.dcm', 'a/b/c/1.dcm'], ['a/1.dcm/x', '1.dc']],
    ['a/**', ['a/b', 'a/b/c', 'a/.b'], ['a', 'b/a', 'ab/c']],
    ['**', ['a', 'a/b'], []],
    ['**/b', ['b', 'a/b', 'a/a/b'], ['a', 'b/a', 'ab']],
    ['a/**/b', ['a/b', 'a/x/b', 'a/x/y/b', 'a/b/b'], ['a', 'a/x', 'b', 'a/bx', 'x/a/b']],
    ['a/**/b/**/c', ['a/b/c', 'a/b/x/c', 'a/x/b/y/b/z/c'], ['a/c', 'a/b', 'a/c/b']],
    ['**/**/a', ['a', 'x/a'], ['b']],
    ['*', ['a', 'abc', '.'], ['a/b']],
    ['*/*', ['a/b'], ['a', 'a/b/c']],
    ['?', ['a', 'é', '😀', '人'], ['', 'ab', 'éé']],
    ['a?c', ['abc', 'aéc', 'a😀c'], ['ac', 'abbc', 'a/c']],
    ['*?x', ['ax', 'éx', 'xx', 'aéx'], ['x', 'xa']],
    ['é*', ['é', 'éa'], ['e', 'è', 'e\u0301']],
    ['a*b*c', ['abc', 'axbyc', 'abbcc', 'abcbc'], ['ab', 'acb', 'abcd']],
    ['*a*a*', ['aa', 'xaxax'], ['a', 'xax']],
    ['*.{dcm,ima}', ['1.dcm', '1.ima'], ['1.jpg', '1.{dcm,ima}', '1.dcm,ima']],
    ['{a,b/{c,d}}/x', ['a/x', 'b/c/x', 'b/d/x'], ['b/x', 'c/x', 'a/c/x']],
    ['a{,.gz}', ['a', 'a.gz'], ['a.', 'b.gz']],
    ['{a}', ['a'], ['{a}']],
    ['a\\*b', ['a*b'], ['axb', 'a\\*b']],
    ['\\{a,b\\}', ['{a,b}'], ['a', 'b']],
    ['a\\?', ['a?'], ['ab']],
    ['a\\[1\\]', ['a[1]'], ['a1']],
    ['a b', ['a b'], ['ab']],
    ['*\n*', ['a\nb'], ['ab']],
    ['a+(b)|c$^.', ['a+(b)|c$^.'], ['abb', 'c']],
    ['!a', ['!a'], ['b']],
    ['#a', ['#a'], ['a']],
  ])('%j', (pattern, yes, no) => {
    for (const path of yes) expect(matches(pattern, path), `${JSON.stringify(path)} is to match`).toBe(true);
    for (const path of no) expect(matches(pattern, path), `${JSON.stringify(path)} is not to match`).toBe(false);
  });

  it('takes a byte that is no UTF-8 for one character', () => {
    const name = new Uint8Array([0x61, 0xe9, 0x62]);
    expect(matches('a?b', name)).toBe(true);
    expect(matches('a*b', name)).toBe(true);
    expect(matches('a??b', name)).toBe(false);
    expect(matches('?', new Uint8Array([0xc3]))).toBe(true);
    expect(matches('??', new Uint8Array([0xe2, 0x82]))).toBe(true);
    expect(matches('aéb', name)).toBe(false);
  });

  it.each<[pattern: unknown, message: RegExp]>([
    ['', /"" is no path pattern/],
    [7, /7 is no path pattern/],
    ['a**', /'\*\*' found within a name/],
    ['a/**b/c', /'\*\*' found within a name/],
    ['a//b', /an empty name between slashes/],
    ['a/', /what lies below a folder is 'folder\/\*\*'/],
    ['../a', /'..' found, expected a path from the mount's root/],
    ['./a', /'.' found, expected a path/],
    ['a{b', /'{' without '}'/],
    ['a}b', /'}' without '{'/],
    ['a[bc]', /'\[' has no meaning here/],
    ['a\\', /a backslash at the end of a name/],
    ['\uD800', /holds a character that no name can have/],
    ['a\0', /holds a character that no name can have/],
    ['{1,2}'.repeat(9), /its braces make more than 256 patterns/],
    ['{'.repeat(3000), /'{' without '}'/],
    ['x'.repeat(5000), /a pattern of 5000 characters found, expected at most 4096/],
  ])('%j is refused', (pattern, message) => {
    expect(Glob.parse(pattern)).toMatch(message);
  });

  it('256 alternatives are taken', () => {
    expect(matches('{1,2}'.repeat(8), '12121212')).toBe(true);
  });

  it('matches what a slow and simple matcher does', () => {
    const random = new Random(firstSeed('PACSFS_SEED'));
    const pick = (items: readonly string[]) => items[random.below(items.length)] ?? '';
    let yes = 0;
    for (let round = 0; round < 20_000; round++) {
      const name = () => Array.from({ length: 1 + random.below(4) }, () => pick(['a', 'b', 'é'])).join('');
      const part = () =>
        random.below(4) === 0
          ? '**'
          : Array.from({ length: 1 + random.below(4) }, () => pick(['a', 'b', 'é', '?', '*']))
              .join('')
              .replace(/\*+/g, '*');
      const pattern = Array.from({ length: 1 + random.below(4) }, part).join('/');
      const path = Array.from({ length: 1 + random.below(4) }, name).join('/');
      const expected = slowPath(pattern.split('/'), path.split('/'));
      if (expected) yes += 1;
      expect(matches(pattern, path), `${pattern} against ${path}`).toBe(expected);
    }
    expect(yes).toBeGreaterThan(1_000);
  });

  it('takes no power of the length for names made to be slow', () => {
    const started = performance.now();
    expect(matches(`${'*a'.repeat(60)}*b`, 'a'.repeat(255))).toBe(false);
    expect(matches(`${'**/a/'.repeat(60)}b`, 'a/'.repeat(2_000))).toBe(false);
    // What goes back at every star takes longer than the world is old.
    expect(performance.now() - started).toBeLessThan(2_000);
  });
});

function slowPath(pattern: readonly string[], path: readonly string[]): boolean {
  const [head, ...rest] = pattern;
  if (head === undefined) return path.length === 0;
  if (head === '**') {
    const least = rest.some((part) => part !== '**') ? 0 : 1;
    return Array.from({ length: path.length + 1 }, (_, taken) => taken).some(
      (taken) => taken >= least && (slowPath(rest, path.slice(taken)) || (least === 1 && taken === path.length)),
    );
  }
  const [name, ...others] = path;
  return name !== undefined && slowName([...head], [...name]) && slowPath(rest, others);
}

function slowName(pattern: readonly string[], name: readonly string[]): boolean {
  const [head, ...rest] = pattern;
  if (head === undefined) return name.length === 0;
  if (head === '*')
    return Array.from({ length: name.length + 1 }, (_, taken) => name.slice(taken)).some((tail) =>
      slowName(rest, tail),
    );
  const [first, ...others] = name;
  return first !== undefined && (head === '?' || head === first) && slowName(rest, others);
}
