// Values that this browser remembers. If its storage is disabled or full, nothing is remembered and
// nothing fails. Servers on one host share the storage, so keys contain the path of the mount.
import { basePath } from "./base-path";

/** Returns the key of a name, by which other pages see that its value changes. */
export function storageKey(name: string): string {
  return `tinpot:${basePath()}:${name}`;
}

/** Returns a stored value, or null. */
export function recall(name: string): string | null {
  try {
    return window.localStorage.getItem(storageKey(name));
  } catch {
    return null;
  }
}

/** Stores a value; null removes it. Returns false if the storage is disabled or full. */
export function remember(name: string, value: string | null): boolean {
  try {
    if (value === null) window.localStorage.removeItem(storageKey(name));
    else window.localStorage.setItem(storageKey(name), value);
    return true;
  } catch {
    return false;
  }
}
