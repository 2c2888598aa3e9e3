/** Kinds of volumes that the program serves beyond `dir`. */
import type { VolumeKinds } from '../aggregate/volume.ts';
import { openEcVolume } from '../tiering/erasure/ec_volume.ts';

export const VOLUME_KINDS: VolumeKinds = { ec: openEcVolume };
