// Security: output stays text, requests stay on the host, and frames are restricted.
import { createServer } from "node:http";
import { expect, test } from "@playwright/test";
import { line, run, submit, ticked, watchErrors } from "./helpers";
import { freePort, nested, type Server, standalone } from "./servers";

let server: Server;

test.beforeAll(async () => {
  server = await standalone();
});

test.afterAll(async () => server.stop());

test("markup in names, descriptions, parameters, results, steps, summaries and lines stays text", async ({
  page,
}) => {
  const errors = watchErrors(page);
  const name = "<img src=x onerror='window.hacked=1'>";
  const id = await run(server.url, name);
  const failed = await run(server.url, "scripted_failure");
  await submit(server.url, name, {}, { requested_by: "<script>window.hacked = 1</script>" });
  const pages = [
    `executions/${failed}`,
    "queues",
    "workers",
    `executions/${id}`,
    `executions/${id}?tab=result`,
    `executions/${id}?tab=timeline`,
    `executions/${id}?tab=call`,
    `embed/executions/${id}`,
    "actions",
    `actions/${encodeURIComponent(name)}`,
    "executions",
    "",
  ];
  for (const path of pages) {
    await page.goto(`${server.url}/${path}`);
    await expect(page.locator("main h1")).toBeVisible();
    await expect(page.locator(".loading")).toHaveCount(0);
    expect(await page.evaluate(() => (window as { hacked?: number }).hacked)).toBeUndefined();
    expect(await page.locator("img, main script, a[href^='javascript']").count()).toBe(0);
  }
  await page.goto(`${server.url}/executions/${id}?tab=result`);
  await expect(
    page.getByRole("link", { name: "<img src=x onerror=window.hacked=1>.txt" }),
  ).toBeVisible();
  await page.goto(`${server.url}/executions/${id}`);
  await expect(page.locator("h1")).toContainText(name);
  await expect(line(page, "<script>window.hacked = 1</script>").first()).toBeVisible();
  await expect(page.locator(".log-step").filter({ hasText: "<script>" })).toHaveCount(1);
  expect(errors).toEqual([]);
});

test("no request leaves the host, and the content security policy is strict", async ({ page }) => {
  const id = await run(server.url, "colourful");
  const origin = new URL(server.url).origin;
  const elsewhere: string[] = [];
  page.on("request", (request) => {
    if (!request.url().startsWith(origin)) elsewhere.push(request.url());
  });
  const response = await page.goto(`${server.url}/executions/${id}`);
  await expect(line(page, "the end")).toBeVisible();
  for (const path of ["", "actions", "executions", "workers", "queues"]) {
    await page.goto(`${server.url}/${path}`);
    await expect(page.locator("main h1")).toBeVisible();
    await expect(page.locator(".loading")).toHaveCount(0);
  }
  expect(elsewhere).toEqual([]);
  const policy = response?.headers()["content-security-policy"] ?? "";
  expect(policy).toContain("default-src 'none'");
  expect(policy).not.toContain("unsafe");
  const inline = await (await fetch(`${server.url}/`)).text();
  expect(inline).not.toMatch(/<script>|style=|onload=/);
});

test("the view for frames has no controls, and other sites may not frame it unless allowed", async ({
  page,
}) => {
  const id = await submit(server.url, "ticking", { seconds: 3, every: 0.05 });
  await page.goto(`${server.url}/embed/executions/${id}`);
  await ticked(page, 5);
  await expect(page.locator("nav")).toHaveCount(0);
  await expect(page.getByRole("button", { name: /Cancel|Run|Kill/ })).toHaveCount(0);
  await expect(page.getByRole("link", { name: /Edit and run/ })).toHaveCount(0);
  await expect(line(page, /^the last line$/)).toBeVisible();
  await expect(page.locator("h1 .status")).toHaveText("succeeded");

  const port = await freePort();
  const html = `<iframe src="${server.url}/embed/executions/${id}"></iframe><iframe src="${server.url}/executions/${id}"></iframe>`;
  const other = createServer((_request, response) =>
    response.setHeader("content-type", "text/html").end(html),
  );
  await new Promise<void>((done) => other.listen(port, "127.0.0.1", () => done()));
  try {
    await page.goto(`http://127.0.0.1:${port}/`);
    await expect
      .poll(() =>
        page
          .frames()
          .slice(1)
          .map((frame) => frame.url()),
      )
      .toEqual(["chrome-error://chromewebdata/", "chrome-error://chromewebdata/"]);
  } finally {
    await new Promise((done) => other.close(done));
  }
});

test("the UI works below a path of another application", async ({ page }) => {
  const below = await nested();
  try {
    const errors = watchErrors(page);
    const outside: string[] = [];
    page.on("request", (request) => {
      if (!request.url().startsWith(`${below.url}/`) && request.url() !== below.url)
        outside.push(request.url());
    });
    const id = await run(below.url, "greet", { name: "Ada" });
    await page.goto(`${below.url}/executions/${id}?tab=result`);
    await expect(page.getByRole("group", { name: "Result" })).toContainText("Hello, Ada!");
    await expect(page.locator(".stream")).toHaveAttribute("data-state", "live");
    await page.getByRole("link", { name: "Actions", exact: true }).click();
    await expect(page).toHaveURL(`${below.url}/actions`);
    await page.reload();
    await expect(page.getByText("greet").first()).toBeVisible();
    await page.goBack();
    await expect(page.locator("h1")).toContainText("greet");
    expect(outside).toEqual([]);
    expect(errors).toEqual([]);
  } finally {
    await below.stop();
  }
});
