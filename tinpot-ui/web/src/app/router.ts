import { signal } from "@preact/signals";
import { basePath, href } from "./base-path";

export interface Location {
  /** The path below the mount: begins with a slash and does not end with one. */
  path: string;
  query: URLSearchParams;
  /** The fragment with its `#`, or an empty text. */
  hash: string;
}

export function readLocation(): Location {
  const base = basePath();
  const { pathname, search, hash } = window.location;
  const inner = pathname.startsWith(base)
    ? pathname.slice(base.length)
    : pathname.replace(/^\//, "");
  return { path: `/${inner.replace(/\/+$/, "")}`, query: new URLSearchParams(search), hash };
}

export const location = signal<Location>({ path: "/", query: new URLSearchParams(), hash: "" });

export interface NavigateOptions {
  /** If true, replaces the current entry of the browser's history. */
  replace?: boolean;
}

/** Opens a page; `to` is a path as for {@link href}, with query and fragment. */
export function navigate(to: string, { replace = false }: NavigateOptions = {}): void {
  const before = location.peek().path;
  window.history[replace ? "replaceState" : "pushState"](null, "", href(to));
  location.value = readLocation();
  if (!replace && location.peek().path !== before) resetScroll();
}

/** Changes the query of the page; null and "" remove a name. */
export function setQuery(
  changes: Record<string, string | null>,
  options: NavigateOptions = { replace: true },
): void {
  const { path, query, hash } = location.peek();
  const next = new URLSearchParams(query);
  for (const [name, value] of Object.entries(changes)) {
    if (value === null || value === "") next.delete(name);
    else next.set(name, value);
  }
  const text = next.toString();
  navigate(path + (text === "" ? "" : `?${text}`) + hash, options);
}

/**
 * Matches a path with a pattern like `/executions/:id`. Returns the values of its names, or null.
 */
export function match(pattern: string, path: string): Record<string, string> | null {
  const [wanted, given] = [pattern.split("/"), path.split("/")];
  if (wanted.length !== given.length) return null;
  const names: Record<string, string> = {};
  for (const [at, part] of wanted.entries()) {
    const text = given[at] ?? "";
    if (part.startsWith(":")) {
      if (text === "") return null;
      names[part.slice(1)] = decoded(text);
    } else if (part !== text) {
      return null;
    }
  }
  return names;
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    // A stray `%` in an address that was typed by hand.
    return text;
  }
}

/** Scrolls a new page to its top, and moves the focus there for screen readers. */
function resetScroll(): void {
  window.scrollTo(0, 0);
  document.getElementById("main")?.focus({ preventScroll: true });
}

/** Returns the path of a link to a page of this UI, or null for any other link. */
function inner(link: HTMLAnchorElement): string | null {
  if (link.target !== "" || link.hasAttribute("download") || link.origin !== window.location.origin)
    return null;
  const base = basePath();
  if (!link.pathname.startsWith(base)) return null;
  const rest = link.pathname.slice(base.length);
  if (/^(api|ui)\/|^(openapi\.json|health|ready)$/.test(rest)) return null;
  return `/${rest}${link.search}${link.hash}`;
}

/** Follows the address, and handles clicks on links to pages. Returns a function that stops. */
export function startRouter(): () => void {
  location.value = readLocation();
  const moved = (): void => {
    location.value = readLocation();
  };
  const clicked = (event: MouseEvent): void => {
    if (event.defaultPrevented || event.button !== 0) return;
    if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    const link = event.target instanceof Element ? event.target.closest("a") : null;
    const to = link instanceof HTMLAnchorElement && link.hasAttribute("href") ? inner(link) : null;
    if (to === null) return;
    event.preventDefault();
    navigate(to);
  };
  window.addEventListener("popstate", moved);
  window.addEventListener("hashchange", moved);
  document.addEventListener("click", clicked);
  return () => {
    window.removeEventListener("popstate", moved);
    window.removeEventListener("hashchange", moved);
    document.removeEventListener("click", clicked);
  };
}
