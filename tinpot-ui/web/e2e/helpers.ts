// Helpers of the tests: requests to the API, and the state of the log on the screen.
import { mkdirSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, type Page } from "@playwright/test";
import { isTerminal, type Status } from "../src/api/types";

export async function submit(
  server: string,
  action: string,
  parameters: object = {},
  options: object = {},
): Promise<string> {
  const response = await fetch(`${server}/api/actions/${encodeURIComponent(action)}/execute`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ parameters, options }),
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`${action}: ${response.status} ${text}`);
  return (JSON.parse(text) as { execution_id: string }).execution_id;
}

export async function statusOf(server: string, id: string): Promise<Status> {
  const response = await fetch(`${server}/api/executions/${id}`);
  return ((await response.json()) as { status: Status }).status;
}

/** Returns the number of the last line on the server. */
export async function lastSeq(server: string, id: string): Promise<number> {
  const response = await fetch(`${server}/api/executions/${id}/logs?tail=true&limit=1`);
  return ((await response.json()) as { last_seq: number }).last_seq;
}

/** Waits until an execution has ended. Returns its status. */
export async function ended(server: string, id: string, timeout = 60_000): Promise<string> {
  let status: Status = "queued";
  await expect
    .poll(
      async () => {
        status = await statusOf(server, id);
        return isTerminal(status);
      },
      {
        timeout,
        intervals: [50, 100, 200],
      },
    )
    .toBe(true);
  return status;
}

/** Runs an action until it has ended. Returns the id of the execution. */
export async function run(
  server: string,
  action: string,
  parameters: object = {},
  timeout?: number,
): Promise<string> {
  const id = await submit(server, action, parameters);
  await ended(server, id, timeout);
  return id;
}

export interface VisibleLines {
  /** The numbers of the first and the last visible line. */
  first: number;
  last: number;
  /** The number of elements in the viewer. */
  nodes: number;
  atBottom: boolean;
}

/** Returns the part of the log on the screen. */
export async function visibleLines(page: Page): Promise<VisibleLines> {
  return page.evaluate(() => {
    const scroller = document.querySelector(".log-scroll");
    if (scroller === null) throw new Error("the page has no log");
    const frame = scroller.getBoundingClientRect();
    const seen = [...scroller.querySelectorAll<HTMLElement>(".log-line")]
      .filter(
        (line) =>
          line.getBoundingClientRect().bottom > frame.top + 1 &&
          line.getBoundingClientRect().top < frame.bottom - 1,
      )
      .map((line) => Number(line.dataset.seq));
    return {
      first: seen[0] ?? 0,
      last: seen[seen.length - 1] ?? 0,
      nodes: document.querySelectorAll(".log *").length,
      atBottom: scroller.scrollTop + scroller.clientHeight >= scroller.scrollHeight - 2,
    };
  });
}

export function line(page: Page, text: string | RegExp) {
  return page.locator(".log-scroll .log-text").filter({ hasText: text });
}

/** Waits until the page shows a line of `ticking`, the `least`th one or a later one. */
export async function ticked(page: Page, least = 1): Promise<void> {
  const last = async () => {
    const ticks = await line(page, /^tick \d+$/).allTextContents();
    return Math.max(0, ...ticks.map((text) => Number(text.slice("tick ".length))));
  };
  await expect.poll(last).toBeGreaterThanOrEqual(least);
}

/** Collects the errors of a page, such as violations of the content security policy. */
export function watchErrors(page: Page): string[] {
  const errors: string[] = [];
  page.on("pageerror", (error) => errors.push(String(error)));
  page.on("console", (message) => {
    // The browser logs failed requests to a lost server.
    if (message.type() === "error" && !/Failed to load resource|ERR_/.test(message.text()))
      errors.push(message.text());
  });
  return errors;
}

const SHOTS = process.env.TINPOT_E2E_SHOTS;
const DOCS = resolve(dirname(fileURLToPath(import.meta.url)), "../../../docs/images");

/** Saves a picture if TINPOT_E2E_SHOTS names a folder. */
export async function shot(page: Page, name: string): Promise<void> {
  if (SHOTS === undefined) return;
  mkdirSync(SHOTS, { recursive: true });
  await page.screenshot({ path: `${SHOTS}/${name}.png` });
}

/** If true, the pictures of the documentation are saved: `TINPOT_E2E_DOCS=1 npm run e2e`. */
export const savesDocsImages = process.env.TINPOT_E2E_DOCS !== undefined;

export async function docsImage(page: Page, name: string): Promise<void> {
  if (!savesDocsImages) return;
  mkdirSync(DOCS, { recursive: true });
  await page.screenshot({ path: `${DOCS}/${name}.png` });
}

/** Prints a duration. Durations are not asserted, because machines differ. */
export function timing(what: string, ms: number): void {
  console.log(`  ⏱ ${what}: ${Math.round(ms)} ms`);
}
