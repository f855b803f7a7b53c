// Many tabs and frames of one browser, which allows six HTTP/1.1 connections per host.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type BrowserContext, expect, type Page, test } from "@playwright/test";
import { ended, line, run, submit, watchErrors } from "./helpers";
import { type Front, freePort, front, type Server, standalone } from "./servers";

const TABS = 30;
/** The time for a step of one of 30 tabs, which share two processors. */
const BUSY_MS = 30_000;

let server: Server;
let between: Front;
let folder: string;

test.beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "tinpot-gates-"));
  server = await standalone({
    concurrency: 4,
    args: ["--embed-parents", "http://localhost:*,http://127.0.0.1:*"],
  });
  between = await front(server);
});

test.afterAll(async () => {
  await between.stop();
  await server.stop();
  rmSync(folder, { recursive: true, force: true });
});

let gates = 0;
/** Submits an execution that writes until its gate is opened. */
async function ticking(): Promise<{ id: string; open: () => void }> {
  gates += 1;
  const gate = join(folder, `gate-${gates}`);
  const id = await submit(server.url, "ticking", { seconds: 300, every: 0.1, gate });
  return { id, open: () => writeFileSync(gate, "") };
}

async function tabs(context: BrowserContext, count: number, path: string): Promise<Page[]> {
  const opened: Page[] = [];
  for (let at = 0; at < count; at += 1) {
    const page = await context.newPage();
    await page.goto(`${between.url}/${path}`);
    opened.push(page);
  }
  return opened;
}

/** Waits until a page shows a line that the action writes from now on. */
async function advances(page: Page): Promise<void> {
  const last = async (): Promise<number> =>
    Number(await page.locator(".log-scroll .log-line").last().getAttribute("data-seq"));
  await expect.poll(last, { timeout: BUSY_MS }).toBeGreaterThan(0);
  const before = await last();
  await expect.poll(last, { timeout: BUSY_MS }).toBeGreaterThan(before);
}

test("30 tabs share one stream, and the 30th runs and cancels", async ({ context }) => {
  test.setTimeout(180_000);
  const { id } = await ticking();
  const pages = await tabs(context, TABS, `executions/${id}`);
  const [first, last] = [pages[0] as Page, pages[TABS - 1] as Page];
  const errors = watchErrors(last);
  for (const page of pages) await advances(page);
  expect(between.streams()).toBe(1);
  // While a connection replaces another one, there are two.
  expect(between.mostStreams()).toBeLessThanOrEqual(2);

  await last.getByRole("button", { name: "Cancel…" }).click();
  await last.getByRole("dialog").getByRole("button", { name: "Cancel execution" }).click();
  for (const page of [first, last])
    await expect(page.locator("h1 .status")).toHaveText("cancelled");
  await last.getByRole("button", { name: "Run again" }).click();
  await last.getByRole("dialog").getByRole("button", { name: "Run again" }).click();
  await expect(last).not.toHaveURL(new RegExp(id));
  await expect(line(last, /^tick 3$/)).toBeVisible();
  await last.getByRole("button", { name: "Cancel…" }).click();
  await last.getByRole("dialog").getByRole("button", { name: "Cancel execution" }).click();
  await expect(last.locator("h1 .status")).toHaveText("cancelled");

  // All tabs show a lost server, and all of them recover.
  await between.down();
  for (const page of pages)
    await expect(page.locator(".stream")).toHaveAttribute("data-state", "stale", {
      timeout: BUSY_MS,
    });
  await between.up("99.0.0");
  for (const page of pages) {
    await expect(page.locator(".stream")).toHaveAttribute("data-state", "live", {
      timeout: BUSY_MS,
    });
    await expect(page.getByRole("button", { name: /New version/ })).toBeVisible();
  }
  expect(between.streams()).toBe(1);
  await Promise.all(pages.map((page) => page.close()));
  await expect.poll(() => between.streams()).toBe(0);
  expect(errors).toEqual([]);
});

test("a tab has one stream on every page, whose header shows the server", async ({ page }) => {
  test.setTimeout(60_000);
  const ended = await run(server.url, "colourful");
  const { id, open } = await ticking();
  await page.goto(between.url);
  for (const name of ["Actions", "History", "Workers", "Queues", "Overview"]) {
    await page.getByRole("link", { name, exact: true }).click();
    await expect(page.locator("h1")).toHaveText(name);
    await expect(page.locator(".stream")).toHaveAttribute("data-state", "live");
    await expect.poll(() => between.streams()).toBe(1);
  }
  await page.goto(`${between.url}/executions/${id}`);
  await advances(page);
  expect(between.streams()).toBe(1);
  open();
  await page.goto(`${between.url}/executions/${ended}`);
  await expect(line(page, "the end")).toBeVisible();
  await expect(page.locator(".stream")).toHaveAttribute("data-state", "live");
  // The browser may keep the stream of the page before for a moment.
  await expect.poll(() => between.streams(), { timeout: BUSY_MS }).toBe(1);
  await page.goto("about:blank");
  await expect.poll(() => between.streams(), { timeout: BUSY_MS }).toBe(0);
});

for (const [words, host] of [
  ["another site", "localhost"],
  ["another server of this host", "127.0.0.1"],
] as const)
  test(`30 live views in frames of ${words} share one stream, and finished ones have none`, async ({
    page,
  }) => {
    test.setTimeout(120_000);
    const done = await run(server.url, "colourful");
    const { id, open } = await ticking();
    let shown = id;
    const site = createServer((_request, response) => {
      const frame = `<iframe src="${between.url}/embed/executions/${shown}"></iframe>`;
      response.setHeader("content-type", "text/html").end(frame.repeat(TABS));
    });
    const port = await freePort();
    await new Promise<void>((listening) => site.listen(port, "127.0.0.1", () => listening()));
    try {
      await page.goto(`http://${host}:${port}/`);
      const frames = page.frames().slice(1);
      expect(frames.length).toBe(TABS);
      for (const frame of frames) {
        const lines = frame.locator(".log-scroll .log-line");
        const count = async (): Promise<number> =>
          Number(await lines.last().getAttribute("data-seq"));
        await expect.poll(count, { timeout: BUSY_MS }).toBeGreaterThan(3);
      }
      expect(between.streams()).toBe(1);
      open();
      for (const frame of frames)
        await expect(frame.locator("h1 .status")).toHaveText("succeeded", { timeout: BUSY_MS });
      await expect.poll(() => between.streams()).toBe(0);

      shown = done;
      await page.reload();
      for (const frame of page.frames().slice(1))
        await expect(frame.locator("h1 .status")).toHaveText("succeeded");
      expect(between.streams()).toBe(0);
    } finally {
      await new Promise((closed) => site.close(closed));
    }
  });

test("without shared workers, one of the tabs holds the stream until it is closed", async ({
  context,
}) => {
  await context.addInitScript("delete window.SharedWorker");
  const { id, open } = await ticking();
  const pages = await tabs(context, 8, `executions/${id}`);
  for (const page of pages) await advances(page);
  expect(between.streams()).toBe(1);
  await pages[0]?.close();
  for (const page of pages.slice(1)) await advances(page);
  expect(between.streams()).toBe(1);
  open();
  for (const page of pages.slice(1)) {
    await expect(page.locator("h1 .status")).toHaveText("succeeded");
    await page.close();
  }
  await expect.poll(() => between.streams()).toBe(0);
});

test("without shared workers and locks, a page has its own stream while something is live", async ({
  context,
}) => {
  await context.addInitScript(
    "delete window.SharedWorker; delete Navigator.prototype.locks; delete navigator.locks",
  );
  const { id, open } = await ticking();
  const [page] = await tabs(context, 1, `executions/${id}`);
  if (page === undefined) throw new Error("there is no page");
  await advances(page);
  expect(between.streams()).toBe(1);
  open();
  await expect(page.locator("h1 .status")).toHaveText("succeeded");
  await expect.poll(() => between.streams()).toBe(0);
});

test("pages that are left or hidden have no stream, and resume without a gap", async ({ page }) => {
  const { id, open } = await ticking();
  for (let turn = 0; turn < 10; turn += 1) {
    await page.goto(`${between.url}/executions/${id}?turn=${turn}`);
    await advances(page);
  }
  await expect.poll(() => between.streams()).toBe(1);
  await page.goBack();
  await advances(page);
  const setVisible = (state: string): Promise<void> =>
    page.evaluate((to) => {
      Object.defineProperty(document, "visibilityState", { configurable: true, get: () => to });
      document.dispatchEvent(new Event("visibilitychange"));
    }, state);
  await setVisible("hidden");
  await expect.poll(() => between.streams()).toBe(0);
  await setVisible("visible");
  await advances(page);
  open();
  await expect(page.locator("h1 .status")).toHaveText("succeeded");
  await page.locator(".log-scroll").focus();
  await page.keyboard.press("g");
  await expect(line(page, /^tick 1$/)).toBeVisible();
  const ticks = await page
    .locator(".log-scroll .log-text")
    .evaluateAll((texts) => texts.map((text) => text.textContent ?? ""));
  const numbers = ticks.filter((text) => text.startsWith("tick ")).map((text) => +text.slice(5));
  expect(numbers).toEqual(numbers.map((_, at) => (numbers[0] ?? 0) + at));
  expect(await ended(server.url, id)).toBe("succeeded");
});
