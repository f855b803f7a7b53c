// Signing in and out, and what a page shows to people with fewer rights.
import { expect, type Page, test } from "@playwright/test";
import { shot, watchErrors } from "./helpers";
import { Account, PASSWORD, signIn } from "./people";
import { local, type Server, withoutUsers, withUsers } from "./servers";

let server: Server;

test.beforeAll(async () => {
  server = await withUsers({ vic: "viewer", olga: "operator" });
});

test.afterAll(async () => server.stop());

const dialog = (page: Page) => page.getByRole("dialog", { name: "Sign in" });

test("a page asks to sign in, and shows what was asked for", async ({ page }) => {
  const errors = watchErrors(page);
  await page.goto(`${server.url}/actions?q=leaf`);
  await expect(dialog(page)).toBeVisible();
  await expect(dialog(page).getByLabel("User")).toBeFocused();
  await signIn(page, "olga", "not the password");
  await expect(dialog(page).getByRole("alert")).toHaveText("Wrong user or password.");
  await expect(dialog(page).getByLabel("Password")).toHaveValue("");
  await shot(page, "sign-in");
  await signIn(page, "olga");
  await expect(page).toHaveURL(`${server.url}/actions?q=leaf`);
  await expect(page.getByRole("link", { name: "leaf", exact: true })).toBeVisible();
  await expect(page.locator(".stream")).toHaveAttribute("data-state", "live");
  // The cookie is there for the next page, and not for its scripts.
  await page.reload();
  await expect(page.getByRole("link", { name: "leaf", exact: true })).toBeVisible();
  await expect(dialog(page)).toHaveCount(0);
  expect(await page.evaluate(() => document.cookie)).toBe("");
  expect(errors).toEqual([]);
});

test("a sign-in that is revoked ends the stream, and the next one keeps the form", async ({
  page,
}) => {
  await page.goto(`${server.url}/actions/leaf`);
  await signIn(page, "olga");
  const field = page.getByRole("textbox", { name: /^name/ });
  await field.fill("typed before");
  await expect(page.locator(".stream")).toHaveAttribute("data-state", "live");
  await (await Account.login(server.url, "olga")).send("POST", "/api/auth/logout", {
    everywhere: true,
  });
  // No request of the page: the end of the stream asks.
  await expect(dialog(page)).toBeVisible();
  await expect(page.locator(".stream")).toHaveText("Signed out");
  await expect(dialog(page).getByLabel("User")).toHaveValue("olga");
  await expect(dialog(page).getByLabel("Password")).toBeFocused();
  await expect(field).toHaveValue("typed before");
  // The page can be read without a sign-in; a change asks again, and is repeated.
  await page.keyboard.press("Escape");
  await expect(dialog(page)).toHaveCount(0);
  await expect(page.getByText("You are signed out.")).toHaveCount(1);
  await page.getByRole("button", { name: "Run", exact: true }).click();
  await expect(dialog(page)).toBeVisible();
  await signIn(page, "olga");
  await expect(page).toHaveURL(/\/executions\//);
  await expect(page.locator("h1 .status")).toHaveText("succeeded");
  await expect(page.locator(".stream")).toHaveAttribute("data-state", "live");
  await expect(page.getByText("typed before").first()).toBeVisible();
});

test("signing in in one tab signs in the others, and signing out reloads them", async ({
  context,
  page,
}) => {
  const other = await context.newPage();
  await page.goto(`${server.url}/actions`);
  await other.goto(`${server.url}/actions`);
  await expect(dialog(page)).toBeVisible();
  await expect(dialog(other)).toBeVisible();
  await signIn(page, "olga");
  await expect(dialog(other)).toHaveCount(0);
  await expect(other.getByRole("link", { name: "leaf", exact: true })).toBeVisible();
  await page.getByRole("button", { name: "You: olga" }).click();
  await expect(page.getByRole("menu")).toContainText("operator");
  await page.getByRole("menuitem", { name: "Sign out", exact: true }).click();
  for (const one of [page, other]) {
    await expect(dialog(one)).toBeVisible();
    await expect(one.getByRole("link", { name: "leaf", exact: true })).toHaveCount(0);
  }
});

test("a ticket leaves the address, and signs in once", async ({ browser }) => {
  const own = await local();
  const [first, second] = [await browser.newPage(), await browser.newPage()];
  try {
    const requests: string[] = [];
    first.on("request", (request) => requests.push(request.url()));
    await first.goto(`${own.url}/actions?ticket=${own.ticket}&q=leaf`);
    await expect(first.getByRole("link", { name: "leaf", exact: true })).toBeVisible();
    await expect(first).toHaveURL(`${own.url}/actions?q=leaf`);
    expect(requests.slice(1).filter((url) => url.includes(own.ticket))).toEqual([]);
    expect(await first.evaluate(() => window.history.length)).toBe(2);
    await first.getByRole("button", { name: "You: local" }).click();
    await expect(first.getByRole("menuitem", { name: /password/ })).toHaveCount(0);
    await first.reload();
    await expect(first.getByRole("link", { name: "leaf", exact: true })).toBeVisible();
    await second.goto(`${own.url}/actions?ticket=${own.ticket}`);
    await expect(dialog(second)).toContainText("This link has been used or has expired.");
    await expect(dialog(second)).toContainText("tinpot open");
    await expect(second).toHaveURL(`${own.url}/actions`);
    await shot(second, "sign-in-local");
  } finally {
    await first.close();
    await second.close();
    await own.stop();
  }
});

test("the first user is made with the link that the server prints", async ({ page }) => {
  const own = await withoutUsers();
  try {
    await page.goto(`${own.url}/members?ticket=${own.setUpTicket}`);
    const setUp = page.getByRole("dialog", { name: "Set up Tinpot" });
    await expect(setUp.getByLabel("User")).toBeFocused();
    await expect(page).toHaveURL(`${own.url}/members`);
    await setUp.getByLabel("User").fill("ada");
    await setUp.getByLabel("Password", { exact: true }).fill(PASSWORD);
    await setUp.getByLabel("Password again").fill(PASSWORD);
    await shot(page, "set-up");
    await setUp.getByRole("button", { name: "Add user and sign in" }).click();
    await expect(page.getByRole("row").filter({ hasText: "ada" })).toContainText("server admin");
    await page.reload();
    await expect(page.getByRole("row").filter({ hasText: "ada" })).toBeVisible();
  } finally {
    await own.stop();
  }
});

test("too many attempts say how long to wait", async ({ page }) => {
  await page.goto(server.url);
  // Each failure doubles the wait: soon it is longer than a slow machine takes for one.
  for (let status = 0; status !== 429; ) {
    const answer = page.waitForResponse((response) => response.url().includes("/api/auth/login"));
    await signIn(page, "unknown", "wrong password");
    status = (await answer).status();
    expect([401, 429]).toContain(status);
  }
  await expect(dialog(page).getByRole("alert")).toHaveText(/^Too many attempts/);
  await expect(dialog(page).getByRole("button")).toHaveText(/^Sign in \(wait \d+ s\)$/);
});

test("a viewer sees no way to run, cancel, pause or drain, and no administration", async ({
  page,
}) => {
  const olga = await Account.login(server.url, "olga");
  const { execution_id } = (await olga.send("POST", "/api/actions/leaf/execute", {})) as {
    execution_id: string;
  };
  await page.goto(`${server.url}/actions`);
  await signIn(page, "vic");
  const controls = page.getByRole("main").getByRole("button", {
    name: /^(Run|Cancel|Kill|Drain|Pause|Resume|Run again)/,
  });
  const runs = page.getByRole("main").getByRole("link", { name: /^(Run |Edit and run)/ });
  for (const [path, seen] of [
    ["actions", "leaf"],
    ["actions/leaf", "Your role does not include running actions."],
    ["workers", "Slots"],
    ["queues", "default"],
    [`executions/${execution_id}`, "succeeded"],
  ] as const) {
    await page.goto(`${server.url}/${path}`);
    await expect(page.getByText(seen).first()).toBeVisible();
    await expect(controls).toHaveCount(0);
    await expect(runs).toHaveCount(0);
  }
  await expect(page.getByRole("navigation", { name: "Pages" })).not.toContainText("Members");
  await page.goto(`${server.url}/members`);
  await expect(page.getByText("Not allowed")).toBeVisible();
});
