// Deploys from the browser: pack, upload what the server lacks, and make a version of it.
import { ApiError } from "../api/transport";
import { sendFile } from "../api/upload";
import { apps, type Deployment, type PackedFiles } from "./api";
import { type ChosenFile, IGNORE, TOWERFILE, textIn } from "./folder";
import { digestOf, type PackFile, pack } from "./pack";

/** The tries of an upload while the server takes others. */
const TRIES = 30;
const WAIT_MS = 1_000;

/** A step of a deploy; `done` of `total` bytes. */
export interface Progress {
  step: "read" | "upload" | "check" | "wait";
  done: number;
  total: number;
}

/** The source of a deploy: an archive, or files that are packed. */
export type Source = { archive: File } | { files: PackFile[]; most: number };

/** A folder whose files the server has selected. */
export interface Folder {
  selection: PackedFiles;
  files: PackFile[];
  bytes: number;
}

/**
 * Asks the server which files of a folder are packed. `app` is the name of the app, for a folder
 * without a Towerfile.
 */
export async function selectFiles(
  files: readonly ChosenFile[],
  app: string | null,
): Promise<Folder> {
  const ignore = await textIn(files, IGNORE);
  const named = app === null ? { towerfile: await textIn(files, TOWERFILE) } : { app };
  const selection = await apps.select({
    ...named,
    ignore,
    paths: files.map(({ path }) => path),
  });
  const byPath = new Map<string, Blob>(files.map(({ path, file }) => [path, file]));
  if (selection.towerfile !== undefined) byPath.set(TOWERFILE, new Blob([selection.towerfile]));
  const selected = selection.files.flatMap(({ path, executable }) => {
    const file = byPath.get(path);
    return file === undefined ? [] : [{ path, executable, file }];
  });
  const bytes = selected.reduce((sum, { file }) => sum + file.size, 0);
  if (bytes > selection.max_bytes)
    throw new Error(
      `The files must have at most ${selection.max_bytes} bytes (got ${bytes}): exclude some.`,
    );
  return { selection, files: selected, bytes };
}

interface DeployOptions {
  activate: boolean;
  /** If true, an app that does not exist is created with its first version. */
  create: boolean;
  signal: AbortSignal;
  onProgress: (progress: Progress) => void;
}

/** Deploys an archive or a folder to an app. */
export async function deploy(
  app: string,
  from: Source,
  { activate, create, signal, onProgress }: DeployOptions,
): Promise<Deployment> {
  const total =
    "archive" in from
      ? from.archive.size
      : from.files.reduce((sum, { file }) => sum + file.size, 0);
  let done = 0;
  const read = (bytes: number): void => {
    signal.throwIfAborted();
    done += bytes;
    onProgress({ step: "read", done, total });
  };
  read(0);
  const bundle =
    "archive" in from
      ? { archive: from.archive, digest: await digestOf(from.archive, read), content: undefined }
      : await pack(from.files, from.most, read);
  const wanted = {
    archive: bundle.digest,
    activate,
    create,
    ...(bundle.content === undefined ? {} : { content: bundle.content }),
  };
  for (let first = true; ; first = false) {
    onProgress({ step: "check", done: 0, total: 0 });
    const answer = await apps.deploy(app, wanted);
    if (answer.result !== "missing") return answer;
    if (!first) throw new Error("The server lacks the archive that it was sent. Try again.");
    await upload(bundle.digest, bundle.archive, signal, onProgress);
  }
}

/** Uploads an archive, and waits while the server takes others. */
async function upload(
  digest: string,
  body: Blob,
  signal: AbortSignal,
  onProgress: (progress: Progress) => void,
): Promise<void> {
  for (let tries = 1; ; tries += 1) {
    try {
      const sent = (done: number): void => onProgress({ step: "upload", done, total: body.size });
      await sendFile("PUT", `/api/blobs/${digest}`, body, signal, sent);
      return;
    } catch (error) {
      const isBusy = error instanceof ApiError && error.status === 503;
      if (!isBusy || tries === TRIES) throw error;
      onProgress({ step: "wait", done: 0, total: 0 });
      await new Promise((over) => setTimeout(over, WAIT_MS));
      signal.throwIfAborted();
    }
  }
}
