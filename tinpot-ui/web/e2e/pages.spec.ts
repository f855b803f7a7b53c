// The overview, actions, history, workers, queues, and the overlays of all pages.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "@playwright/test";
import { line, run, shot, statusOf, submit, watchErrors } from "./helpers";
import { cluster, freePort, type Server, standalone } from "./servers";

let server: Server;
let folder: string;

test.beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "tinpot-gates-"));
  server = await standalone({ concurrency: 2 });
});

test.afterAll(async () => {
  await server.stop();
  rmSync(folder, { recursive: true, force: true });
});

/** Submits two executions that hold both slots until their gate is opened. */
async function fillSlots(name: string): Promise<{ ids: string[]; open: () => void }> {
  const gate = join(folder, name);
  const ids = [
    await submit(server.url, "ticking", { seconds: 60, gate }),
    await submit(server.url, "ticking", { seconds: 60, gate }),
  ];
  for (const id of ids) await expect.poll(() => statusOf(server.url, id)).toBe("running");
  return { ids, open: () => writeFileSync(gate, "") };
}

test("the overview counts and charts executions live", async ({ page }) => {
  const errors = watchErrors(page);
  await run(server.url, "leaf");
  await run(server.url, "failing");
  await page.goto(server.url);
  const figure = (label: string) =>
    page.locator(".figures li").filter({ hasText: label }).locator("strong");
  await expect(figure("Failed")).toHaveText("1");
  await expect(
    page.getByRole("region", { name: "Throughput" }).locator("svg rect").first(),
  ).toBeVisible();
  await expect(page.getByRole("region", { name: "Durations" }).locator("svg")).toBeVisible();
  await expect(page.getByRole("region", { name: "Recent failures" })).toContainText(
    "the disk is full",
  );
  await expect(figure("Running")).toHaveText("0");
  const { open } = await fillSlots("overview");
  await expect(figure("Running")).toHaveText("2");
  await expect(
    page.getByRole("region", { name: "Running now" }).getByRole("link", { name: /ticking/ }),
  ).toHaveCount(2);
  open();
  await expect(figure("Running")).toHaveText("0");
  await page.getByRole("tab", { name: "24 h" }).click();
  await expect(figure("Failed")).toHaveText("1");
  expect(errors).toEqual([]);
});

test("the address of the history has its filters and page, and new executions appear", async ({
  page,
}) => {
  for (let turn = 0; turn < 52; turn += 1)
    await submit(
      server.url,
      "leaf",
      { name: `n${turn}` },
      { requested_by: turn === 0 ? "anna" : "ben" },
    );
  await run(server.url, "failing");
  await page.goto(`${server.url}/executions?action=leaf`);
  const rows = page.locator(".executions tbody tr");
  await expect(rows).toHaveCount(50);
  await page.getByRole("button", { name: "Older" }).click();
  await expect(page).toHaveURL(/before=/);
  await expect(rows.filter({ hasText: "anna" })).toHaveCount(1);
  await page.reload();
  await expect(rows.filter({ hasText: "anna" })).toHaveCount(1);
  await page.goBack();
  await expect(page).not.toHaveURL(/before=/);
  await expect(rows).toHaveCount(50);

  await page.getByRole("button", { name: "Clear filters" }).click();
  await page.getByRole("group", { name: "Status" }).getByRole("button", { name: "failed" }).click();
  await expect(page).toHaveURL(/status=failed/);
  await expect(rows.first()).toContainText("failing");
  await expect(rows.filter({ hasText: "leaf" })).toHaveCount(0);
  const before = await rows.count();
  await run(server.url, "failing");
  await expect(rows).toHaveCount(before + 1);
  // Back undoes one filter after the other.
  await page.goBack();
  await expect(page).not.toHaveURL(/status=/);
  await page.goForward();
  await expect(page).toHaveURL(/status=failed/);
  await page.goto(`${server.url}/executions?requested_by=unknown+person`);
  await expect(page.getByText("No matching executions")).toBeVisible();
  await page.getByRole("button", { name: "Remove the filter Requested by" }).click();
  await expect(rows).toHaveCount(50);
  await page.goto(`${server.url}/executions?status=nonsense&since=yesterday&requested_by=anna`);
  await expect(rows).toHaveCount(1);
  await rows.first().getByRole("link", { name: "leaf" }).click();
  await expect(page.locator("h1")).toContainText("leaf");
});

test("queues show what waits and why, and are paused and resumed", async ({ page }) => {
  await page.goto(`${server.url}/queues`);
  const row = page.getByRole("row").filter({ hasText: "default" });
  await page.getByRole("button", { name: "Pause default" }).click();
  await expect(row).toContainText("paused");
  const id = await submit(server.url, "leaf");
  await expect(row.locator("[data-label=Waiting]")).toHaveText("1");
  await shot(page, "paused");
  expect(await statusOf(server.url, id)).toBe("queued");
  await page.getByRole("button", { name: "Resume default" }).click();
  await expect(row.locator("[data-label=Waiting]")).toHaveText("0");
  await expect.poll(() => statusOf(server.url, id)).toBe("succeeded");

  const { open } = await fillSlots("queues");
  await submit(server.url, "leaf");
  await expect(row.locator("[data-label=Waiting]")).toHaveText("1");
  await expect(row.locator("[data-label=Running]")).toHaveText("2");
  await expect(row.locator(".row-note")).toHaveText(/slot/);
  await expect(row.locator("[data-label='Oldest waiting'] time")).toBeVisible();
  open();
  await expect(row.locator("[data-label=Waiting]")).toHaveText("0");
});

test("workers show their attempts, slots, version, queues and last heartbeat", async ({ page }) => {
  const { ids, open } = await fillSlots("workers");
  await page.goto(`${server.url}/workers`);
  const card = page.locator(".worker");
  await expect(card.locator(".slots")).toHaveText("2 of 2");
  await expect(card).toContainText("0.1.0");
  await expect(card).toContainText("all");
  await expect(card).toContainText(/Last heartbeat(just now|\d)/);
  await expect(card.getByRole("link", { name: /ticking/ })).toHaveCount(2);
  await card
    .getByRole("link", { name: /ticking/ })
    .first()
    .click();
  await expect(page).toHaveURL(new RegExp(ids.join("|")));
  open();
  await expect(line(page, /^the last line$/)).toBeVisible();
  await page.goto(`${server.url}/workers`);
  await expect(card).toContainText("Idle");
});

test("a file that fails to import is a card, and other actions stay", async ({ page }) => {
  const actions = mkdtempSync(join(tmpdir(), "tinpot-cards-"));
  writeFileSync(
    join(actions, "good.py"),
    "from tinpot import action\n\n@action\ndef good():\n    return 1\n",
  );
  writeFileSync(
    join(actions, "bad.py"),
    "from tinpot import action\nimport there_is_no_such_module\n",
  );
  const own = await standalone({ actions, ready: /"good"/ });
  try {
    await page.goto(`${own.url}/actions`);
    await expect(page.getByRole("link", { name: "good" })).toBeVisible();
    const card = page.locator(".load-error");
    await expect(card).toContainText("bad.py");
    await expect(card).toContainText("there_is_no_such_module");
    await shot(page, "import-error");
    // Fixed while the page is open: the card disappears and the action appears.
    writeFileSync(
      join(actions, "bad.py"),
      "from tinpot import action\n\n@action\ndef fixed():\n    return 1\n",
    );
    await expect(page.getByRole("link", { name: "fixed" })).toBeVisible({ timeout: 20_000 });
    await expect(card).toHaveCount(0);
  } finally {
    await own.stop();
    rmSync(actions, { recursive: true, force: true });
  }
});

test("an unavailable action shows the reason, a worker drains, and an allowed site frames", async ({
  page,
}) => {
  let html = "";
  const wiki = createServer((_request, response) =>
    response.setHeader("content-type", "text/html").end(html),
  );
  const port = await freePort();
  const parent = `http://127.0.0.1:${port}`;
  await new Promise<void>((done) => wiki.listen(port, "127.0.0.1", () => done()));
  const own = await cluster({ args: ["--embed-parents", parent] });
  try {
    const id = await run(own.url, "colourful");
    html = `<iframe title="one" width="900" height="600" src="${own.url}/embed/executions/${id}"></iframe><iframe src="${own.url}/executions/${id}"></iframe>`;
    await page.goto(`${parent}/`);
    const frame = page.frameLocator("iframe[title=one]");
    await expect(frame.locator("h1 .status")).toHaveText("succeeded");
    await expect(frame.locator(".log-text").filter({ hasText: "the end" })).toBeVisible();
    // Only the view for frames may be framed, and no other page.
    await expect.poll(() => page.frames()[2]?.url()).toBe("chrome-error://chromewebdata/");

    await page.goto(`${own.url}/workers`);
    await page.getByRole("button", { name: "Drain…" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Drain" }).click();
    await expect(page.getByText("No live workers")).toBeVisible({ timeout: 20_000 });
    await page.goto(`${own.url}/actions`);
    const card = page.locator(".card").filter({ hasText: "colourful" });
    await expect(card.locator(".card-why")).toHaveText(/worker/);
    await card.getByRole("link").click();
    await expect(page.getByText("Not available.")).toBeVisible();
    await shot(page, "unavailable");
    const waits = await submit(own.url, "leaf");
    await page.goto(`${own.url}/executions/${waits}`);
    await expect(page.locator("h1 .status")).toHaveText("queued");
    await own.startWorker();
    await expect(page.locator("h1 .status")).toHaveText("succeeded", { timeout: 20_000 });
  } finally {
    await new Promise((done) => wiki.close(done));
    await own.stop();
  }
});

test("the palette finds pages, actions and executions by a part of their id", async ({ page }) => {
  const id = await run(server.url, "colourful");
  await page.goto(server.url);
  await page.getByRole("button", { name: /Search actions/ }).click();
  const results = page.getByRole("listbox", { name: "Results" });
  const type = async (text: string): Promise<void> => page.getByRole("combobox").fill(text);
  await type("queu");
  await expect(results.getByRole("option").first()).toContainText("Queues");
  await type("with_sec");
  await expect(results.getByRole("option").first()).toContainText("with_secret");
  await type(id.slice(-12));
  await expect(results.getByRole("option").first()).toContainText(id);
  await shot(page, "palette");
  await page.keyboard.press("Enter");
  await expect(page).toHaveURL(new RegExp(id));
  await page.keyboard.press("Control+k");
  await page.keyboard.press("Escape");
  await expect(page.getByRole("dialog")).toHaveCount(0);
});

test("? lists the shortcuts, g and a letter opens a page, and / focuses the search", async ({
  page,
}) => {
  await page.goto(server.url);
  await expect(page.locator("h1")).toHaveText("Overview");
  await page.keyboard.press("?");
  await expect(page.getByRole("dialog", { name: "Keyboard shortcuts" })).toContainText(
    "Go to Queues",
  );
  await shot(page, "shortcuts");
  await page.keyboard.press("Escape");
  for (const [key, title] of [
    ["a", "Actions"],
    ["w", "Workers"],
    ["q", "Queues"],
    ["h", "History"],
  ] as const) {
    await page.keyboard.press("g");
    await page.keyboard.press(key);
    await expect(page.locator("h1")).toHaveText(title);
  }
  await page.keyboard.press("g");
  await page.keyboard.press("a");
  await expect(page.getByRole("link", { name: "colourful" })).toBeVisible();
  await page.keyboard.press("/");
  await page.keyboard.type("colour");
  await expect(page).toHaveURL(/q=colour/);
  await expect(page.getByRole("link", { name: "colourful" })).toBeVisible();
  await expect(page.getByRole("link", { name: "leaf" })).toHaveCount(0);
});

test("a key that is pressed when a page appears counts", async ({ page }) => {
  await page.addInitScript(() => {
    new MutationObserver((_, observer) => {
      if (document.querySelector("h1") === null) return;
      observer.disconnect();
      document.dispatchEvent(new KeyboardEvent("keydown", { key: "?", bubbles: true }));
    }).observe(document, { childList: true, subtree: true });
  });
  await page.goto(server.url);
  await expect(page.getByRole("dialog", { name: "Keyboard shortcuts" })).toBeVisible();
});

test("the theme follows the system until one is chosen, and is remembered", async ({ browser }) => {
  const context = await browser.newContext({ colorScheme: "dark" });
  const page = await context.newPage();
  await page.goto(`${server.url}/queues`);
  const ground = () =>
    page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor);
  await expect(page.locator("h1")).toBeVisible();
  const dark = await ground();
  await page.getByRole("button", { name: /^Theme: system/ }).click();
  await expect(page.getByRole("button", { name: /^Theme: light/ })).toBeVisible();
  const light = await ground();
  expect(light).not.toBe(dark);
  await page.reload();
  await expect(page.getByRole("button", { name: /^Theme: light/ })).toBeVisible();
  expect(await ground()).toBe(light);
  await page.getByRole("button", { name: /^Theme: light/ }).click();
  expect(await ground()).toBe(dark);
  await context.close();
});
