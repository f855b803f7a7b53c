// Failures and extremes: lost servers, broken links, wrong clocks, huge lines and results.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "@playwright/test";
import { line, run, shot, submit, ticked, timing, watchErrors } from "./helpers";
import { cluster, front, type Server, standalone } from "./servers";

let server: Server;

test.beforeAll(async () => {
  server = await standalone({ args: ["--allow-host", "plain.test"] });
});

test.afterAll(async () => server.stop());

test("a lost server is shown as disconnected, and a newer version offers to reload", async ({
  page,
}) => {
  const between = await front(server);
  try {
    await page.goto(`${between.url}/actions`);
    await expect(page.locator(".stream")).toHaveAttribute("data-state", "live");
    await expect(page.locator(".side-end")).toContainText("0.1.0");
    await page.evaluate(() => Object.assign(window, { before: true }));
    await between.down();
    await expect(page.locator(".stream")).toHaveAttribute("data-state", "stale");
    await expect(page.getByRole("link", { name: "colourful" })).toBeVisible();
    // Another page cannot load now; it shows an error, and loads once the server is back.
    await page.getByRole("link", { name: "Workers" }).click();
    await expect(page.getByText("Cannot reach the server")).toBeVisible();
    await expect(page.getByRole("button", { name: /New version/ })).toHaveCount(0);
    await between.up("99.0.0");
    await expect(page.locator(".stream")).toHaveAttribute("data-state", "live", {
      timeout: 20_000,
    });
    await expect(page.locator(".worker")).toBeVisible();
    await expect(page.getByText("Cannot reach the server")).toHaveCount(0);
    await shot(page, "new-version");
    await page.getByRole("button", { name: /New version/ }).click();
    await expect.poll(() => page.evaluate(() => "before" in window)).toBe(false);
    await expect(page.locator(".side-end")).toContainText("99.0.0");
    await expect(page.getByRole("button", { name: /New version/ })).toHaveCount(0);
  } finally {
    await between.stop();
  }
});

test("code that an updated server no longer has makes the page reload once", async ({ page }) => {
  await page.goto(`${server.url}/actions`);
  await expect(page.getByRole("link", { name: "colourful" })).toBeVisible();
  let asked = 0;
  let gone = 1;
  await page.route(/\/ui\/chunks\/log-.*\.js/, (route) => {
    asked += 1;
    return asked <= gone ? route.fulfill({ status: 404, body: "{}" }) : route.continue();
  });
  const id = await run(server.url, "leaf");
  await page.goto(`${server.url}/executions`);
  await page.evaluate(() => Object.assign(window, { before: true }));
  await page.locator(`a[href$="/executions/${id}"]`).first().click();
  // The new page has the code.
  await expect(page.locator("h1")).toContainText("leaf");
  expect(await page.evaluate(() => "before" in window)).toBe(false);

  // The code is still missing after the page was loaded again: it says so, and does not go on.
  await page.goto(`${server.url}/executions`);
  [asked, gone] = [0, 1_000];
  await page.locator(`a[href$="/executions/${id}"]`).first().click();
  await expect(page.getByRole("alert")).toContainText("it may have been updated");
  await shot(page, "missing-part");
  gone = 0;
  await page.getByRole("button", { name: "Retry" }).click();
  await expect(page.locator("h1")).toContainText("leaf");
});

test("a removed execution is not found, even on a page that had it open", async ({
  page,
  context,
}) => {
  const own = await cluster({ args: ["--keep-executions", "1"] });
  try {
    const id = await run(own.url, "colourful");
    await page.goto(`${own.url}/executions/${id}`);
    await expect(line(page, "the end")).toBeVisible();
    const other = await context.newPage();
    for (let turn = 0; turn < 3; turn += 1) await run(own.url, "leaf");
    await expect
      .poll(async () => (await fetch(`${own.url}/api/executions/${id}`)).status, {
        timeout: 20_000,
      })
      .toBe(404);
    await other.goto(`${own.url}/executions/${id}`);
    await expect(other.getByText("Execution not found")).toBeVisible();
    await expect(other.getByText(/removed by the retention limit/)).toBeVisible();
    // The open page loads again after the stream was interrupted.
    await own.restart();
    await expect(page.getByText("Execution not found")).toBeVisible({ timeout: 30_000 });
  } finally {
    await own.stop();
  }
});

test("a log with a line of five megabytes", async ({ page }) => {
  const errors = watchErrors(page);
  const id = await run(server.url, "one_line");
  const began = Date.now();
  await page.goto(`${server.url}/executions/${id}`);
  await expect(line(page, /^before it$/)).toBeVisible();
  await expect(line(page, /^after it$/)).toBeVisible();
  timing("one line of 5 MB: open", Date.now() - began);
  const huge = line(page, "yyyyyyyy");
  expect((await huge.textContent())?.length).toBeLessThan(5_000);
  for (const wrap of [false, true]) {
    if (wrap) await page.keyboard.press("w");
    const more = huge.getByRole("button", { name: /more characters/ });
    while ((await more.count()) > 0) await more.click();
    await expect(huge).toContainText(/49\d{5} bytes of this line are not kept$/);
  }
  await page.keyboard.press("/");
  await page.keyboard.type("after");
  await expect(page.locator(".log-count")).toHaveText("1 / 1");
  await expect(line(page, /^after it$/)).toBeInViewport();
  expect(errors).toEqual([]);
});

test("a result of five megabytes", async ({ page }) => {
  const errors = watchErrors(page);
  const id = await run(server.url, "bulky");
  const began = Date.now();
  await page.goto(`${server.url}/executions/${id}?tab=result`);
  const tree = page.getByRole("group", { name: "Result" });
  await tree.getByRole("button", { name: /60,?000 entries/ }).click();
  timing("a result of 6 MB: open", Date.now() - began);
  await expect(tree.getByRole("button", { name: "59,900 more" })).toBeVisible();
  await expect(tree).toContainText("123456789012345678901234567890");
  expect(await page.locator(".tree *").count()).toBeLessThan(2_000);
  await page.getByRole("tab", { name: "Log" }).click();
  await page.getByRole("tab", { name: /Result/ }).click();
  await expect(tree).toBeVisible();
  expect(errors).toEqual([]);
});

test("a server reached by plain HTTP, where browsers disable some functions", async ({ page }) => {
  const errors = watchErrors(page);
  const id = await run(server.url, "nested");
  const url = server.url.replace("127.0.0.1", "plain.test");
  await page.goto(`${url}/executions/${id}?tab=result`);
  expect(await page.evaluate(() => window.isSecureContext)).toBe(false);
  await expect(page.getByRole("group", { name: "Result" })).toContainText("12345678901234567890");
  await page.getByRole("button", { name: "Copy the ID" }).click();
  await expect(page.getByRole("button", { name: "Copied" })).toBeVisible();
  // Pasting gives the copied text.
  await page.goto(`${url}/actions?q=`);
  await page.getByRole("searchbox").focus();
  await page.keyboard.press("Control+v");
  await expect(page.getByRole("searchbox")).toHaveValue(id);
  expect(errors).toEqual([]);
});

for (const [words, hours] of [
  ["ahead", 5],
  ["behind", -5],
] as const) {
  test(`a browser with a clock that is ${words} shows correct times and durations`, async ({
    page,
  }) => {
    const folder = mkdtempSync(join(tmpdir(), "tinpot-gates-"));
    const gate = join(folder, "gate");
    try {
      await page.clock.setSystemTime(new Date(Date.now() + hours * 3_600_000));
      const id = await submit(server.url, "ticking", { seconds: 60, gate });
      await page.goto(`${server.url}/executions/${id}`);
      await ticked(page, 5);
      const fact = (name: string) =>
        page.locator(".execution-facts > div").filter({ hasText: name }).locator("dd");
      await expect(fact("Started")).toHaveText(/^(just now|\d+ s ago)$/);
      await expect(fact("Duration")).toHaveText(/^\d+ s$/);
      await page.getByRole("tab", { name: /Timeline/ }).click();
      const bar = page.getByRole("table", { name: "Timeline" }).locator(".timeline-time").first();
      await expect(bar).toHaveText(/^…\d+(\.\d)? m?s$/);
      // The bar grows without events of steps.
      await expect(bar).not.toHaveText((await bar.textContent()) ?? "");
      writeFileSync(gate, "");
      await expect(page.locator("h1 .status")).toHaveText("succeeded");
      await page.goto(`${server.url}/executions`);
      await expect(page.locator(".executions tbody tr").first().locator("time")).toHaveText(
        /^(just now|\d+ s ago)$/,
      );
    } finally {
      writeFileSync(gate, "");
      rmSync(folder, { recursive: true, force: true });
    }
  });
}
