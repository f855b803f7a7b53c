// The routes of signing in, which every page needs.
import { json } from "./client";

/** The ways to sign in that the server offers. */
export interface AuthOptions {
  methods: string[];
  ticket: boolean;
  /** If true, the server has no user yet. */
  set_up: boolean;
  /** If true, every request is let in. */
  anonymous: boolean;
  /** If true, every request is let in, and pages warn of it. */
  insecure?: boolean;
}

export interface Me {
  id: string;
  name: string;
  team: string;
  /** The means by which the caller is known; `host` is the program that the API is part of. */
  via: "sign_in" | "token" | "anonymous" | "local" | "host";
  server_admin: boolean;
  /** Every right that the caller has anywhere in the team. */
  rights: string[];
  valid_until: string | null;
}

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
