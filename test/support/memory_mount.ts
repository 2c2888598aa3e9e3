/**
 * `node memory_mount.js DIR`: mounts a filesystem that lives in memory at DIR and serves it until it is unmounted.
 * Prints "ready" once mounted, and at the end one line of JSON: requests by opcode.
 */
import { closeSync, constants, openSync, writeSync } from 'node:fs';
import { viewOf } from '../../base/bytes.ts';
import { mount, POLLIN, poll } from '../../base/libc.ts';
import { createLog } from '../../base/log.ts';
import { Session } from '../../fs/kernel/session.ts';
import { MemoryOperations } from './memory_operations.ts';

const BUDGET = 64;
const POLL_MS = 1000;

function serve(target: string): void {
  const fd = openSync('/dev/fuse', constants.O_RDWR | constants.O_NONBLOCK);
  const data = `fd=${fd},rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions`;
  const failure = mount({ source: 'memory', target, type: 'fuse.pacsfs', flags: 0, data });
  if (failure < 0) throw new Error(`Cannot mount at ${target}: errno ${-failure}, expected 0`);
  const session = new Session({ fd, operations: new MemoryOperations(), log: createLog({ name: 'memory' }) });
  writeSync(1, 'ready\n');
  const waiting = new Uint8Array(8);
  viewOf(waiting).setInt32(0, fd, true);
  viewOf(waiting).setInt16(4, POLLIN, true);
  for (let served = session.serve(BUDGET); served !== 'unmounted'; served = session.serve(BUDGET)) {
    if (served === 'idle') poll(waiting, POLL_MS);
  }
  closeSync(fd);
  writeSync(1, `${JSON.stringify(session.countsByName())}\n`);
}

const target = process.argv[2];
if (target === undefined) throw new Error('Cannot mount: no directory given, expected memory_mount.js DIR');
serve(target);
