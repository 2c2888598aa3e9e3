import { describe, expect, it } from 'vitest';
import { E, isErrno } from '../../base/errno.ts';
import {
  ACL_UNDEFINED_ID,
  type Acl,
  AclTag,
  chmodAcl,
  createFromDefault,
  equivalentMode,
  parseAcl,
  serialiseAcl,
} from '../../fs/acl.ts';
import { Random } from '../support/random.ts';
import { firstSeed } from '../support/seed.ts';

const NONE = ACL_UNDEFINED_ID;

/** 'u::rwx,u:100:r--,g::r-x,m::rwx,o::---' as a list. */
function acl(text: string): Acl {
  const tags: Record<string, readonly [number, number]> = {
    u: [AclTag.USER_OBJ, AclTag.USER],
    g: [AclTag.GROUP_OBJ, AclTag.GROUP],
    m: [AclTag.MASK, AclTag.MASK],
    o: [AclTag.OTHER, AclTag.OTHER],
  };
  return text.split(',').map((part) => {
    const [who = '', id = '', bits = ''] = part.split(':');
    const pair = tags[who] ?? [0, 0];
    const permissions = [...bits].reduce((sum, bit) => sum * 2 + (bit === '-' ? 0 : 1), 0);
    return { tag: id === '' ? pair[0] : pair[1], permissions, id: id === '' ? NONE : Number(id) };
  });
}

const bytes = (hex: string): Uint8Array => Uint8Array.from(Buffer.from(hex.replaceAll(' ', ''), 'hex'));

describe('form of the attribute', () => {
  // As `getfattr -e hex -n system.posix_acl_access` shows `setfacl -m u:100:r` on a file of mode 0640.
  const stored = bytes('02000000 01000600ffffffff 0200040064000000 04000400ffffffff 10000400ffffffff 20000000ffffffff');
  const meaning = acl('u::rw-,u:100:r--,g::r--,m::r--,o::---');

  it('reads what Linux stores and writes it back', () => {
    expect(parseAcl(stored)).toEqual(meaning);
    expect(serialiseAcl(meaning)).toEqual(stored);
  });

  it('reads a header alone as no list', () => {
    expect(parseAcl(bytes('02000000'))).toEqual([]);
    expect(serialiseAcl([])).toEqual(bytes('02000000'));
  });

  it('ignores the id of entries that have none, as Linux does', () => {
    const odd = stored.slice();
    odd[8] = 7;
    expect(parseAcl(odd)).toEqual(meaning);
  });

  it.each([
    ['nothing', '', E.EINVAL],
    ['half a header', '0200', E.EINVAL],
    ['another version', '01000000', E.EOPNOTSUPP],
    ['half an entry', '02000000 01000600', E.EINVAL],
    [
      'a user without id',
      '02000000 01000600ffffffff 02000400ffffffff 04000400ffffffff 10000400ffffffff 20000000ffffffff',
      E.EINVAL,
    ],
    ['an unknown tag', '02000000 01000600ffffffff 04000400ffffffff 40000400ffffffff 20000000ffffffff', E.EINVAL],
    ['permissions past 7', '02000000 01000800ffffffff 04000400ffffffff 20000000ffffffff', E.EINVAL],
  ])('refuses %s', (_what, hex, errno) => {
    expect(parseAcl(bytes(hex))).toBe(errno);
  });

  it.each([
    'u::rwx,g::r-x',
    'u::rwx,o::r-x',
    'g::rwx,o::r-x',
    'u::rwx,g::r-x,o::r-x,o::r-x',
    'u::rwx,u::rwx,g::r-x,o::r-x',
    'u::rwx,g::r-x,g::r-x,o::r-x',
    'u::rwx,g::r-x,m::r-x,m::r-x,o::r-x',
    'u:1:rwx,u::rwx,g::r-x,m::rwx,o::r-x',
    'g::r-x,u::rwx,o::r-x',
    'u::rwx,u:1:rwx,g::r-x,o::r-x',
    'u::rwx,g::r-x,g:1:rwx,o::r-x',
    'u::rwx,g::r-x,u:1:rwx,m::rwx,o::r-x',
    'u::rwx,g::r-x,o::r-x,m::rwx',
  ])('refuses %s', (text) => {
    expect(parseAcl(serialiseAcl(acl(text)))).toBe(E.EINVAL);
  });

  it.each([
    'u::rwx,g::r-x,o::r-x',
    'u::rwx,g::r-x,m::r--,o::r-x',
    'u::rwx,u:1:rwx,u:1:r--,g::r-x,g:7:--x,m::rwx,o::---',
  ])('takes %s', (text) => {
    expect(parseAcl(serialiseAcl(acl(text)))).toEqual(acl(text));
  });

  it('never throws on random bytes (seeded)', () => {
    const seed = firstSeed('PACSFS_SEED');
    console.info(`access control lists: PACSFS_SEED=${seed}`);
    const chance = new Random(seed);
    const random = (limit: number): number => chance.below(limit);
    for (let round = 0; round < 5_000; round += 1) {
      const mutated = stored.slice(0, 4 + random(stored.length - 3));
      for (let change = random(4); change > 0; change -= 1) mutated[random(mutated.length)] = random(256);
      const parsed = parseAcl(mutated);
      if (!isErrno(parsed)) expect(parseAcl(serialiseAcl(parsed))).toEqual(parsed);
    }
  });
});

describe('equivalentMode', () => {
  it.each([
    ['u::rwx,g::r-x,o::--x', 0o751, true],
    ['u::rw-,g::---,o::---', 0o600, true],
    ['u::rwx,g::r-x,m::-w-,o::--x', 0o721, false],
    ['u::rwx,u:1:rwx,g::r-x,m::rwx,o::---', 0o770, false],
  ])('of %s', (text, permissions, exact) => {
    expect(equivalentMode(acl(text))).toEqual({ permissions, exact });
  });
});

describe('chmodAcl', () => {
  it('changes owner, group and others of a plain list', () => {
    expect(chmodAcl(acl('u::rwx,g::r-x,o::r-x'), 0o100640)).toEqual(acl('u::rw-,g::r--,o::---'));
  });

  it('changes the mask, never the group or named entries, of an extended one', () => {
    expect(chmodAcl(acl('u::rwx,u:1:rwx,g::r-x,g:2:rw-,m::rwx,o::r-x'), 0o604)).toEqual(
      acl('u::rw-,u:1:rwx,g::r-x,g:2:rw-,m::---,o::r--'),
    );
  });
});

describe('createFromDefault', () => {
  it('needs no list where the mode says it all', () => {
    expect(createFromDefault(acl('u::rwx,g::r-x,o::---'), 0o100666)).toEqual({ mode: 0o100640, access: undefined });
  });

  it('cuts owner, mask and others by the mode and keeps the rest', () => {
    expect(createFromDefault(acl('u::rwx,u:1:rwx,g::r-x,m::rwx,o::r-x'), 0o100640)).toEqual({
      mode: 0o100640,
      access: acl('u::rw-,u:1:rwx,g::r-x,m::r--,o::---'),
    });
  });

  it('cuts the mode by the list and keeps setgid and type', () => {
    expect(createFromDefault(acl('u::r-x,u:1:rwx,g::rwx,m::r-x,o::---'), 0o042777)).toEqual({
      mode: 0o042550,
      access: acl('u::r-x,u:1:rwx,g::rwx,m::r-x,o::---'),
    });
  });
});
