/** The workloads of `make bench-full`, by name. */
import type { Workload } from '../run/workload.ts';
import { ingestWorkload } from './ingest.ts';
import { largeWorkload } from './large.ts';
import { latencyWorkload } from './latency.ts';
import { metadataWorkload } from './metadata.ts';
import { seriesWorkload } from './series.ts';

export const FULL_WORKLOADS: readonly Workload[] = [
  ingestWorkload,
  seriesWorkload,
  metadataWorkload,
  largeWorkload,
  latencyWorkload,
];
