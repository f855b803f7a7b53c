// The account of the person, and the pages of administration.
import { readFileSync } from "node:fs";
import AxeBuilder from "@axe-core/playwright";
import { expect, type Page, test } from "@playwright/test";
import { shot, watchErrors } from "./helpers";
import { Account, signIn } from "./people";
import { type Server, withUsers } from "./servers";

let server: Server;

test.beforeAll(async () => {
  server = await withUsers({ vic: "viewer", olga: "operator" });
});

test.afterAll(async () => server.stop());

const row = (page: Page, text: string) => page.getByRole("row").filter({ hasText: text });

test("a token is shown once, works, is rotated, and is refused once revoked", async ({ page }) => {
  const errors = watchErrors(page);
  await page.goto(`${server.url}/you`);
  await signIn(page, "olga");
  await page.getByRole("button", { name: "Create token…" }).click();
  const form = page.getByRole("dialog", { name: "Create token" });
  await form.getByLabel("Name").fill("nightly");
  await form.getByRole("checkbox", { name: /^run/ }).check();
  await form.getByLabel("Only these actions").fill("leaf, back*");
  await form.getByLabel("Valid for days").fill("0");
  await expect(form.getByRole("button", { name: "Create token" })).toBeDisabled();
  await form.getByLabel("Valid for days").fill("30");
  await form.getByRole("button", { name: "Create token" }).click();
  const shown = page.getByRole("dialog", { name: "Token nightly" });
  const secret = await shown.getByLabel("Secret of the token").inputValue();
  expect(secret).toMatch(/^tpt_\w{48,49}$/);
  // Neither Escape nor a click outside loses the secret.
  await page.keyboard.press("Escape");
  await expect(shown).toContainText("Copy the token, then press Done.");
  await shown.getByRole("button", { name: "Done" }).click();
  await expect(shown).toHaveCount(0);
  expect(await page.content()).not.toContain(secret);
  await page.reload();
  await expect(row(page, "nightly")).toContainText("run:leaf");
  expect(await page.content()).not.toContain(secret);

  const asked = async (text: string) =>
    (
      await fetch(`${server.url}/api/actions/leaf`, {
        headers: { authorization: `Bearer ${text}` },
      })
    ).status;
  expect(await asked(secret)).toBe(200);
  await row(page, "nightly").getByRole("button", { name: "Token nightly" }).click();
  await page.getByRole("menuitem", { name: "Rotate…" }).click();
  await page.getByLabel("The old secret").selectOption("ends at once");
  await page.getByRole("button", { name: "Rotate token" }).click();
  const next = await shown.getByLabel("Secret of the token").inputValue();
  await shown.getByRole("button", { name: "Done" }).click();
  expect([await asked(secret), await asked(next)]).toEqual([401, 200]);

  const menu = row(page, "nightly").getByRole("button", { name: "Token nightly" });
  await menu.click();
  await page.getByRole("menuitem", { name: "Revoke…" }).click();
  await page.getByRole("button", { name: "Revoke token" }).click();
  await expect(page.getByText("No tokens yet")).toBeVisible();
  expect(await asked(next)).toBe(401);
  expect(errors).toEqual([]);
});

test("a new password ends the other sign-ins, and the page goes on", async ({ page }) => {
  const ada = await Account.login(server.url, "ada");
  await ada.addUser("paul", "viewer");
  const elsewhere = await Account.login(server.url, "paul");
  await page.goto(`${server.url}/you`);
  await signIn(page, "paul");
  await expect(page.getByRole("row")).toHaveCount(3);
  await page.getByRole("button", { name: "Change password…" }).click();
  const form = page.getByRole("dialog", { name: "Change password" });
  await form.getByLabel("Current password").fill("not the password");
  await form.getByLabel("New password", { exact: true }).fill("another horse battery");
  await form.getByLabel("New password again").fill("another horse");
  await expect(form.getByText("The passwords differ")).toBeVisible();
  await form.getByLabel("New password again").fill("another horse battery");
  await form.getByRole("button", { name: "Change password" }).click();
  await expect(form.getByRole("alert")).toContainText(/current password/);
  await form.getByLabel("Current password").fill("correct horse battery");
  await form.getByRole("button", { name: "Change password" }).click();
  await expect(page.getByText("Password changed.")).toBeVisible();
  await expect(page.getByRole("row")).toHaveCount(2);
  await expect(elsewhere.send("GET", "/api/auth/me")).rejects.toThrow("401");
  await page.reload();
  await expect(page.getByText("this browser")).toBeVisible();
});

test("an admin adds, limits, disables and removes people", async ({ page }) => {
  const errors = watchErrors(page);
  await page.goto(`${server.url}/members`);
  await signIn(page, "ada");
  await page.getByRole("button", { name: "Add user…" }).click();
  await page.getByLabel("User", { exact: true }).fill("nina");
  await page.getByLabel("Password").fill("correct horse battery");
  await page.getByLabel("Role", { exact: true }).selectOption("viewer");
  await page.getByRole("button", { name: "Add user", exact: true }).click();
  await expect(row(page, "nina")).toContainText("viewer");

  const command = async (user: string, name: string): Promise<void> => {
    await page.getByRole("button", { name: `User ${user}` }).click();
    await page.getByRole("menuitem", { name }).click();
  };
  await command("nina", "Change role…");
  await expect(page.getByLabel("Role", { exact: true })).toHaveValue("viewer");
  await page.getByLabel("Role", { exact: true }).selectOption("developer");
  await page.getByRole("button", { name: "Change role" }).click();
  await expect(row(page, "nina")).toContainText("developer");
  await expect(row(page, "nina")).not.toContainText("viewer");
  await command("nina", "Disable…");
  await page.getByRole("button", { name: "Disable user" }).click();
  await expect(row(page, "nina")).toContainText("disabled");
  await expect(Account.login(server.url, "nina")).rejects.toThrow("401");
  await command("nina", "Remove…");
  await page.getByRole("button", { name: "Remove user" }).click();
  await expect(row(page, "nina")).toHaveCount(0);
  // The last admin stays, and the server says why.
  await command("ada", "Disable…");
  await page.getByRole("button", { name: "Disable user" }).click();
  await expect(page.getByRole("dialog").getByRole("alert")).not.toBeEmpty();
  await page.keyboard.press("Escape");
  await expect(page.getByRole("button", { name: "User ada" })).toBeFocused();

  await page.getByRole("link", { name: "Grants" }).click();
  await page.getByRole("button", { name: "Add group…" }).click();
  await page.getByLabel("Name").fill("night-shift");
  await page.getByRole("checkbox", { name: "vic" }).check();
  await page.getByRole("button", { name: "Add group", exact: true }).click();
  await expect(row(page, "night-shift")).toContainText("vic");
  await page.getByRole("button", { name: "Add grant…" }).click();
  await page.getByLabel("To", { exact: true }).selectOption("A group");
  await page.getByLabel("Group", { exact: true }).selectOption("night-shift");
  await page.getByLabel("Role", { exact: true }).selectOption("operator");
  await page.getByLabel("Actions", { exact: true }).fill("leaf, deploy-*");
  await page.getByRole("button", { name: "Add grant", exact: true }).click();
  const grant = row(page, "actions: leaf, deploy-*");
  await expect(grant).toContainText("operator");
  const vic = await Account.login(server.url, "vic");
  await vic.send("POST", "/api/actions/leaf/execute", {});
  await expect(vic.send("POST", "/api/actions/nested/execute", {})).rejects.toThrow(/40[34]/);
  await grant.getByRole("button", { name: /^Remove the grant of night-shift/ }).click();
  await page.getByRole("button", { name: "Remove grant" }).click();
  await expect(grant).toHaveCount(0);
  await expect(vic.send("POST", "/api/actions/leaf/execute", {})).rejects.toThrow(/40[34]/);
  expect(errors).toEqual([]);
});

test("an admin adds a program, gives it a token and grants, and removes it", async ({ page }) => {
  const errors = watchErrors(page);
  await page.goto(`${server.url}/programs`);
  await signIn(page, "ada");
  await page.getByRole("button", { name: "Add program…" }).click();
  await page.getByLabel("Name").fill("deployer");
  await page.getByLabel("Role", { exact: true }).selectOption("none");
  await page.getByRole("button", { name: "Add program", exact: true }).click();
  await expect(row(page, "deployer")).toContainText("none");
  await row(page, "deployer").getByRole("link", { name: "deployer" }).click();
  await expect(page.getByRole("heading", { name: "deployer" })).toBeVisible();

  await page.getByRole("button", { name: "Create token…" }).click();
  await page.getByRole("dialog").getByLabel("Name").fill("ci");
  await page.getByRole("checkbox", { name: /^run/ }).check();
  await page.getByRole("button", { name: "Create token", exact: true }).click();
  const secret = await page.getByLabel("Secret of the token").inputValue();
  await page.getByRole("button", { name: "Done" }).click();
  const asked = async () =>
    (
      await fetch(`${server.url}/api/actions/leaf/execute`, {
        method: "POST",
        headers: { authorization: `Bearer ${secret}`, "content-type": "application/json" },
        body: "{}",
      })
    ).status;
  expect(await asked()).toBe(404);
  await page.getByRole("button", { name: "Add grant…" }).click();
  const form = page.getByRole("dialog", { name: "Add grant for deployer" });
  await form.getByLabel("Actions", { exact: true }).fill("leaf");
  await form.getByRole("button", { name: "Add grant" }).click();
  await expect(row(page, "actions: leaf")).toContainText("operator");
  expect(await asked()).toBe(200);
  // The page of all grants has its name, not its id.
  await page.getByRole("link", { name: "Grants" }).click();
  await expect(row(page, "actions: leaf")).toContainText("deployer");

  await page.getByRole("link", { name: "Programs" }).click();
  await expect(row(page, "deployer")).toContainText("operator, limited");
  await page.getByRole("button", { name: "Program deployer" }).click();
  await page.getByRole("menuitem", { name: "Remove…" }).click();
  await page.getByRole("button", { name: "Remove program" }).click();
  await expect(page.getByText("No programs yet")).toBeVisible();
  expect(await asked()).toBe(401);
  expect(errors).toEqual([]);
});

test("the audit is filtered, paged and downloaded", async ({ page }) => {
  const olga = await Account.login(server.url, "olga");
  for (let turn = 0; turn < 3; turn += 1)
    await (await Account.login(server.url, "olga")).send("POST", "/api/auth/logout", {});
  await olga.send("POST", "/api/auth/logout", {});
  await page.goto(`${server.url}/audit`);
  await signIn(page, "ada");
  const rows = page.locator("table.audit tbody tr");
  await expect(rows.filter({ hasText: "ada" }).first()).toBeVisible();
  await page.getByLabel("Who").fill("olga");
  await expect(page).toHaveURL(/who=olga/);
  await expect(rows.filter({ hasText: "ada" })).toHaveCount(0);
  await expect(rows.first()).toContainText("olga");
  await page.getByLabel("What").fill("sign_out");
  await expect(rows).toHaveCount(4);
  const [download] = await Promise.all([
    page.waitForEvent("download"),
    page.getByRole("button", { name: "Download" }).click(),
  ]);
  const lines = readFileSync(await download.path(), "utf8")
    .trimEnd()
    .split("\n");
  expect(lines.map((line) => JSON.parse(line).what)).toEqual(Array(4).fill("sign_out"));
  await page.getByLabel("Since", { exact: true }).fill("2100-01-01 00:00");
  await page.keyboard.press("Enter");
  await expect(page.getByText("No matching entries")).toBeVisible();
  // A link has the filters, and Back undoes them one by one.
  await page.goBack();
  await expect(rows).toHaveCount(4);
  await page.getByRole("button", { name: "Clear filters" }).click();
  await expect(rows.filter({ hasText: "ada" }).first()).toBeVisible();
});

for (const scheme of ["light", "dark"] as const) {
  test(`the pages are accessible, and fit on a phone, in the ${scheme} theme`, async ({
    browser,
  }) => {
    test.setTimeout(120_000);
    const context = await browser.newContext({ colorScheme: scheme });
    const page = await context.newPage();
    const found: string[] = [];
    const check = async (name: string): Promise<void> => {
      for (const [size, width, height] of [
        ["", 1280, 800],
        ["-phone", 390, 844],
      ] as const) {
        await page.setViewportSize({ width, height });
        await shot(page, `${name}-${scheme}${size}`);
        const beyond = await page.evaluate(
          () => document.documentElement.scrollWidth - document.documentElement.clientWidth,
        );
        if (beyond > 0) found.push(`${name}: ${beyond} pixels wider than ${width}`);
      }
      const { violations } = await new AxeBuilder({ page }).analyze();
      for (const { id, nodes } of violations)
        found.push(`${name}: ${id}: ${nodes.map((node) => node.target.join(" ")).join(", ")}`);
      await page.setViewportSize({ width: 1280, height: 800 });
    };
    await page.goto(`${server.url}/you`);
    await expect(page.getByRole("dialog")).toBeVisible();
    await check("sign-in");
    await signIn(page, "ada");
    await expect(page.getByText("this browser")).toBeVisible();
    await check("you");
    for (const [name, path, button] of [
      ["token", "you", "Create token…"],
      ["password", "you", "Change password…"],
      ["add-user", "members", "Add user…"],
      ["add-grant", "grants", "Add grant…"],
      ["add-group", "grants", "Add group…"],
      ["add-program", "programs", "Add program…"],
    ] as const) {
      await page.goto(`${server.url}/${path}`);
      await page.getByRole("button", { name: button }).click();
      await expect(page.getByRole("dialog")).toBeVisible();
      await check(name);
      await page.keyboard.press("Escape");
      await expect(page.getByRole("button", { name: button })).toBeFocused();
    }
    const ada = await Account.login(server.url, "ada");
    const name = `deployer-${scheme}`;
    const program = (await ada.send("POST", "/api/programs", { name })) as { id: string };
    const grant = { to: { program: program.id }, role: "operator", actions: ["leaf", "deploy-*"] };
    await ada.send("POST", "/api/grants", grant);
    const token = { name: "ci", scopes: ["run:leaf", "read"], principal: program.id };
    await ada.send("POST", "/api/tokens", token);
    for (const path of ["members", "grants", "programs", `programs/${program.id}`, "audit"]) {
      await page.goto(`${server.url}/${path}`);
      await expect(page.locator("table.records").first()).toBeVisible();
      await check(path.replace(/\/.*/, "-one"));
    }
    await page.getByRole("button", { name: "You: ada" }).click();
    await check("menu");
    expect(found).toEqual([]);
    await context.close();
  });
}
