// What this browser remembers. Storage may be off or full: then nothing is remembered, and nothing fails. Mounts on one host share it, so
// keys say which mount they are of.
import { basePath } from "./base-path";

function key(name: string): string {
  return `tinpot:${basePath()}:${name}`;
}

export function recall(name: string): string | null {
  try {
    return window.localStorage.getItem(key(name));
  } catch {
    return null;
  }
}

/** Null forgets it. */
export function remember(name: string, value: string | null): void {
  try {
    if (value === null) window.localStorage.removeItem(key(name));
    else window.localStorage.setItem(key(name), value);
  } catch {
    // Off or full.
  }
}
