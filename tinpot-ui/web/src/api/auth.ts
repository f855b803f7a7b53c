// The routes of signing in, which every page needs.
import { json } from "./client";
import type { components } from "./schema";

type Shapes = components["schemas"];

export type AuthOptions = Shapes["AuthOptions"];
export type Me = Shapes["Me"];

// None of them waits for a sign-in: that is what they are for.
const NOW = { waits: false };

export const auth = {
  options: () => json<AuthOptions>("/api/auth/options", null, NOW),
  me: () => json<Me>("/api/auth/me", null, NOW),
  login: (user: string, password: string) => json<Me>("/api/auth/login", { user, password }, NOW),
  ticket: (ticket: string) => json<Me>("/api/auth/ticket", { ticket }, NOW),
  /** Makes the first user, an admin, with the ticket of the server's log. */
  setUp: (ticket: string, user: string, password: string) =>
    json<Me>("/api/auth/set-up", { ticket, user, password }, NOW),
  logout: (everywhere: boolean) => json<null>("/api/auth/logout", { everywhere }, NOW),
};
