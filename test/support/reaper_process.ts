/** The process of reaper.ts: hears what a test process makes, and clears it away when that process is gone. */
import { createInterface } from 'node:readline';
import { clearAway, endProcess, type KnownProcess } from './leavings.ts';
import type { ReaperMessage } from './reaper.ts';

/** A program that was just being started when its starter was killed may still make something. */
const CLEAN_ROUNDS = 5;

const folders = new Set<string>();
const processes = new Map<string, KnownProcess>();

function hear(message: ReaperMessage): void {
  if (message.kind === 'folder') {
    if (message.isGone) folders.delete(message.folder);
    else folders.add(message.folder);
    return;
  }
  const key = `${message.process.pid} ${message.process.startTicks}`;
  if (message.isGone) processes.delete(key);
  else processes.set(key, message.process);
}

for await (const line of createInterface({ input: process.stdin })) {
  // The last line may be cut off where its writer was killed.
  if (line.endsWith('}')) hear(JSON.parse(line) as ReaperMessage);
}
for (const each of processes.values()) endProcess(each);
// The later ones may lie on disks that the earlier ones hold.
for (const folder of [...folders].reverse()) await clearAway(folder, CLEAN_ROUNDS);
