/** The workloads of `make bench-full`, by name. */
import type { Workload } from '../run/workload.ts';
import { agedWorkload } from './aged.ts';
import { commercialWorkload } from './commercial.ts';
import { ingestWorkload } from './ingest.ts';
import { largeWorkload } from './large.ts';
import { latencyWorkload } from './latency.ts';
import { metadataWorkload } from './metadata.ts';
import { seriesWorkload } from './series.ts';
import { sweepWorkload } from './sweep.ts';
import { virtualDiskWorkload } from './virtual_disk.ts';

export const FULL_WORKLOADS: readonly Workload[] = [
  ingestWorkload,
  seriesWorkload,
  agedWorkload,
  metadataWorkload,
  largeWorkload,
  latencyWorkload,
  sweepWorkload,
  virtualDiskWorkload,
  commercialWorkload,
];
