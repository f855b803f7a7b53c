// Logs that are open while an action writes them.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, type Page, test } from "@playwright/test";
import { ended, lastSeq, line, shot, submit, ticked, visibleLines, watchErrors } from "./helpers";
import { type Cluster, cluster } from "./servers";

let server: Cluster;
let folder: string;

test.beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "tinpot-gates-"));
  server = await cluster();
});

test.afterAll(async () => {
  await server.stop();
  rmSync(folder, { recursive: true, force: true });
});

let gates = 0;
/** Submits an execution that writes until its gate is opened. */
async function ticking(every = 0.05): Promise<{ id: string; open: () => void }> {
  gates += 1;
  const gate = join(folder, `gate-${gates}`);
  const id = await submit(server.url, "ticking", { seconds: 100, every, gate });
  return { id, open: () => writeFileSync(gate, "") };
}

/** Returns the lines of the log by number; all of them have to be rendered. */
async function shown(page: Page): Promise<Map<number, string>> {
  const rows = await page
    .locator(".log-scroll .log-line")
    .evaluateAll((lines) =>
      lines.map(
        (row) =>
          [
            Number((row as HTMLElement).dataset.seq),
            row.querySelector(".log-text")?.textContent ?? "",
          ] as const,
      ),
    );
  return new Map(rows);
}

test("two pages show the same log, regardless of when they were opened", async ({ browser }) => {
  const { id, open } = await ticking();
  const [first, second] = [await browser.newPage(), await browser.newPage()];
  await first.goto(`${server.url}/executions/${id}`);
  await ticked(first, 11);
  await second.goto(`${server.url}/executions/${id}`);
  await ticked(second, 11);
  open();
  for (const page of [first, second]) {
    await expect(line(page, /^the last line$/)).toBeVisible();
    await expect(page.locator("h1 .status")).toHaveText("succeeded");
  }
  const [a, b] = [await shown(first), await shown(second)];
  const common = [...a.keys()].filter((seq) => b.has(seq));
  expect(common.length).toBeGreaterThan(10);
  for (const seq of common) expect(b.get(seq)).toBe(a.get(seq));
  // Both pages have the log from its first line on.
  for (const page of [first, second]) {
    await page.locator(".log-scroll").focus();
    await page.keyboard.press("g");
    await expect(line(page, /^tick 1$/)).toBeVisible();
  }
  await Promise.all([first.close(), second.close()]);
});

test("scrolling up stops following, and the button resumes it", async ({ page }) => {
  const { id, open } = await ticking(0.02);
  await page.goto(`${server.url}/executions/${id}`);
  await ticked(page, 60);
  await expect(page.getByRole("button", { name: /Follow/ })).toHaveAttribute(
    "aria-pressed",
    "true",
  );
  await page.locator(".log-scroll").hover();
  await page.mouse.wheel(0, -300);
  await expect(page.getByRole("button", { name: /Follow/ })).toHaveAttribute(
    "aria-pressed",
    "false",
  );
  const at = (await visibleLines(page)).first;
  const pill = page.getByRole("button", { name: /new lines?$/ });
  await expect(pill).toBeVisible();
  await expect(pill).toHaveText(/[3-9]\d new lines|\d{3} new lines/);
  // The lines on the screen do not move.
  expect((await visibleLines(page)).first).toBe(at);
  await shot(page, "pill");
  await pill.click();
  await expect(pill).toHaveCount(0);
  await expect.poll(async () => (await visibleLines(page)).atBottom).toBe(true);
  const before = (await visibleLines(page)).last;
  await expect.poll(async () => (await visibleLines(page)).last).toBeGreaterThan(before);
  open();
  await expect(line(page, /^the last line$/)).toBeInViewport();
});

test("a reload while an action writes loses no lines", async ({ page }) => {
  const { id, open } = await ticking();
  await page.goto(`${server.url}/executions/${id}`);
  await ticked(page, 10);
  await page.reload();
  await ticked(page, 25);
  open();
  await expect(line(page, /^the last line$/)).toBeVisible();
  await page.locator(".log-scroll").focus();
  await page.keyboard.press("g");
  await expect(line(page, /^tick 1$/)).toBeVisible();
});

test("after a restart of the coordinator the log has all lines, each once", async ({ page }) => {
  test.setTimeout(120_000);
  const errors = watchErrors(page);
  const { id, open } = await ticking(0.2);
  await page.goto(`${server.url}/executions/${id}`);
  await ticked(page, 5);
  await expect(page.locator(".stream")).toHaveAttribute("data-state", "live");
  await server.restart(async () => {
    await expect(page.locator(".stream")).toHaveAttribute("data-state", "stale", {
      timeout: 20_000,
    });
    await shot(page, "stale");
    // The loaded lines stay.
    await ticked(page, 5);
  });
  await expect(page.locator(".stream")).toHaveAttribute("data-state", "live", { timeout: 30_000 });
  const reached = (await visibleLines(page)).last;
  // Waits for the server first, so that a failure shows which of the two lacks lines.
  await expect
    .poll(() => lastSeq(server.url, id), { timeout: 30_000 })
    .toBeGreaterThan(reached + 3);
  await expect
    .poll(async () => (await visibleLines(page)).last, { timeout: 10_000 })
    .toBeGreaterThan(reached + 3);
  open();
  await expect(line(page, /^the last line$/)).toBeVisible({ timeout: 30_000 });
  await expect(page.locator("h1 .status")).toHaveText("succeeded", { timeout: 20_000 });
  expect(await ended(server.url, id)).toBe("succeeded");
  const ticks = [...(await shown(page)).values()]
    .filter((text) => text.startsWith("tick "))
    .map((text) => Number(text.slice(5)));
  // All lines are rendered, including those written without a coordinator.
  expect(ticks[0]).toBe(1);
  expect(ticks.length).toBeGreaterThanOrEqual(8);
  for (let at = 1; at < ticks.length; at += 1) expect(ticks[at]).toBe((ticks[at - 1] ?? 0) + 1);
  expect(errors).toEqual([]);
});
