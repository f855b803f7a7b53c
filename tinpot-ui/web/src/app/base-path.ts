// The path at which the server is mounted. Only `<base href>` names it.

/** Returns the path of the mount, with a slash at its end. */
export function basePath(): string {
  return new URL("./", document.baseURI).pathname;
}

/**
 * Returns the absolute URL of the mount, without a slash at its end.
 *
 * `fetch` refuses URLs with credentials, and a relative one inherits those of the page, as in
 * `http://user:password@host/`. Origins have none.
 */
export function serverUrl(): string {
  return window.location.origin + basePath().replace(/\/$/, "");
}

/** Returns the path of a page; `path` is a path of the router, which starts with a slash. */
export function href(path: string): string {
  return basePath() + path.replace(/^\//, "");
}

/** Returns the path of a file that the API serves as a download: `api/executions/…`. */
export function downloadHref(path: string): string {
  return basePath() + path;
}
