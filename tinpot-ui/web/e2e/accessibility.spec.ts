// Accessibility: the pages by keyboard alone, with axe in both themes, and on a phone.
import AxeBuilder from "@axe-core/playwright";
import { expect, type Page, test } from "@playwright/test";
import { docsImage, ended, line, run, savesDocsImages, shot, submit } from "./helpers";
import { type Server, standalone } from "./servers";

let server: Server;
let coloured: string;
let nested: string;
let failed: string;

test.beforeAll(async () => {
  server = await standalone();
  [coloured, nested, failed] = [
    await run(server.url, "colourful"),
    await run(server.url, "nested"),
    await run(server.url, "failing"),
  ];
});

test.afterAll(async () => server.stop());

const pages = (): [string, string][] => [
  ["overview", ""],
  ["actions", "actions"],
  ["form", "actions/form"],
  ["history", "executions"],
  ["log", `executions/${coloured}`],
  ["result", `executions/${nested}?tab=result`],
  ["timeline", `executions/${nested}?tab=timeline`],
  ["call", `executions/${nested}?tab=call`],
  ["failed", `executions/${failed}`],
  ["workers", "workers"],
  ["queues", "queues"],
  ["embed", `embed/executions/${coloured}`],
];

async function settled(page: Page): Promise<void> {
  await expect(page.locator("main h1")).toBeVisible();
  await expect(page.locator(".loading")).toHaveCount(0);
}

for (const scheme of ["light", "dark"] as const) {
  test(`axe reports no violations in the ${scheme} theme`, async ({ browser }) => {
    test.setTimeout(180_000);
    const context = await browser.newContext({
      colorScheme: scheme,
      viewport: { width: 1280, height: 800 },
    });
    const page = await context.newPage();
    const found: string[] = [];
    for (const [name, path] of pages()) {
      await page.goto(`${server.url}/${path}`);
      await settled(page);
      await shot(page, `${name}-${scheme}`);
      const { violations } = await new AxeBuilder({ page }).analyze();
      for (const { id, nodes } of violations)
        found.push(
          `${name}: ${id}: ${nodes
            .map((node) => node.target.join(" "))
            .slice(0, 3)
            .join(", ")}`,
        );
    }
    expect(found).toEqual([]);
    await context.close();
  });
}

test("on a phone no page is wider than the screen, and the log is legible", async ({ browser }) => {
  const context = await browser.newContext({
    viewport: { width: 360, height: 740 },
    hasTouch: true,
    isMobile: true,
  });
  const page = await context.newPage();
  for (const [name, path] of pages()) {
    await page.goto(`${server.url}/${path}`);
    await settled(page);
    await shot(page, `${name}-phone`);
    const beyond = await page.evaluate(
      () => document.documentElement.scrollWidth - document.documentElement.clientWidth,
    );
    expect(beyond, name).toBeLessThanOrEqual(0);
  }
  await page.goto(`${server.url}/executions/${coloured}`);
  await expect(line(page, "the end")).toBeVisible();
  await context.close();
});

test("an action is found, run and followed by keyboard alone", async ({ page }) => {
  await page.goto(`${server.url}/actions`);
  await settled(page);
  await page.keyboard.press("Control+k");
  await expect(page.getByRole("dialog")).toBeVisible();
  await page.keyboard.type("leaf");
  await page.keyboard.press("Enter");
  await expect(page).toHaveURL(/\/actions\/leaf/);
  await settled(page);
  // Reach the first field by Tab alone.
  const field = page.getByRole("textbox", { name: /^name/ });
  await tabTo(page, () => field.evaluate((element) => element === document.activeElement));
  await page.keyboard.press("Control+a");
  await page.keyboard.type("by keys");
  const submitButton = page.locator("main button[type=submit]");
  await tabTo(page, () => submitButton.evaluate((element) => element === document.activeElement));
  await page.keyboard.press("Enter");
  await expect(page).toHaveURL(/\/executions\//);
  await expect(page.locator("h1 .status")).toHaveText("succeeded");
  const tab = page.getByRole("tab", { name: "Log" });
  await tabTo(page, () => tab.evaluate((element) => element === document.activeElement));
  await page.keyboard.press("ArrowRight");
  await expect(page.getByRole("group", { name: "Result" })).toContainText("by keys");
});

/** Presses Tab until an element has the focus. */
async function tabTo(page: Page, there: () => Promise<boolean>): Promise<void> {
  for (let turn = 0; turn < 60; turn += 1) {
    if (await there()) return;
    await page.keyboard.press("Tab");
  }
  throw new Error("Tab does not reach the element");
}

test("picture of the README", async ({ browser }) => {
  const context = await browser.newContext({
    colorScheme: "light",
    viewport: { width: 1280, height: 800 },
  });
  const page = await context.newPage();
  const id = await submit(
    server.url,
    "deploy",
    { service: "shop", version: "v2.14.0", environment: "production" },
    { requested_by: "anna" },
  );
  await page.goto(`${server.url}/executions/${id}`);
  await expect(line(page, /watching the error rate/)).toBeVisible();
  await expect(page.locator(".progress-line")).toContainText("80 % · smoke tests");
  await docsImage(page, "execution");
  expect(await ended(server.url, id)).toBe("succeeded");
  await context.close();
});

// Made on request only: these pictures test nothing that other tests do not.
if (savesDocsImages)
  test("pictures for the documentation", async ({ browser }) => {
    for (const scheme of ["light", "dark"] as const) {
      const context = await browser.newContext({
        colorScheme: scheme,
        viewport: { width: 1120, height: 700 },
      });
      const page = await context.newPage();
      await page.goto(`${server.url}/actions/backup`);
      await settled(page);
      await docsImage(page, `form-${scheme}`);
      const id = await submit(
        server.url,
        "backup",
        { host: "db-1", days: 14 },
        { requested_by: "anna" },
      );
      await page.goto(`${server.url}/executions/${id}`);
      await expect(line(page, /verifying/)).toBeVisible();
      await docsImage(page, `log-${scheme}`);
      await ended(server.url, id);
      await page.goto(`${server.url}/executions/${id}?tab=timeline`);
      await expect(page.getByRole("table", { name: "Timeline" })).toContainText("verify");
      await docsImage(page, `timeline-${scheme}`);
      await context.close();
    }
  });
