// Values that this browser remembers. If its storage is disabled or full, nothing is remembered and
// nothing fails. Servers on one host share the storage, so keys contain the path of the mount.
import { basePath } from "./base-path";

/** The cookie with the chosen team. Browsers send the cookies of a host to all of its ports. */
const TEAM =
  location.protocol === "https:" ? "__Host-tinpot-team" : `tinpot-team-${location.port || 80}`;

/** Returns the id of the team that the pages of this browser act in; empty without a choice. */
export function chosenTeam(): string {
  const cookie = document.cookie.split("; ").find((one) => one.startsWith(`${TEAM}=`));
  return cookie?.slice(TEAM.length + 1) ?? "";
}

/** Sets the team that the pages of this browser act in; an empty one ends the choice. */
export function chooseTeam(id: string): void {
  const rules = location.protocol === "https:" ? "Secure; SameSite=Lax" : "SameSite=Strict";
  const age = id === "" ? 0 : 31_536_000;
  // biome-ignore lint/suspicious/noDocumentCookie: the other way needs HTTPS
  document.cookie = `${TEAM}=${id}; Path=/; Max-Age=${age}; ${rules}`;
}

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
