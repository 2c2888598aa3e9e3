/**
 * Structured logs: JSON lines on standard error through pino. A message names actions and numbers (inode, aggregate,
 * volume), never file names or contents: names in an archive are patients' data.
 */
import { type DestinationStream, destination, pino, stdSerializers } from 'pino';

export type LogLevel = 'fatal' | 'error' | 'warn' | 'info' | 'debug' | 'trace' | 'silent';

export interface Log {
  error(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  info(fields: object, message: string): void;
  debug(fields: object, message: string): void;
}

export interface LogOptions {
  readonly level?: LogLevel;
  /** Name of the thread or program, in every line. */
  readonly name: string;
  /** Default: standard error, written synchronously, so that a crash loses no line. */
  readonly stream?: DestinationStream;
}

export function createLog(options: LogOptions): Log {
  return pino(
    {
      level: options.level ?? 'info',
      base: { name: options.name, pid: process.pid },
      timestamp: () => `,"time":"${new Date().toISOString()}"`,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { error: stdSerializers.err },
    },
    options.stream ?? destination({ fd: 2, sync: true }),
  );
}

/** For unit tests and tools that have nobody to tell. */
export const silentLog: Log = { error() {}, warn() {}, info() {}, debug() {} };
