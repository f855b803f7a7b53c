// The page of one execution, except for its log.
import { expect, test } from "@playwright/test";
import { ended, line, run, shot, statusOf, submit, watchErrors } from "./helpers";
import { type Server, standalone } from "./servers";

let server: Server;

test.beforeAll(async () => {
  server = await standalone();
});

test.afterAll(async () => server.stop());

test("the page shows the facts, the result, the artifacts and the summary", async ({ page }) => {
  const errors = watchErrors(page);
  const id = await submit(server.url, "nested", { lines: 2 }, { requested_by: "anna" });
  await ended(server.url, id);
  await page.goto(`${server.url}/executions/${id}`);
  await expect(page.locator("h1")).toContainText("nested");
  await expect(page.locator("h1 .status")).toHaveText("succeeded");
  await expect(page.locator(".execution-facts")).toContainText("anna");
  await expect(page.locator(".execution-facts")).toContainText("dev-");
  await expect(page.locator(".execution-facts")).toContainText("default");
  await page.getByRole("tab", { name: /Result/ }).click();
  await expect(page.getByRole("heading", { name: "Report" })).toBeVisible();
  await expect(page.locator(".summary-text td").first()).toHaveText("users");
  // A number that JavaScript would round.
  await expect(page.locator(".tree")).toContainText("12345678901234567890");
  const file = page.getByRole("link", { name: "report.txt" });
  const download = page.waitForEvent("download");
  await file.click();
  expect((await download).suggestedFilename()).toBe("report.txt");
  await shot(page, "result");
  expect(errors).toEqual([]);
});

test("the timeline has a bar per attempt, step and child", async ({ page }) => {
  const id = await run(server.url, "nested", { lines: 2 });
  await page.goto(`${server.url}/executions/${id}?tab=timeline`);
  const rows = page.getByRole("table", { name: "Timeline" }).getByRole("row");
  await expect(rows.filter({ hasText: "Attempt 1" })).toBeVisible();
  for (const name of ["collect", "inner", "call others"])
    await expect(rows.filter({ hasText: name }).first()).toHaveAttribute(
      "data-outcome",
      "succeeded",
    );
  const child = rows.filter({ hasText: "leaf" });
  await expect(child).toHaveAttribute("data-kind", "child");
  await expect(child.locator("i")).toBeVisible();
  await shot(page, "timeline");
  await child.getByRole("link", { name: "leaf" }).click();
  await expect(page.locator("h1")).toContainText("leaf");
  await expect(page.locator(".execution-facts")).toContainText("Parent");
});

test("a failure shows its error, the end of its traceback and the end of its log", async ({
  page,
}) => {
  const id = await run(server.url, "failing");
  await page.goto(`${server.url}/executions/${id}`);
  const failure = page.getByRole("group", { name: "Error" });
  await expect(failure).toContainText("ValueError");
  await expect(failure).toContainText("the disk is full");
  await expect(failure.locator("pre")).toContainText("in inner");
  // The tabs keep their height.
  const tabs = await page.getByRole("tablist", { name: "Execution details" }).boundingBox();
  expect(tabs?.height).toBeGreaterThan(25);
  await shot(page, "failure");

  const deep = await run(server.url, "failing_deeply");
  await page.goto(`${server.url}/executions/${deep}`);
  await expect(line(page, /^line 400$/)).toBeVisible();
  await expect(line(page, /^line 1$/)).toHaveCount(0);
  const shownLines = async (): Promise<number> =>
    ((await failure.locator("pre").textContent()) ?? "").split("\n").length;
  expect(await shownLines()).toBe(12);
  await expect(failure.locator("pre")).toContainText("ValueError: at the bottom");
  await failure.getByRole("button", { name: /Show \d+ earlier lines/ }).click();
  expect(await shownLines()).toBeGreaterThan(12);
  await page.locator(".log-scroll").focus();
  await page.keyboard.press("g");
  await expect(line(page, /^line 1$/)).toBeVisible();
  await page.getByRole("button", { name: "Jump to last line" }).click();
  await expect(line(page, /^line 400$/)).toBeInViewport();
});

test("several attempts are separated, each with its own traceback", async ({ page }) => {
  const id = await run(server.url, "failing_twice");
  await page.goto(`${server.url}/executions/${id}`);
  await expect(page.locator(".log-step[data-attempt]")).toContainText(["Attempt 1", "Attempt 2"]);
  await page.goto(`${server.url}/executions/${id}?tab=timeline`);
  const tracebacks = page.locator(".attempt-traceback");
  await expect(tracebacks).toHaveCount(2);
  await tracebacks.first().locator("summary").click();
  await expect(tracebacks.first().locator("pre")).toContainText("ValueError: again");
});

test("steps fold, and the list of steps leads to their lines", async ({ page }) => {
  const id = await run(server.url, "stepped");
  await page.goto(`${server.url}/executions/${id}`);
  const step = (name: string) => page.locator(".log-step").filter({ hasText: name });
  await expect(step("first")).toContainText("✓");
  await step("first").click();
  await expect(step("first")).toHaveAttribute("aria-expanded", "false");
  await expect(step("first")).toContainText("2,000 lines");
  await expect(line(page, /^first 1$/)).toHaveCount(0);
  await expect(line(page, /^before$/)).toBeVisible();
  await step("first").click();
  await expect(line(page, /^first 1$/)).toBeVisible();
  await page.getByRole("complementary", { name: "Steps" }).getByText("last").click();
  await expect(line(page, /^last 1$/)).toBeInViewport();
  // A search finds a line within a folded step.
  await step("last").click();
  await expect(line(page, /^last 1$/)).toHaveCount(0);
  await page.keyboard.press("/");
  await page.keyboard.type("last 4");
  await expect(line(page, /^last 4$/)).toBeInViewport();
});

test("a search moves the log only to what is not on the screen, and Escape returns", async ({
  page,
}) => {
  const id = await run(server.url, "stepped");
  await page.goto(`${server.url}/executions/${id}`);
  await expect(line(page, /^first 4$/)).toBeVisible();
  const top = async (): Promise<number> =>
    (await page.locator(".log-scroll").boundingBox())?.y ?? 0;
  const scrolled = (): Promise<number> =>
    page.locator(".log-scroll").evaluate((element) => element.scrollTop);
  const before = await top();
  await page.keyboard.press("/");
  await page.keyboard.type("first 4");
  await expect(page.locator(".log-count")).toHaveText(/^1 \/ /);
  expect([await top(), await scrolled()]).toEqual([before, 0]);
  await page.keyboard.type("00");
  await expect(line(page, /^first 400$/)).toBeInViewport();
  await page.keyboard.press("Escape");
  await expect(line(page, /^before$/)).toBeInViewport();
  expect(await top()).toBe(before);
});

test("a queued execution says why it waits, and where", async ({ page }) => {
  const busy = await Promise.all(
    [1, 2, 3].map(() => submit(server.url, "ticking", { seconds: 120 })),
  );
  const first = await submit(server.url, "leaf");
  const id = await submit(server.url, "leaf");
  try {
    await page.goto(`${server.url}/executions/${id}`);
    const card = page.locator(".queued-card");
    await expect(card).toContainText("All matching worker slots are busy");
    await expect(card).toContainText("2 of 2");
    await expect(card).toContainText("default");
    await fetch(`${server.url}/api/executions/${first}/cancel`, { method: "POST" });
    await expect(card).toContainText("1 of 1");
  } finally {
    for (const one of busy)
      await fetch(`${server.url}/api/executions/${one}/cancel`, { method: "POST" });
  }
  await expect(page.locator("h1 .status")).toHaveText("succeeded");
  const delayed = await submit(server.url, "leaf", {}, { delay: 3600 });
  await page.goto(`${server.url}/executions/${delayed}`);
  await expect(page.locator(".queued-card")).toContainText("The start is delayed");
  await expect(page.locator(".queued-card")).toContainText(/in (59|60) min|in 1 h/);
});

test("an execution that timed out names its limit", async ({ page }) => {
  const id = await run(server.url, "too_slow");
  await page.goto(`${server.url}/executions/${id}`);
  await expect(page.locator(".end-note")).toContainText("Timed out after the limit of 0.5 s");
});

test("addresses in the log are links, which do not reach this page", async ({ page }) => {
  const id = await run(server.url, "with_links");
  await page.goto(`${server.url}/executions/${id}`);
  const link = page.locator(".log-text a");
  await expect(link).toHaveText(["https://example.org/a_(b)", "https://example.org/c"]);
  await expect(link.first()).toHaveAttribute("rel", /noopener/);
  await expect(link.first()).toHaveAttribute("target", "_blank");
});

test("several executions are shown side by side", async ({ page }) => {
  const errors = watchErrors(page);
  const [one, two] = [await run(server.url, "leaf"), await submit(server.url, "ticking")];
  await page.goto(`${server.url}/watch?ids=${one},${two},nonsense`);
  const panes = page.locator(".watched");
  await expect(panes).toHaveCount(3);
  await expect(panes.nth(0).locator(".status")).toHaveText("succeeded");
  await expect(
    panes
      .nth(1)
      .locator(".log-text")
      .filter({ hasText: /^tick \d+$/ })
      .first(),
  ).toBeVisible();
  await expect(panes.nth(2)).toContainText("Execution not found");
  await panes
    .nth(2)
    .getByRole("button", { name: /Remove/ })
    .click();
  await expect(page).toHaveURL(new RegExp(`ids=${one}(,|%2C)${two}$`));
  const third = await run(server.url, "failing");
  await page.getByLabel("Execution to add").fill(`${server.url}/executions/${third}`);
  await page.keyboard.press("Enter");
  await expect(panes.nth(2)).toContainText("the disk is full");
  await panes.nth(1).getByRole("button", { name: "Cancel…" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Cancel execution" }).click();
  await expect(panes.nth(1).locator(".status")).toHaveText("cancelled");
  expect(errors.filter((error) => !error.includes("404"))).toEqual([]);
});

test("cancelling needs confirmation, and killing is offered after it", async ({ page }) => {
  const id = await submit(server.url, "stubborn");
  await page.goto(`${server.url}/executions/${id}`);
  await expect(line(page, /^begun$/)).toBeVisible();
  await page.getByRole("button", { name: "Cancel…" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByRole("button", { name: "Keep running" }).click();
  await expect(dialog).toHaveCount(0);
  expect(await statusOf(server.url, id)).toBe("running");
  await page.getByRole("button", { name: "Cancel…" }).click();
  await dialog.getByRole("button", { name: "Cancel execution" }).click();
  await expect(page.locator("h1 .status")).toHaveText("cancelling");
  await page.getByRole("button", { name: "Kill now…" }).click();
  await dialog.getByRole("button", { name: "Kill now" }).click();
  await expect(page.locator("h1 .status")).toHaveText("cancelled");
  await expect(page.getByRole("button", { name: /Cancel…|Kill now…/ })).toHaveCount(0);
});

test("an execution runs again with its secret, or through the form", async ({ page }) => {
  const id = await submit(server.url, "with_secret", { token: "hunter22", target: "there" });
  await ended(server.url, id);
  await page.goto(`${server.url}/executions/${id}`);
  await expect(page.getByRole("link", { name: "Edit and run…" })).toHaveAttribute(
    "href",
    new RegExp(`/actions/with_secret\\?from=${id}$`),
  );
  await page.getByRole("button", { name: "Run again" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Run again" }).click();
  await expect(page).not.toHaveURL(new RegExp(id));
  await expect(page.locator("h1 .status")).toHaveText("succeeded");
  await page.getByRole("tab", { name: /Result/ }).click();
  await expect(page.getByRole("group", { name: "Result" })).toHaveText("8");
});

test("code for an execution has placeholders for its secrets", async ({ page }) => {
  const id = await run(server.url, "with_secret", { token: "hunter22", target: "it's" });
  await page.goto(`${server.url}/executions/${id}?tab=call`);
  for (const kind of ["CLI", "curl", "Python", "Rust"]) {
    await page.getByRole("tab", { name: kind, exact: true }).click();
    const text = page.locator(".copy-as pre");
    await expect(text).toContainText("with_secret");
    await expect(text).toContainText("<token>");
    await expect(text).not.toContainText("hunter22");
  }
  expect(await page.content()).not.toContain("hunter22");
});

test("a large result opens in parts, and one beyond its limit is a failure with the limit", async ({
  page,
}) => {
  const id = await run(server.url, "bulky", { entries: 11_000 });
  await page.goto(`${server.url}/executions/${id}?tab=result`);
  const tree = page.getByRole("group", { name: "Result" });
  await tree.getByRole("button", { name: "[ 11000 entries ]" }).click();
  await expect(tree.getByRole("button", { name: "10,900 more" })).toBeVisible();
  expect(await page.locator(".tree *").count()).toBeLessThan(2_000);
  const refused = await run(server.url, "bounded");
  await page.goto(`${server.url}/executions/${refused}`);
  await expect(page.getByRole("group", { name: "Error" })).toContainText(
    "max_result of 1048576 bytes",
  );
  await expect(page.getByRole("tab", { name: "Log" })).toBeVisible();
});

test("a link to an unknown execution shows that it was not found", async ({ page }) => {
  for (const id of ["0198c0de-0000-7000-8000-000000000000", "nonsense"]) {
    await page.goto(`${server.url}/executions/${id}`);
    await expect(page.getByText("Execution not found")).toBeVisible();
    await expect(page.getByText(id)).toBeVisible();
    await expect(page.getByRole("link", { name: "Browse the history" })).toBeVisible();
  }
  await shot(page, "missing");
});

test("a running execution updates its steps and its status", async ({ page }) => {
  const id = await submit(server.url, "nested", { lines: 30 });
  await page.goto(`${server.url}/executions/${id}?tab=timeline`);
  const collect = page
    .getByRole("table", { name: "Timeline" })
    .getByRole("row")
    .filter({ hasText: "collect" });
  await expect(collect).toHaveAttribute("data-outcome", "pending");
  await expect(collect).toHaveAttribute("data-outcome", "succeeded");
  await expect(page.locator("h1 .status")).toHaveText("succeeded");
});
