// The log of an execution that has ended.
import { expect, test } from "@playwright/test";
import { line, run, shot, visibleLines, watchErrors } from "./helpers";
import { type Server, standalone } from "./servers";

/** The number of elements in the page for a log of any length. */
const NODES_MAX = 3_000;

let server: Server;
let long: string;
let coloured: string;

test.beforeAll(async () => {
  test.setTimeout(180_000);
  server = await standalone();
  coloured = await run(server.url, "colourful");
  long = await run(server.url, "many", {}, 120_000);
});

test.afterAll(async () => server.stop());

test("the start, the end and the middle of 300,000 lines need a bounded number of elements", async ({
  page,
}) => {
  const errors = watchErrors(page);
  await page.goto(`${server.url}/executions/${long}`);
  await expect(line(page, /^line 1: hay$/)).toBeVisible();
  expect((await visibleLines(page)).nodes).toBeLessThan(NODES_MAX);

  await page.keyboard.press("G");
  await expect(line(page, /^line 300000: hay$/)).toBeVisible();
  const end = await visibleLines(page);
  expect(end.atBottom).toBe(true);
  expect(end.nodes).toBeLessThan(NODES_MAX);

  // Positions that were never loaded, as a drag of the scroll bar reaches them.
  for (const part of [0.5, 0.25, 0.75, 0.1]) {
    await page.locator(".log-scroll").evaluate((element, to) => {
      element.scrollTop = (element.scrollHeight - element.clientHeight) * to;
    }, part);
    await expect
      .poll(async () => (await visibleLines(page)).first)
      .toBeGreaterThan(300_000 * part - 2_000);
    const seen = await visibleLines(page);
    expect(seen.first).toBeLessThan(300_000 * part + 2_000);
    expect(seen.last).toBeGreaterThan(seen.first + 5);
    expect(seen.nodes).toBeLessThan(NODES_MAX);
  }
  await page.locator(".log-scroll").focus();
  await page.keyboard.press("g");
  await expect(line(page, /^line 1: hay$/)).toBeVisible();
  expect(errors).toEqual([]);
});

test("scrolling through pages shows every line once", async ({ page }) => {
  await page.goto(`${server.url}/executions/${long}`);
  await expect(line(page, /^line 1: hay$/)).toBeVisible();
  await page.locator(".log-scroll").hover();
  let reached = (await visibleLines(page)).last;
  for (let turn = 0; turn < 40; turn += 1) {
    await page.mouse.wheel(0, 400);
    await expect.poll(async () => (await visibleLines(page)).last).toBeGreaterThan(reached);
    const seen = await page
      .locator(".log-scroll .log-line")
      .evaluateAll((rows) => rows.map((row) => Number((row as HTMLElement).dataset.seq)));
    const gaps = seen.filter((seq, at) => at > 0 && seq !== (seen[at - 1] ?? 0) + 1);
    expect(gaps).toEqual([]);
    // No line is skipped between two steps.
    expect((await visibleLines(page)).first).toBeLessThanOrEqual(reached + 1);
    reached = (await visibleLines(page)).last;
  }
  expect(reached).toBeGreaterThan(700);
});

test("a search finds a line far from the held ones, and scrolls there", async ({ page }) => {
  await page.goto(`${server.url}/executions/${long}`);
  await expect(line(page, /^line 1: hay$/)).toBeVisible();
  await page.keyboard.press("/");
  await page.keyboard.type("the needle");
  await expect(page.locator(".log-count")).toHaveText("1 / 1");
  const hit = line(page, "line 271828: the needle");
  await expect(hit).toBeInViewport();
  await expect(hit.locator("mark")).toHaveText("the needle");
  // Its context is shown in the log and in the list.
  await expect(line(page, /^line 271827: hay$/)).toBeVisible();
  await page.getByRole("button", { name: /List matches/ }).click();
  await expect(page.locator(".log-hit .log-text")).toHaveText([
    /271826/,
    /271827/,
    /271828/,
    /271829/,
    /271830/,
  ]);
  await shot(page, "search");
});

test("n and N step through matches, with patterns and case", async ({ page }) => {
  await page.goto(`${server.url}/executions/${long}`);
  await expect(line(page, /^line 1: hay$/)).toBeVisible();
  await page.keyboard.press("/");
  await page.keyboard.type("line 100[05]00:");
  await expect(page.locator(".log-count")).toHaveText("No matches");
  await page.getByRole("button", { name: "Regular expression" }).click();
  await expect(page.locator(".log-count")).toHaveText("1 / 2");
  await expect(line(page, /^line 100000: hay$/)).toBeInViewport();
  await page.locator(".log-scroll").focus();
  await page.keyboard.press("n");
  await expect(page.locator(".log-count")).toHaveText("2 / 2");
  await expect(line(page, /^line 100500: hay$/)).toBeInViewport();
  await page.keyboard.press("N");
  await expect(line(page, /^line 100000: hay$/)).toBeInViewport();
  await page.keyboard.press("/");
  await page.keyboard.type("LINE 7:");
  await expect(page.locator(".log-count")).toHaveText(/No matches|1 \/ /);
  await page.getByRole("button", { name: "Match case" }).click();
  await expect(page.locator(".log-count")).toHaveText("No matches");
  await page.locator(".log-find input").fill("(");
  await expect(page.locator(".log-find input")).toHaveAttribute("aria-invalid", "true");
});

test("links to lines open at them, and clicks select lines", async ({ page }) => {
  await page.goto(`${server.url}/executions/${long}#L150000-L150003`);
  await expect(line(page, /^line 150000: hay$/)).toBeInViewport();
  await expect(page.locator(".log-row[data-selected]")).toHaveCount(4);
  await page.locator(".log-line[data-seq='150005'] .log-number").click();
  await expect(page).toHaveURL(/#L150005$/);
  await page.locator(".log-line[data-seq='150002'] .log-number").click({ modifiers: ["Shift"] });
  await expect(page).toHaveURL(/#L150002-L150005$/);
  await expect(page.locator(".log-row[data-selected]")).toHaveCount(4);
  await page.reload();
  await expect(page.locator(".log-row[data-selected]")).toHaveCount(4);
  await expect(line(page, /^line 150002: hay$/)).toBeInViewport();
});

test("colours, progress bars, levels, fields and steps are shown", async ({ page }) => {
  const errors = watchErrors(page);
  await page.goto(`${server.url}/executions/${coloured}`);
  await expect(line(page, "the end")).toBeVisible();
  await expect(page.locator(".ansi-bold.ansi-fg-2")).toHaveText("ok");
  await expect(page.locator(".ansi-italic")).toHaveText("italic");
  await expect(line(page, /^100% done$/)).toBeVisible();
  // The kinds differ by letters, not by colour alone.
  const tagged = (text: string) =>
    page.locator(".log-row").filter({ hasText: text }).locator(".log-tag");
  await expect(tagged("to stderr")).toHaveText("err");
  await expect(tagged("a detail")).toHaveText("dbg");
  await expect(tagged("look at this")).toHaveText("wrn");
  await expect(tagged("this is bad")).toHaveText("ERR");
  await expect(line(page, "look at this").locator(".log-fields")).toHaveText("host=db-1");
  await expect(page.locator(".log-step")).toContainText(["prepare", "inner"]);
  await shot(page, "colours");
  expect(errors).toEqual([]);
});

test("the server filters by level and stream", async ({ page }) => {
  await page.goto(`${server.url}/executions/${coloured}`);
  await expect(line(page, "the end")).toBeVisible();
  await page.getByLabel("Level").selectOption("error");
  await expect(line(page, "this is bad")).toBeVisible();
  await expect(line(page, "to stderr")).toBeVisible();
  await expect(line(page, "the end")).toHaveCount(0);
  await page.getByLabel("Stream").selectOption("log");
  await expect(line(page, "to stderr")).toHaveCount(0);
  await expect(line(page, "this is bad")).toBeVisible();
  await page.getByLabel("Level").selectOption("");
  await expect(line(page, "a detail")).toBeVisible();
});

test("a huge line is cut, names the missing bytes, and unfolds in steps", async ({ page }) => {
  await page.goto(`${server.url}/executions/${coloured}`);
  const huge = line(page, "xxxxxxxx");
  await expect(huge).toBeVisible();
  expect((await huge.textContent())?.length).toBeLessThan(5_000);
  await huge.getByRole("button", { name: /more characters/ }).click();
  await expect.poll(async () => (await huge.textContent())?.length ?? 0).toBeGreaterThan(60_000);
  const rest = huge.getByRole("button", { name: /more characters/ });
  if ((await rest.count()) > 0) await rest.click();
  // The worker keeps 64 KiB of a line, and notes the rest at its end.
  await expect(huge).toContainText(/bytes of this line are not kept$/);
});

test("lines wrap, times are shown, and the log is downloaded", async ({ page }) => {
  await page.goto(`${server.url}/executions/${coloured}`);
  await expect(line(page, "the end")).toBeVisible();
  const widthOf = () =>
    page.locator(".log-scroll").evaluate((element) => element.scrollWidth - element.clientWidth);
  expect(await widthOf()).toBeGreaterThan(1_000);
  await page.keyboard.press("w");
  await expect.poll(widthOf).toBeLessThanOrEqual(1);
  await expect(page.locator(".log-time")).toHaveCount(0);
  await page.keyboard.press("t");
  await expect(page.locator(".log-time").first()).toHaveText(/^\+\d+\.\d{3}$/);
  await page.keyboard.press("t");
  await expect(page.locator(".log-time").first()).toHaveText(/^\d\d:\d\d:\d\d\.\d{3}$/);
  const download = page.waitForEvent("download");
  await page.getByRole("link", { name: "Download" }).click();
  expect((await download).suggestedFilename()).toBe(`${coloured}.log`);
});
