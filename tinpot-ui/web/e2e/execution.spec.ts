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

test("a failure shows its error, and its traceback on request", async ({ page }) => {
  const id = await run(server.url, "failing");
  await page.goto(`${server.url}/executions/${id}`);
  const failure = page.getByRole("group", { name: "Error" });
  await expect(failure).toContainText("ValueError");
  await expect(failure).toContainText("the disk is full");
  await expect(failure.locator("pre")).toBeHidden();
  await failure.getByText("Traceback", { exact: true }).click();
  await expect(failure.locator("pre")).toContainText("in inner");
  await shot(page, "failure");
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
