// Where the server has mounted us: `<base href>` says it, and nothing else knows.

/** The path of the mount, with a slash at its end. */
export function basePath(): string {
  return new URL("./", document.baseURI).pathname;
}

/** The address of something below the mount; `path` without a slash in front. */
export function apiUrl(path: string): string {
  return basePath() + path;
}

/** The address of a page; `path` as the router knows it, with a slash in front. */
export function href(path: string): string {
  return basePath() + path.replace(/^\//, "");
}
