// Forms: typed values arrive in Python unchanged.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, type Locator, type Page, test } from "@playwright/test";
import { shot, submit, timing, watchErrors } from "./helpers";
import { type Server, standalone } from "./servers";

let server: Server;

test.beforeAll(async () => {
  server = await standalone();
});

test.afterAll(async () => server.stop());

const field = (page: Page, path: string): Locator => page.locator(`[data-path="${path}"]`).first();
const control = (page: Page, path: string): Locator => page.locator(`#p-${path}`);

async function openForm(page: Page, action = "form"): Promise<void> {
  await page.goto(`${server.url}/actions/${action}`);
  await expect(page.getByRole("button", { name: "Run", exact: true })).toBeVisible();
}

/** Runs the form. Returns the type and text of the received parameters by name. */
async function sent(page: Page): Promise<Record<string, [string, string]>> {
  await page.getByRole("button", { name: "Run", exact: true }).click();
  await expect(page).toHaveURL(/\/executions\/[0-9a-f-]{36}/);
  await expect(page.locator("h1 .status")).toHaveText("succeeded");
  const id = /executions\/([0-9a-f-]{36})/.exec(page.url())?.[1] ?? "";
  const view = (await (await fetch(`${server.url}/api/executions/${id}`)).json()) as {
    outcome: { result: Record<string, [string, string]> };
  };
  return view.outcome.result;
}

test("an untouched form runs with the defaults of the function", async ({ page }) => {
  const errors = watchErrors(page);
  await openForm(page);
  await shot(page, "form");
  const got = await sent(page);
  expect(got).toMatchObject({
    text: ["str", "as it was"],
    note: ["NoneType", "None"],
    count: ["NoneType", "None"],
    ratio: ["float", "0.5"],
    colour: ["Colour", "Colour.GREEN"],
    size: ["str", "m"],
    day: ["NoneType", "None"],
    price: ["Decimal", "9.90"],
    either: ["int", "1"],
    loud: ["bool", "False"],
  });
  expect(errors).toEqual([]);
});

test("typed values arrive with their types: numbers, enums, dates, lists", async ({ page }) => {
  await openForm(page);
  await control(page, "text").fill("007");
  await control(page, "note").fill("hello");
  await control(page, "count").fill("12");
  await control(page, "ratio").fill("3");
  await control(page, "colour").selectOption({ label: "RED" });
  await control(page, "size").selectOption({ label: "l" });
  await control(page, "day").fill("2026-02-28");
  await control(page, "price").fill("10.10");
  await control(page, "loud").check();
  const got = await sent(page);
  expect(got).toMatchObject({
    text: ["str", "007"],
    note: ["str", "hello"],
    count: ["int", "12"],
    ratio: ["float", "3.0"],
    colour: ["Colour", "Colour.RED"],
    size: ["str", "l"],
    day: ["date", "2026-02-28"],
    price: ["Decimal", "10.10"],
    loud: ["bool", "True"],
  });
});

test("a blank field is no value, never zero", async ({ page }) => {
  await openForm(page);
  await control(page, "count").fill("5");
  await control(page, "count").fill("");
  await control(page, "note").fill("x");
  await control(page, "note").fill("");
  const got = await sent(page);
  expect(got.count).toEqual(["NoneType", "None"]);
});

test("Enter submits text without a line break, and adds items to a list", async ({ page }) => {
  await openForm(page);
  await control(page, "note").fill("Ada");
  await control(page, "words_5b0_5d").press("Enter");
  await expect(control(page, "words_5b1_5d")).toBeFocused();
  await page.keyboard.type("inserted");
  await page.keyboard.press("Enter");
  await page.keyboard.type("another");
  await control(page, "text").fill("first");
  await control(page, "text").press("Shift+Enter");
  await page.keyboard.type("second");
  await control(page, "note").press("Enter");
  await expect(page).toHaveURL(/\/executions\/[0-9a-f-]{36}/);
  await expect(page.locator("h1 .status")).toHaveText("succeeded");
  const id = /executions\/([0-9a-f-]{36})/.exec(page.url())?.[1] ?? "";
  const view = (await (await fetch(`${server.url}/api/executions/${id}`)).json()) as {
    parameters: unknown;
  };
  expect(view.parameters).toEqual({
    note: "Ada",
    text: "first\nsecond",
    words: ["one", "inserted", "another", "two"],
  });
});

test("a preset is saved, survives a reload, and is shared as a link, without its secret", async ({
  page,
  context,
}) => {
  await context.grantPermissions(["clipboard-read", "clipboard-write"]);
  await openForm(page, "with_secret");
  await control(page, "token").fill("hunter22");
  await control(page, "target").fill("nightly target");
  await page.getByRole("button", { name: "Presets" }).click();
  await page.getByLabel("Save the current parameters as").fill("nightly");
  await page.keyboard.press("Enter");
  await expect(page.getByRole("dialog").getByRole("status")).toHaveText("Saved nightly.");
  await page.getByRole("button", { name: "Copy link", exact: true }).click();
  await expect(page.getByRole("dialog").getByRole("status")).toContainText("Link copied");
  const link = await page.evaluate(() => navigator.clipboard.readText());
  expect(await page.evaluate(() => JSON.stringify({ ...localStorage }))).not.toContain("hunter22");
  expect(link).not.toContain("hunter22");
  await page.reload();
  await page.getByRole("button", { name: "Presets" }).click();
  await page.getByRole("button", { name: "nightly", exact: true }).click();
  await expect(control(page, "target")).toHaveValue("nightly target");
  await expect(page.locator(".from-note")).toContainText("Enter the secrets again.");
  // The values came with the preset, so no arrow offers to reset them.
  await expect(field(page, "target").getByRole("button", { name: /^Reset/ })).toHaveCount(0);
  await page.goto(link);
  await expect(control(page, "target")).toHaveValue("nightly target");
  await expect(control(page, "token")).toHaveValue("");
});

test("Run stays in view in a long form", async ({ page }) => {
  await page.setViewportSize({ width: 1280, height: 500 });
  await openForm(page);
  const submitButton = page.getByRole("button", { name: "Run", exact: true });
  await expect(submitButton).toBeInViewport({ ratio: 1 });
  await page.mouse.wheel(0, 400);
  await expect(submitButton).toBeInViewport({ ratio: 1 });
});

test("form and JSON show the same values, both ways", async ({ page }) => {
  await openForm(page);
  await control(page, "count").fill("9007199254740993");
  await page.getByRole("tab", { name: "JSON" }).click();
  const text = page.getByLabel("Parameters as JSON");
  // The number is not rounded.
  await expect(text).toHaveValue(/"count": 9007199254740993/);
  await text.fill('{"count": 41, "words": ["a", "b", "c"], "either": "text"}');
  await page.getByRole("tab", { name: "Form" }).click();
  await expect(control(page, "count")).toHaveValue("41");
  await page.getByRole("tab", { name: "JSON" }).click();
  await text.fill('{"count": 41,');
  await expect(page.getByRole("tab", { name: "Form" })).toBeDisabled();
  await expect(page.getByRole("button", { name: "Run", exact: true })).toBeDisabled();
  await text.fill('{"count": 42, "words": ["a", "b", "c"], "either": "text"}');
  const got = await sent(page);
  expect(got).toMatchObject({
    count: ["int", "42"],
    either: ["str", "text"],
    words: ["list", "['a', 'b', 'c']"],
    text: ["str", "as it was"],
  });
});

test("an error of the server is shown at its field, and typed values stay", async ({ page }) => {
  await openForm(page);
  await page.route("**/execute", (route) =>
    route.fulfill({
      status: 422,
      contentType: "application/json",
      body: JSON.stringify({
        detail: "parameters: text: is not known here",
        errors: [{ path: "text", message: "is not known here" }],
      }),
    }),
  );
  await control(page, "text").fill("typed");
  await page.getByRole("button", { name: "Run", exact: true }).click();
  await expect(field(page, "text").locator(".field-error")).toHaveText("is not known here");
  await expect(control(page, "text")).toHaveValue("typed");
  await page.unroute("**/execute");
  expect((await sent(page)).text).toEqual(["str", "typed"]);
});

test("the last values are remembered without secrets, and addresses contain none", async ({
  page,
}) => {
  const addresses: string[] = [];
  page.on("request", (request) => addresses.push(request.url()));
  await openForm(page, "with_secret");
  await control(page, "token").fill("hunter22");
  await expect(control(page, "token")).toHaveAttribute("type", "password");
  await control(page, "target").fill("remember me");
  await page.getByRole("button", { name: "Run", exact: true }).click();
  await expect(page.locator("h1 .status")).toHaveText("succeeded");
  await openForm(page, "with_secret");
  await expect(control(page, "target")).toHaveValue("remember me");
  await expect(control(page, "token")).toHaveValue("");
  const stored = await page.evaluate(() => JSON.stringify({ ...localStorage, ...sessionStorage }));
  expect(stored).toContain("remember me");
  expect(stored).not.toContain("hunter22");
  expect(addresses.filter((address) => address.includes("hunter22"))).toEqual([]);
});

test("the form of an execution has its parameters and options", async ({ page }) => {
  const id = await submit(
    server.url,
    "form",
    { text: "as before", count: 3, words: ["x"] },
    { priority: 7, timeout: 90, requested_by: "anna" },
  );
  await page.goto(`${server.url}/executions/${id}`);
  await page.getByRole("link", { name: "Edit and run…" }).click();
  await expect(control(page, "text")).toHaveValue("as before");
  await expect(control(page, "count")).toHaveValue("3");
  await page.locator("details.options summary").click();
  await expect(page.getByLabel("Priority")).toHaveValue("7");
  await expect(page.getByLabel("Timeout")).not.toHaveValue("");
  const got = await sent(page);
  expect(got).toMatchObject({
    text: ["str", "as before"],
    count: ["int", "3"],
    words: ["list", "['x']"],
  });
});

test("2,000 actions and 60 parameters work", async ({ page }) => {
  test.setTimeout(120_000);
  const folder = mkdtempSync(join(tmpdir(), "tinpot-many-"));
  const actions = Array.from(
    { length: 2_000 },
    (_, n) =>
      `@action(group="Group ${n % 20}")\ndef action_${n}(number: int = ${n}):\n    return number\n\n`,
  );
  const parameters = Array.from({ length: 60 }, (_, n) => `parameter_${n}: int = ${n}`).join(", ");
  const wide = `@action\ndef wide(${parameters}):\n    return sum(locals().values())\n\n@action\ndef colourful():\n    pass\n`;
  writeFileSync(join(folder, "many.py"), `from tinpot import action\n\n${actions.join("")}${wide}`);
  const many = await standalone({ actions: folder });
  try {
    await page.goto(`${many.url}/actions`);
    const began = Date.now();
    await expect(page.getByText("action_0", { exact: true })).toBeVisible();
    timing("2,000 actions: list shown after", Date.now() - began);
    const search = page.locator("main input[type=search]");
    await search.fill("action_1999");
    await expect(page.getByText("action_1999", { exact: true })).toBeVisible();
    await expect(page.getByText("action_0", { exact: true })).toHaveCount(0);
    await page.goto(`${many.url}/actions/wide`);
    await expect(page.locator("#p-parameter_59")).toHaveValue("59");
    await page.locator("#p-parameter_30").fill("1030");
    await page.getByRole("button", { name: "Run", exact: true }).click();
    await expect(page.locator("h1 .status")).toHaveText("succeeded");
    await page.getByRole("tab", { name: "Result" }).click();
    await expect(page.getByRole("group", { name: "Result" })).toHaveText(
      String((59 * 60) / 2 + 1_000),
    );
  } finally {
    await many.stop();
    rmSync(folder, { recursive: true, force: true });
  }
});

test("nested fields work: objects, lists, maps, unions, dates with a zone", async ({ browser }) => {
  const context = await browser.newContext({ timezoneId: "America/New_York" });
  const page = await context.newPage();
  const errors = watchErrors(page);
  await openForm(page, "structured");
  await page.getByRole("button", { name: "Run", exact: true }).click();
  // An incomplete form is not sent, and each field shows its error.
  await expect(page.locator(".form-foot")).toContainText(/need/);
  await expect(page).toHaveURL(/actions\/structured/);
  await field(page, "limits.cpu").locator("input").fill("2");
  await control(page, "limits_2enote").fill("typed");
  await control(page, "moment").fill("2026-07-01 09:30");
  await expect(field(page, "moment").getByLabel("Time zone")).toContainText("-04:00");
  const hosts = field(page, "hosts");
  for (const [at, host] of ["b", "a", "gone"].entries()) {
    await hosts.getByRole("button", { name: "Add item" }).click();
    await control(page, `hosts_5b${at}_5d`).fill(host);
  }
  await hosts.getByRole("button", { name: "Remove item 3" }).click();
  await hosts.getByRole("button", { name: "Move item 2 up" }).click();
  const labels = field(page, "labels");
  await labels.getByRole("button", { name: "Add entry" }).click();
  await labels.getByLabel("Name 1", { exact: true }).fill("x");
  await field(page, "labels.x").locator("input.number-control").fill("7");
  const either = field(page, "either");
  await either.getByLabel("Type of value").selectOption({ label: "Limits" });
  await field(page, "either.cpu").locator("input").fill("0.5");
  const flag = page.locator("#p-flag");
  await flag.selectOption({ label: "no" });
  await shot(page, "structured");
  const got = await sent(page);
  expect(got).toEqual({
    limits: ["Limits", "Limits(cpu=2.0, memory=256, note='typed')"],
    moment: ["datetime", "2026-07-01 09:30:00-04:00"],
    hosts: ["list", "['a', 'b']"],
    labels: ["dict", "{'x': 7}"],
    either: ["Limits", "Limits(cpu=0.5, memory=256, note=None)"],
    backup: ["NoneType", "None"],
    flag: ["bool", "False"],
  });
  // The form of that execution sends the same values.
  await page.getByRole("link", { name: "Edit and run…" }).click();
  await expect(control(page, "limits_2enote")).toHaveValue("typed");
  await expect(control(page, "hosts_5b1_5d")).toHaveValue("b");
  expect(await sent(page)).toEqual(got);
  expect(errors).toEqual([]);
  await context.close();
});

test("options are folded at first, and arrive", async ({ page }) => {
  await openForm(page, "leaf");
  const priority = page.getByLabel("Priority");
  await expect(priority).toBeHidden();
  await page.locator("details.options summary").click();
  await priority.fill("high");
  await page.getByRole("button", { name: "Run", exact: true }).click();
  await expect(page.getByText(/must be an integer/)).toBeVisible();
  await priority.fill("9");
  await page.getByLabel("Delay").fill("1s");
  await page.getByLabel("Timeout").fill("1h 30m");
  await page.getByLabel("Idempotency key").fill("once only");
  const asked = page.waitForRequest("**/execute");
  await page.getByRole("button", { name: "Run", exact: true }).click();
  expect(((await asked).postDataJSON() as { options: object }).options).toEqual({
    priority: 9,
    delay: 1,
    timeout: 5400,
    idempotency_key: "once only",
  });
  await expect(page.locator("h1 .status")).toHaveText("succeeded");
  const id = /executions\/([0-9a-f-]{36})/.exec(page.url())?.[1] ?? "";
  const view = (await (await fetch(`${server.url}/api/executions/${id}`)).json()) as Record<
    string,
    unknown
  >;
  expect(view).toMatchObject({ priority: 9, timeout: 5400, idempotency_key: "once only" });
  // The delay counts from the request, a moment before the execution was accepted.
  expect(
    Date.parse(String(view.started_at)) - Date.parse(String(view.accepted_at)),
  ).toBeGreaterThan(500);
  // The same key returns the same execution.
  await openForm(page, "leaf");
  await page.locator("details.options summary").click();
  await page.getByLabel("Idempotency key").fill("once only");
  await page.getByRole("button", { name: "Run", exact: true }).click();
  await expect(page).toHaveURL(new RegExp(id));
});
