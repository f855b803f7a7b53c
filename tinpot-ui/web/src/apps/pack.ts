// Packing a folder in the browser. The same files give the same content as `tinpot pack` gives.
import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex } from "@noble/hashes/utils.js";

/** A file of a bundle. */
export interface PackFile {
  path: string;
  file: Blob;
  executable: boolean;
}

/** A file whose content is known, or a link. */
export type Entry =
  | { path: string; digest: Uint8Array; bytes: number; executable: boolean }
  | { path: string; link: string };

export interface Packed {
  archive: Blob;
  /** The digest of the archive. */
  digest: string;
  /** The identity of the files. */
  content: string;
}

const FORMAT = "tinpot bundle 1\n";
const BLOCK = 512;
const encoder = new TextEncoder();

/** Compares paths by their bytes, as the server does: JavaScript compares code units. */
export function compareBytes(a: string, b: string): number {
  const [one, two] = [encoder.encode(a), encoder.encode(b)];
  const length = Math.min(one.length, two.length);
  for (let at = 0; at < length; at += 1) {
    const difference = (one[at] ?? 0) - (two[at] ?? 0);
    if (difference !== 0) return difference;
  }
  return one.length - two.length;
}

/** Returns the identity of files: the same on every machine, as the manifest states it. */
export function contentDigest(entries: readonly Entry[]): string {
  const hash = sha256.create();
  const add = (kind: string, bytes: Uint8Array): void => {
    hash.update(encoder.encode(kind)).update(number(bytes.length)).update(bytes);
  };
  add("v", encoder.encode(FORMAT));
  for (const entry of [...entries].sort((a, b) => compareBytes(a.path, b.path))) {
    add("p", encoder.encode(entry.path));
    if ("link" in entry) {
      add("l", encoder.encode(entry.link));
    } else {
      add(entry.executable ? "x" : "f", entry.digest);
      add("s", number(entry.bytes));
    }
  }
  return bytesToHex(hash.digest());
}

/** Returns a number as eight bytes, the lowest first. */
function number(value: number): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(value), true);
  return bytes;
}

/** Returns the digest of a file that was chosen. */
export async function digestOf(file: Blob, read: (bytes: number) => void): Promise<string> {
  const hash = sha256.create();
  for await (const piece of pieces(file)) {
    hash.update(piece);
    read(piece.length);
  }
  return bytesToHex(hash.digest());
}

/**
 * Packs files in this order, and calls `read` with the bytes that it has read.
 *
 * Rejects if a file changes meanwhile, or if the archive has more than `most` bytes.
 */
export async function pack(
  files: readonly PackFile[],
  most: number,
  read: (bytes: number) => void,
): Promise<Packed> {
  const entries: Entry[] = [];
  const tar = new ReadableStream<Uint8Array<ArrayBuffer>>(source(tarOf(files, entries, read)));
  const hash = sha256.create();
  const parts: Uint8Array<ArrayBuffer>[] = [];
  let bytes = 0;
  for await (const piece of iterate(tar.pipeThrough(new CompressionStream("gzip")))) {
    hash.update(piece);
    parts.push(piece);
    bytes += piece.length;
    if (bytes > most)
      throw new Error(`The archive must have at most ${most} bytes: exclude some files.`);
  }
  return {
    // Without a type: the server takes no form of another site for it.
    archive: new Blob(parts),
    digest: bytesToHex(hash.digest()),
    content: contentDigest(entries),
  };
}

async function* tarOf(
  files: readonly PackFile[],
  entries: Entry[],
  read: (bytes: number) => void,
): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  for (const { path, file, executable } of files) {
    const { size } = file;
    yield* headersOf(path, size, executable);
    const hash = sha256.create();
    let bytes = 0;
    for await (const piece of pieces(file)) {
      hash.update(piece);
      bytes += piece.length;
      read(piece.length);
      yield piece;
    }
    if (bytes !== size) throw new Error(`${path} changed while it was packed. Try again.`);
    entries.push({ path, digest: hash.digest(), bytes, executable });
    yield padding(bytes);
  }
  // The end of an archive.
  yield new Uint8Array(2 * BLOCK);
}

/** Returns the header of a file, after one with its path if that is long. */
function headersOf(path: string, size: number, executable: boolean): Uint8Array<ArrayBuffer>[] {
  const name = encoder.encode(path);
  const mode = executable ? "0000755" : "0000644";
  if (name.length <= 100) return [header(name, size, mode, "0")];
  const record = encoder.encode(paxRecord("path", path));
  return [
    header(encoder.encode("long-path"), record.length, "0000644", "x"),
    Uint8Array.from(record),
    padding(record.length),
    header(encoder.encode("long-path"), size, mode, "0"),
  ];
}

/** Returns a record of an extended header, which states its own length. */
function paxRecord(key: string, value: string): string {
  const rest = encoder.encode(` ${key}=${value}\n`).length;
  let length = rest + 1;
  while (length !== rest + String(length).length) length = rest + String(length).length;
  return `${length} ${key}=${value}\n`;
}

function header(
  name: Uint8Array,
  size: number,
  mode: string,
  type: string,
): Uint8Array<ArrayBuffer> {
  const block = new Uint8Array(BLOCK);
  const put = (at: number, text: string): void => block.set(encoder.encode(text), at);
  block.set(name, 0);
  put(100, mode);
  put(108, "0000000");
  put(116, "0000000");
  put(124, size.toString(8).padStart(11, "0"));
  put(136, "00000000000");
  // The sum counts its own field as blanks.
  put(148, "        ");
  put(156, type);
  put(257, "ustar\u000000");
  const sum = block.reduce((total, byte) => total + byte, 0);
  put(148, `${sum.toString(8).padStart(6, "0")}\0`);
  return block;
}

const padding = (bytes: number): Uint8Array<ArrayBuffer> =>
  new Uint8Array((BLOCK - (bytes % BLOCK)) % BLOCK);

const pieces = (file: Blob): AsyncGenerator<Uint8Array<ArrayBuffer>> => iterate(file.stream());

/** Browsers lack the iterator of streams. */
async function* iterate<T>(stream: ReadableStream<T>): AsyncGenerator<T> {
  const reader = stream.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield value;
    }
  } finally {
    // Ends the reading if the caller has stopped early.
    await reader.cancel().catch(() => undefined);
  }
}

function source<T>(from: AsyncGenerator<T>): UnderlyingDefaultSource<T> {
  return {
    async pull(controller) {
      const { done, value } = await from.next();
      if (done) controller.close();
      else controller.enqueue(value);
    },
    async cancel() {
      await from.return(undefined);
    },
  };
}
