// Deploys from the browser: pack, upload what the server lacks, and make a version of it.
import { ApiError } from "../api/transport";
import { serverUrl } from "../app/base-path";
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
      return await put(digest, body, signal, onProgress);
    } catch (error) {
      const isBusy = error instanceof ApiError && error.status === 503;
      if (!isBusy || tries === TRIES) throw error;
      onProgress({ step: "wait", done: 0, total: 0 });
      await new Promise((over) => setTimeout(over, WAIT_MS));
      signal.throwIfAborted();
    }
  }
}

/** Sends one request. `fetch` does not tell how much of a body is sent. */
function put(
  digest: string,
  body: Blob,
  signal: AbortSignal,
  onProgress: (progress: Progress) => void,
): Promise<void> {
  return new Promise((done, failed) => {
    const request = new XMLHttpRequest();
    const stop = (): void => request.abort();
    signal.addEventListener("abort", stop, { once: true });
    request.upload.onprogress = ({ loaded }) =>
      onProgress({ step: "upload", done: loaded, total: body.size });
    request.onload = () => {
      if (request.status >= 200 && request.status < 300) done();
      else failed(new ApiError(request.status, detailOf(request)));
    };
    request.onerror = () =>
      failed(new ApiError(0, "The upload was interrupted. Check the connection, then try again."));
    request.onabort = () => failed(new DOMException("The upload was stopped.", "AbortError"));
    request.onloadend = () => signal.removeEventListener("abort", stop);
    request.open("PUT", `${serverUrl()}/api/blobs/${digest}`);
    request.setRequestHeader("Accept", "application/json");
    // Without a type, which the server would take for a form.
    request.send(body.slice(0, body.size, ""));
  });
}

function detailOf(request: XMLHttpRequest): string {
  try {
    const { detail } = JSON.parse(request.responseText) as { detail?: unknown };
    if (typeof detail === "string") return detail;
  } catch {
    // The answer of a proxy.
  }
  return request.status === 401
    ? "You are signed out. Sign in, then try again."
    : `The server responded with ${request.status} ${request.statusText}`.trim();
}
