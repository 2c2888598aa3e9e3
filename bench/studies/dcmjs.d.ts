/** The part of dcmjs that is used here; the package carries no types. */
declare module 'dcmjs' {
  export interface DicomElement {
    readonly vr: string;
    readonly Value: readonly unknown[];
  }
  /** Keys are tags of eight hexadecimal digits, such as `00080018`. */
  export type DicomElements = Record<string, DicomElement | undefined>;
  interface DicomFile {
    readonly meta: DicomElements;
    dict: DicomElements;
    write(): ArrayBuffer;
  }
  interface Dcmjs {
    readonly data: {
      readonly DicomDict: new (meta: DicomElements) => DicomFile;
      readonly DicomMessage: { readFile(bytes: ArrayBuffer): DicomFile };
      readonly DicomMetaDictionary: { denaturalizeDataset(dataset: Record<string, unknown>): DicomElements };
    };
  }
  const dcmjs: Dcmjs;
  // biome-ignore lint/style/noDefaultExport: that is how the package exports itself
  export default dcmjs;
}
