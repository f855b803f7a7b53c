// The name that this browser gives as the requester, unless the server knows who is signed in.
import { ApiError } from "../api/transport";
import { identity } from "../identity/identity";
import { recall, remember } from "./storage";

const KEY = "requested-by";

/** Returns the remembered name, or an empty text. */
export function requester(): string {
  return identity.named ? "" : (recall(KEY) ?? "");
}

export function rememberRequester(name: string): void {
  if (identity.named) return;
  remember(KEY, name.trim() || null);
}

/** Returns true if the server refused a name, because a proxy says who has signed in. */
export function isOtherRequester(error: unknown): boolean {
  return error instanceof ApiError && /requested_by.*X-Requested-By/s.test(error.detail);
}

/** Sends a request with the remembered name, and again without it if a proxy gives another one. */
export async function asRequester<T>(send: (name: string | null) => Promise<T>): Promise<T> {
  const name = requester() || null;
  try {
    return await send(name);
  } catch (error) {
    if (name === null || !isOtherRequester(error)) throw error;
    rememberRequester("");
    return send(null);
  }
}
