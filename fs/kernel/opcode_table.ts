/** Every opcode and who handles it. An opcode without a row is answered ENOSYS. */
import { E, type Errno, isErrno } from '../../base/errno.ts';
import type { CompletedRequest } from '../requests.ts';
import * as attributes from './attribute_handlers.ts';
import * as directories from './directory_handlers.ts';
import { type Exchange, fail, NO_REPLY } from './exchange.ts';
import * as files from './file_handlers.ts';
import { decodeInit, encodeInit, negotiate } from './init.ts';
import * as names from './name_handlers.ts';
import * as protocol from './protocol.ts';
import { Opcode, PAYLOAD } from './protocol.ts';

/** The payload's length in the reply buffer, -errno, or NO_REPLY. */
export type Handler = (exchange: Exchange) => number;

/** Makes the reply once more of a request that an earlier daemon has executed. */
export type AgainHandler = (exchange: Exchange, executed: CompletedRequest) => number;

export interface Row {
  readonly name: keyof typeof Opcode;
  readonly handle: Handler;
  /** Present where executing the request twice would not be the same as once. */
  readonly again: AgainHandler | undefined;
  /** What the body holds at least. */
  readonly bodyBytes: number;
  /** Refused on a read-only mount. */
  readonly changes: boolean;
  /** Never answered, not even when malformed. */
  readonly silent: boolean;
  /** The node id is not looked at. */
  readonly anyNode: boolean;
}

type Traits = Partial<Pick<Row, 'again' | 'changes' | 'silent' | 'anyNode'>>;

const CHANGES: Traits = { changes: true };
const ENTRY_ONCE: Traits = { changes: true, again: names.entryAgain };
const CREATE_ONCE: Traits = { changes: true, again: files.createAgain };
const NOTHING_ONCE: Traits = { changes: true, again: () => 0 };
const SILENT: Traits = { silent: true, anyNode: true };
const ANY_NODE: Traits = { anyNode: true };

function refuse(errno: Errno): Handler {
  return () => fail(errno);
}

/** Answered so once, these are never sent again: the kernel then does without, as it should. */
const notNeeded = refuse(E.ENOSYS);

function initialise(x: Exchange): number {
  const kernel = decodeInit(x.requestView, x.end - protocol.BODY);
  const reply = negotiate(kernel, x.options);
  if (isErrno(reply)) {
    x.log.error({ major: kernel.major, minor: kernel.minor }, 'Cannot serve this kernel: its protocol is too old');
    return fail(reply);
  }
  if (kernel.major === protocol.MAJOR_VERSION) x.negotiated = reply;
  x.payload.fill(0, 0, protocol.initOutBytes);
  return encodeInit(x.replyView, PAYLOAD, reply, kernel.major);
}

const ROWS: readonly (readonly [name: keyof typeof Opcode, bodyBytes: number, handle: Handler, traits?: Traits])[] = [
  ['LOOKUP', 0, names.lookup],
  ['FORGET', protocol.forgetInBytes, directories.forget, SILENT],
  ['GETATTR', protocol.getattrInBytes, attributes.getAttributes],
  ['SETATTR', protocol.setattrInBytes, attributes.setAttributes, CHANGES],
  ['READLINK', 0, attributes.readLink],
  ['SYMLINK', 0, names.makeSymlink, ENTRY_ONCE],
  ['MKNOD', protocol.mknodInBytes, names.makeNode, ENTRY_ONCE],
  ['MKDIR', protocol.mkdirInBytes, names.makeDirectory, ENTRY_ONCE],
  ['UNLINK', 0, names.unlink, NOTHING_ONCE],
  ['RMDIR', 0, names.removeDirectory, NOTHING_ONCE],
  ['RENAME', protocol.renameInBytes, names.rename, NOTHING_ONCE],
  ['LINK', protocol.linkInBytes, names.makeLink, ENTRY_ONCE],
  ['OPEN', protocol.openInBytes, files.open, { again: files.openAgain }],
  ['READ', protocol.readInBytes, files.read],
  ['WRITE', protocol.writeInBytes, files.write, CHANGES],
  ['STATFS', 0, attributes.statistics, ANY_NODE],
  ['RELEASE', protocol.releaseInBytes, files.release],
  ['FSYNC', protocol.fsyncInBytes, files.flushFile],
  ['SETXATTR', protocol.compatSetxattrInBytes, attributes.setXattr, NOTHING_ONCE],
  ['GETXATTR', protocol.getxattrInBytes, attributes.getXattr],
  ['LISTXATTR', protocol.getxattrInBytes, attributes.listXattrs],
  ['REMOVEXATTR', 0, attributes.removeXattr, NOTHING_ONCE],
  ['FLUSH', 0, notNeeded],
  ['INIT', protocol.compatInitInBytes, initialise, ANY_NODE],
  ['OPENDIR', protocol.openInBytes, directories.openDirectory],
  ['READDIR', protocol.readInBytes, directories.readDirectory],
  ['RELEASEDIR', protocol.releaseInBytes, directories.releaseDirectory],
  ['FSYNCDIR', protocol.fsyncInBytes, directories.flushDirectory],
  ['ACCESS', 0, notNeeded],
  ['CREATE', protocol.createInBytes, files.create, CREATE_ONCE],
  ['INTERRUPT', 0, () => NO_REPLY, SILENT],
  ['BMAP', 0, notNeeded],
  ['DESTROY', 0, () => 0, ANY_NODE],
  ['IOCTL', 0, refuse(E.ENOTTY)],
  ['POLL', 0, notNeeded],
  ['NOTIFY_REPLY', 0, () => NO_REPLY, SILENT],
  ['BATCH_FORGET', protocol.batchForgetInBytes, directories.forgetBatch, SILENT],
  ['FALLOCATE', protocol.fallocateInBytes, files.allocate, CHANGES],
  ['READDIRPLUS', protocol.readInBytes, directories.readDirectoryPlus],
  ['RENAME2', protocol.rename2InBytes, names.rename2, NOTHING_ONCE],
  ['LSEEK', protocol.lseekInBytes, files.seek],
  ['COPY_FILE_RANGE', protocol.copyFileRangeInBytes, files.copyFileRange, CHANGES],
  ['SYNCFS', 0, notNeeded, ANY_NODE],
  ['TMPFILE', protocol.createInBytes, files.createUnnamed, CREATE_ONCE],
  ['STATX', protocol.statxInBytes, attributes.statx],
  ['COPY_FILE_RANGE_64', protocol.copyFileRangeInBytes, files.copyFileRange64, CHANGES],
];

/** Indexed by opcode. */
export const OPCODE_TABLE: readonly (Row | undefined)[] = ROWS.reduce<(Row | undefined)[]>(
  (table, [name, bodyBytes, handle, traits]) => {
    table[Opcode[name]] = {
      name,
      bodyBytes,
      handle,
      again: undefined,
      changes: false,
      silent: false,
      anyNode: false,
      ...traits,
    };
    return table;
  },
  new Array<Row | undefined>(protocol.OPCODE_LIMIT).fill(undefined),
);
