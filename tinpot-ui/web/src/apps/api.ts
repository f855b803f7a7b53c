// The routes of apps and their versions.
import { json, queryText } from "../api/client";
import type { components } from "../api/schema";
import { send } from "../api/transport";
import { serverUrl } from "../app/base-path";

type Shapes = components["schemas"];

export type App = Shapes["App"];
export type Version = Shapes["AppVersion"];
export type BundleFile = Shapes["BundleFile"];
export type Deployment = Shapes["Deployment"];
/** The files of a folder that its bundle has. */
export type PackedFiles = Shapes["PackedFiles"];

/** The largest file that the server sends. */
export const FILE_BYTES_MAX = 256 * 1024;
/** The time in which the server checks an archive. */
const CHECK_MS = 180_000;

const at = (...parts: (string | number)[]): string =>
  `/api/${parts.map((part) => encodeURIComponent(part)).join("/")}`;
const get = <T>(path: string, signal: AbortSignal): Promise<T> => json<T>(path, null, { signal });

export const apps = {
  list: (signal: AbortSignal) => get<{ apps: App[] }>("/api/apps", signal),
  show: (app: string, signal: AbortSignal) => get<App>(at("apps", app), signal),
  remove: (app: string) => json<null>(at("apps", app), null, { method: "DELETE" }),
  change: (app: string, change: { enabled?: boolean; active_version?: number }) =>
    json<App>(at("apps", app), change, { method: "PATCH" }),
  versions: (app: string, limit: number, before: number | null, signal: AbortSignal) =>
    get<Shapes["AppVersions"]>(at("apps", app, "versions") + queryText({ limit, before }), signal),
  version: (app: string, version: number, signal: AbortSignal) =>
    get<Version>(at("apps", app, "versions", version), signal),
  /** Makes a version of an archive, or says that it has to be uploaded first. */
  deploy: (
    app: string,
    bundle: { archive: string; content?: string; activate: boolean; create: boolean },
  ) => json<Deployment>(at("apps", app, "versions"), bundle, { timeoutMs: CHECK_MS }),
  /** Selects the files of a folder that are packed. */
  select: (folder: { towerfile?: string; app?: string; ignore: string; paths: string[] }) =>
    json<PackedFiles>("/api/bundles/files", folder, { timeoutMs: CHECK_MS }),
  /** Returns the text of a file; null if it is not text. */
  async file(app: string, version: number, path: string, signal: AbortSignal) {
    const parts = path.split("/");
    const url = serverUrl() + at("apps", app, "versions", version, "files", ...parts);
    const response = await send(new Request(url, { credentials: "same-origin" }), { signal });
    const text = await response.text();
    // What is no UTF-8 was replaced.
    return /[\0\uFFFD]/.test(text) ? null : text;
  },
};
