/**
 * POSIX access control lists as pure functions, in the form of the attributes system.posix_acl_access and
 * system.posix_acl_default. Semantics: fs/posix_acl.c of Linux (posix_acl_from_xattr, posix_acl_valid,
 * posix_acl_equiv_mode, posix_acl_create_masq, __posix_acl_chmod_masq); acl(5) says what the entries mean.
 *
 * posix_acl_xattr_header: version u32 0 (2)
 * posix_acl_xattr_entry:  tag u16 0, perm u16 2, id u32 4, as many as there are
 */
import { assert } from '../base/assert.ts';
import { viewOf } from '../base/bytes.ts';
import { E, type Result } from '../base/errno.ts';

export const ACL_ACCESS = 'system.posix_acl_access';
export const ACL_DEFAULT = 'system.posix_acl_default';

export const AclTag = { USER_OBJ: 1, USER: 2, GROUP_OBJ: 4, GROUP: 8, MASK: 16, OTHER: 32 } as const;

/** Id of the entries that have none. */
export const ACL_UNDEFINED_ID = 0xffff_ffff;

export interface AclEntry {
  /** One of AclTag. */
  readonly tag: number;
  /** 0 to 7: read 4, write 2, execute 1. */
  readonly permissions: number;
  /** uid or gid of USER and GROUP; ACL_UNDEFINED_ID of the others. */
  readonly id: number;
}

/** A valid list in the kernel's order; an empty one says that there is no list. */
export type Acl = readonly AclEntry[];

const VERSION = 2;
const HEADER_BYTES = 4;
const ENTRY_BYTES = 8;
const ALL = 7;
const PERMISSION_BITS = 0o777;

/**
 * EOPNOTSUPP for another version, EINVAL for what is no valid list. A header alone is an empty list: setting it removes
 * the attribute.
 */
export function parseAcl(bytes: Uint8Array): Result<Acl> {
  if (bytes.length < HEADER_BYTES) return E.EINVAL;
  const view = viewOf(bytes);
  if (view.getUint32(0, true) !== VERSION) return E.EOPNOTSUPP;
  if ((bytes.length - HEADER_BYTES) % ENTRY_BYTES !== 0) return E.EINVAL;
  const entries: AclEntry[] = [];
  for (let at = HEADER_BYTES; at < bytes.length; at += ENTRY_BYTES) {
    const tag = view.getUint16(at, true);
    const hasId = tag === AclTag.USER || tag === AclTag.GROUP;
    const id = view.getUint32(at + 4, true);
    if (hasId && id === ACL_UNDEFINED_ID) return E.EINVAL;
    entries.push({ tag, permissions: view.getUint16(at + 2, true), id: hasId ? id : ACL_UNDEFINED_ID });
  }
  return entries.length === 0 || isValid(entries) ? entries : E.EINVAL;
}

export function serialiseAcl(acl: Acl): Uint8Array {
  const bytes = new Uint8Array(HEADER_BYTES + acl.length * ENTRY_BYTES);
  const view = viewOf(bytes);
  view.setUint32(0, VERSION, true);
  acl.forEach((entry, index) => {
    const at = HEADER_BYTES + index * ENTRY_BYTES;
    view.setUint16(at, entry.tag, true);
    view.setUint16(at + 2, entry.permissions, true);
    view.setUint32(at + 4, entry.id, true);
  });
  return bytes;
}

/** Owner, users, group, groups, then a mask (a must where users or groups are named), then the others, once each. */
function isValid(entries: Acl): boolean {
  let state: number = AclTag.USER_OBJ;
  let needsMask = false;
  for (const { tag, permissions } of entries) {
    if (permissions > ALL) return false;
    switch (tag) {
      case AclTag.USER_OBJ:
        if (state !== AclTag.USER_OBJ) return false;
        state = AclTag.USER;
        break;
      case AclTag.USER:
        if (state !== AclTag.USER) return false;
        needsMask = true;
        break;
      case AclTag.GROUP_OBJ:
        if (state !== AclTag.USER) return false;
        state = AclTag.GROUP;
        break;
      case AclTag.GROUP:
        if (state !== AclTag.GROUP) return false;
        needsMask = true;
        break;
      case AclTag.MASK:
        if (state !== AclTag.GROUP) return false;
        state = AclTag.OTHER;
        break;
      case AclTag.OTHER:
        if (state !== AclTag.OTHER && (state !== AclTag.GROUP || needsMask)) return false;
        state = 0;
        break;
      default:
        return false;
    }
  }
  return state === 0;
}

/**
 * The nine permission bits that stat(2) shows beside this list; where there is a mask, it stands in the group's place.
 * `exact` says that the bits alone mean the same, so that the list need not be kept.
 */
export function equivalentMode(acl: Acl): { readonly permissions: number; readonly exact: boolean } {
  const group = find(acl, AclTag.MASK) ?? find(acl, AclTag.GROUP_OBJ);
  const bits = (entry: AclEntry | undefined): number => entry?.permissions ?? 0;
  const permissions = (bits(find(acl, AclTag.USER_OBJ)) << 6) | (bits(group) << 3) | bits(find(acl, AclTag.OTHER));
  return { permissions, exact: !acl.some(isExtended) };
}

/** The list after chmod(2) to `mode`: owner, others, and the mask (without one the group) take its bits. */
export function chmodAcl(acl: Acl, mode: number): Acl {
  return withClasses(acl, { owner: (mode >> 6) & ALL, group: (mode >> 3) & ALL, others: mode & ALL });
}

/**
 * What an inode made with `mode` in a directory with this default list gets. The umask plays no part. `mode` keeps its
 * other bits; `access` is undefined where the mode says it all. A directory also takes the default list itself, unchanged.
 */
export function createFromDefault(
  defaultAcl: Acl,
  mode: number,
): { readonly mode: number; readonly access: Acl | undefined } {
  const equivalent = equivalentMode(defaultAcl);
  const kept = equivalent.permissions & mode;
  const access = withClasses(defaultAcl, { owner: kept >> 6, group: (kept >> 3) & ALL, others: kept & ALL });
  return { mode: (mode & ~PERMISSION_BITS) | kept, access: equivalent.exact ? undefined : access };
}

function withClasses(acl: Acl, classes: { owner: number; group: number; others: number }): Acl {
  const groupTag = find(acl, AclTag.MASK) === undefined ? AclTag.GROUP_OBJ : AclTag.MASK;
  assert(find(acl, groupTag) !== undefined, 'Access control list without its group entry');
  return acl.map((entry) => {
    if (entry.tag === AclTag.USER_OBJ) return { ...entry, permissions: classes.owner };
    if (entry.tag === groupTag) return { ...entry, permissions: classes.group };
    if (entry.tag === AclTag.OTHER) return { ...entry, permissions: classes.others };
    return entry;
  });
}

function find(acl: Acl, tag: number): AclEntry | undefined {
  return acl.find((entry) => entry.tag === tag);
}

function isExtended(entry: AclEntry): boolean {
  return entry.tag === AclTag.USER || entry.tag === AclTag.GROUP || entry.tag === AclTag.MASK;
}
