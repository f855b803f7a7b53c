// Users of a server, by requests to its API.
import { expect, type Page } from "@playwright/test";

export const PASSWORD = "correct horse battery";

/** A user who has signed in with a cookie of their own. */
export class Account {
  private constructor(
    private readonly server: string,
    private readonly cookie: string,
  ) {}

  /** Makes the first user of a server, an admin. */
  static setUp(server: string, ticket: string, user: string): Promise<Account> {
    return Account.enter(server, "set-up", { ticket, user, password: PASSWORD });
  }

  static login(server: string, user: string): Promise<Account> {
    return Account.enter(server, "login", { user, password: PASSWORD });
  }

  private static async enter(server: string, route: string, body: object): Promise<Account> {
    const response = await fetch(`${server}/api/auth/${route}`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
    });
    if (!response.ok) throw new Error(`${route}: ${response.status} ${await response.text()}`);
    return new Account(server, response.headers.getSetCookie()[0]?.split(";")[0] ?? "");
  }

  /** Returns the headers of a request of this user. */
  get headers(): Record<string, string> {
    return { cookie: this.cookie };
  }

  /** Adds a user with the usual password. */
  async addUser(name: string, role: string): Promise<void> {
    const user = { name, password: PASSWORD, role, server_admin: false };
    await this.send("POST", "/api/users", user);
  }

  async send(method: string, path: string, body?: object): Promise<unknown> {
    const response = await fetch(this.server + path, {
      method,
      // With a cookie, changes must come from a page of the server.
      headers: { ...this.headers, origin: this.server, "content-type": "application/json" },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
    return text === "" ? null : JSON.parse(text);
  }
}

/** Fills in the dialog that asks to sign in. */
export async function signIn(page: Page, user: string, password = PASSWORD): Promise<void> {
  const dialog = page.getByRole("dialog", { name: "Sign in" });
  await dialog.getByLabel("User").fill(user);
  await dialog.getByLabel("Password").fill(password);
  await dialog.getByLabel("Password").press("Enter");
  if (password === PASSWORD) await expect(dialog).toHaveCount(0);
}
