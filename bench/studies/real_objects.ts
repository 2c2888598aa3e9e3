/**
 * Real DICOM objects that lie beside the checkout, mixed into the generated studies where that folder exists. They are
 * read at run time, byte for byte, and never become part of the project.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import dcmjs, { type DicomElements } from 'dcmjs';
import type { StudyFile } from './study.ts';

export interface RealObject {
  readonly source: string;
  /** `SeriesUID/SOPUID.dcm` as the object itself says. */
  readonly path: string;
}

/** `../shared/dicom` as seen from the checkout, `PACSFS_REAL_DICOM` where it is set. */
export function realObjectFolder(checkout: string): string {
  return process.env['PACSFS_REAL_DICOM'] ?? join(checkout, '..', 'shared', 'dicom');
}

/** The objects of a folder in name order; none when there is no such folder. Files that dcmjs cannot read are left out. */
export function findRealObjects(folder: string): RealObject[] {
  if (!existsSync(folder)) return [];
  const objects: RealObject[] = [];
  for (const name of readdirSync(folder).sort()) {
    if (!name.endsWith('.dcm')) continue;
    const source = join(folder, name);
    const path = pathInStudy(readFileSync(source));
    if (path !== undefined) objects.push({ source, path });
  }
  return objects;
}

export function readRealObject(object: RealObject, studyFolder: string): StudyFile {
  return { path: `${studyFolder}/${object.path}`, bytes: readFileSync(object.source) };
}

function pathInStudy(bytes: Buffer): string | undefined {
  let dict: DicomElements;
  try {
    dict = dcmjs.data.DicomMessage.readFile(new Uint8Array(bytes).buffer).dict;
  } catch {
    return undefined;
  }
  const series = dict['0020000E']?.Value[0];
  const instance = dict['00080018']?.Value[0];
  return typeof series === 'string' && typeof instance === 'string' ? `${series}/${instance}.dcm` : undefined;
}
