/**
 * The header of a series' images: encoded once by dcmjs, then patched per image in place. That works because whatever
 * differs between the images of a series has a fixed width here: the instance's UID, its number and its position.
 *
 *   preamble, DICM, file meta information, dataset up to (0028,...), (7FE0,0010) OW header, pixels
 */
import dcmjs from 'dcmjs';
import { assert } from '../../base/assert.ts';
import type { SeriesPlan, StudyPlan } from './plan.ts';
import { seedOf, uidOf } from './random.ts';

const CT_IMAGE_STORAGE = '1.2.840.10008.5.1.4.1.1.2';
const MR_IMAGE_STORAGE = '1.2.840.10008.5.1.4.1.1.4';
const EXPLICIT_LITTLE_ENDIAN = '1.2.840.10008.1.2.1';
const PIXEL_HEADER_BYTES = 12;
const PREAMBLE_BYTES = 132;
/** Of millimetres, with sign: -9999.999 to +9999.999. */
const MILLIMETRES_WIDTH = 9;
const NUMBER_WIDTH = 6;
/** Explicit representations whose length field has four bytes behind two reserved ones. */
const LONG_FORMS = new Set(['OB', 'OW', 'OF', 'OD', 'OL', 'SQ', 'UC', 'UN', 'UR', 'UT']);

export interface Template {
  /** Everything before the first pixel. */
  readonly header: Buffer;
  readonly pixelBytes: number;
  /** Where in the header what differs per image lies. */
  readonly places: {
    readonly metaUid: number;
    readonly uid: number;
    readonly number: number;
    readonly position: number;
    readonly location: number;
  };
}

export function encodeTemplate(study: StudyPlan, series: SeriesPlan): Template {
  const sopClass = study.modality === 'CT' ? CT_IMAGE_STORAGE : MR_IMAGE_STORAGE;
  const { DicomDict, DicomMetaDictionary } = dcmjs.data;
  const file = new DicomDict(DicomMetaDictionary.denaturalizeDataset(metaInformation(sopClass)));
  file.dict = DicomMetaDictionary.denaturalizeDataset({
    ...commonAttributes(study, series),
    ...(study.modality === 'CT' ? CT_ATTRIBUTES : MR_ATTRIBUTES),
    SOPClassUID: sopClass,
  });
  const pixelBytes = series.side * series.side * 2;
  const header = Buffer.concat([Buffer.from(file.write()), pixelElementHeader(pixelBytes)]);
  const found = elementPlaces(header.subarray(0, header.length - PIXEL_HEADER_BYTES));
  const place = (tag: string, length: number): number => {
    const element = found.get(tag);
    assert(element?.length === length, `element ${tag}: length ${element?.length}, expected ${length}`);
    return element.offset;
  };
  const places = {
    metaUid: place('00020003', 44),
    uid: place('00080018', 44),
    number: place('00200013', NUMBER_WIDTH),
    position: place('00200032', 30),
    location: place('00201041', 10),
  };
  return { header, pixelBytes, places };
}

/** Writes image `image` (0, 1, ... in its series) over a copy of the template's header. */
export function patchHeader(bytes: Buffer, places: Template['places'], image: { uid: string; number: number }): void {
  const height = millimetres(image.number * 1.25 - 400);
  bytes.write(image.uid, places.metaUid, 'latin1');
  bytes.write(image.uid, places.uid, 'latin1');
  bytes.write(String(image.number + 1).padEnd(NUMBER_WIDTH), places.number, 'latin1');
  bytes.write(height, places.position + 2 * (MILLIMETRES_WIDTH + 1), 'latin1');
  bytes.write(height, places.location, 'latin1');
}

function millimetres(value: number): string {
  return (
    (value < 0 ? '-' : '+') +
    Math.abs(value)
      .toFixed(3)
      .padStart(MILLIMETRES_WIDTH - 1, '0')
  );
}

function metaInformation(sopClass: string): Record<string, unknown> {
  return {
    FileMetaInformationVersion: new Uint8Array([0, 1]).buffer,
    MediaStorageSOPClassUID: sopClass,
    MediaStorageSOPInstanceUID: uidOf('placeholder'),
    TransferSyntaxUID: EXPLICIT_LITTLE_ENDIAN,
    ImplementationClassUID: uidOf('pacsfs', 'study generator'),
    ImplementationVersionName: 'PACSFS_DEMO',
  };
}

function commonAttributes(study: StudyPlan, series: SeriesPlan): Record<string, unknown> {
  const corner = millimetres(-0.35 * series.side);
  const day = String(1 + (seedOf('day', study.seed, study.index) % 28)).padStart(2, '0');
  return {
    SpecificCharacterSet: 'ISO_IR 100',
    ImageType: ['ORIGINAL', 'PRIMARY', study.modality === 'CT' ? 'AXIAL' : 'OTHER'],
    SOPInstanceUID: uidOf('placeholder'),
    StudyDate: `202401${day}`,
    SeriesDate: `202401${day}`,
    StudyTime: '081500',
    SeriesTime: '081500',
    AccessionNumber: `ACC${String(study.index + 1).padStart(6, '0')}`,
    Modality: study.modality,
    Manufacturer: 'pacsfs study generator',
    ReferringPhysicianName: 'DEMO^PHYSICIAN',
    StudyDescription: `Demo ${study.modality} study ${study.index + 1}`,
    SeriesDescription: `Series ${series.number}, ${series.side} x ${series.side}`,
    PatientName: study.patientName,
    PatientID: study.patientId,
    PatientBirthDate: '19700101',
    PatientSex: 'O',
    PatientPosition: 'HFS',
    StudyInstanceUID: study.uid,
    SeriesInstanceUID: series.uid,
    StudyID: String(study.index + 1),
    SeriesNumber: String(series.number),
    InstanceNumber: '9'.repeat(NUMBER_WIDTH),
    ImagePositionPatient: [corner, corner, millimetres(0)],
    ImageOrientationPatient: ['1', '0', '0', '0', '1', '0'],
    FrameOfReferenceUID: uidOf('frame', study.seed, study.index),
    SliceLocation: millimetres(0),
    SliceThickness: '1.25',
    SamplesPerPixel: 1,
    PhotometricInterpretation: 'MONOCHROME2',
    Rows: series.side,
    Columns: series.side,
    PixelSpacing: ['0.7', '0.7'],
    BitsAllocated: 16,
    BitsStored: 12,
    HighBit: 11,
    PixelRepresentation: 0,
    WindowCenter: '1100',
    WindowWidth: '1600',
  };
}

const CT_ATTRIBUTES = {
  KVP: '120',
  AcquisitionNumber: '1',
  RescaleIntercept: '-1024',
  RescaleSlope: '1',
  RescaleType: 'HU',
};

const MR_ATTRIBUTES = {
  ScanningSequence: 'SE',
  SequenceVariant: 'NONE',
  ScanOptions: 'PFF',
  MRAcquisitionType: '2D',
  RepetitionTime: '500',
  EchoTime: '12',
  EchoTrainLength: '1',
  MagneticFieldStrength: '1.5',
};

function pixelElementHeader(pixelBytes: number): Buffer {
  const header = Buffer.alloc(PIXEL_HEADER_BYTES);
  header.writeUInt16LE(0x7fe0, 0);
  header.writeUInt16LE(0x0010, 2);
  header.write('OW', 4, 'latin1');
  header.writeUInt32LE(pixelBytes, 8);
  return header;
}

/** The values of the elements of one explicit little-endian dataset without sequences, by tag. */
function elementPlaces(bytes: Buffer): Map<string, { offset: number; length: number }> {
  const places = new Map<string, { offset: number; length: number }>();
  let at = PREAMBLE_BYTES;
  while (at + 8 <= bytes.length) {
    const group = bytes.readUInt16LE(at).toString(16).padStart(4, '0');
    const element = bytes
      .readUInt16LE(at + 2)
      .toString(16)
      .padStart(4, '0');
    const long = LONG_FORMS.has(bytes.toString('latin1', at + 4, at + 6));
    const length = long ? bytes.readUInt32LE(at + 8) : bytes.readUInt16LE(at + 6);
    const offset = at + (long ? 12 : 8);
    places.set(group + element, { offset, length });
    at = offset + length;
  }
  assert(at === bytes.length, `header ends at ${at}, expected ${bytes.length}`);
  return places;
}
