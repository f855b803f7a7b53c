// Measures the waiting times of the web UI: `npm run bench`, with a release build of `tinpot`.
//
// Prints medians and asserts nothing, because machines differ. The clock of the page measures the
// time from an action of the user to the frame that shows its effect. `npm run bench -- 9 tabs` takes
// the medians of 9 runs, and measures one part alone.
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, normalize, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { type Browser, chromium, type Page } from "@playwright/test";
import config from "../playwright.config";

const HERE = dirname(fileURLToPath(import.meta.url));
process.env.TINPOT_E2E_BIN ??= resolve(HERE, "../../../target/release");
const { cluster, front, standalone } = await import("../e2e/servers");
const { lastSeq, run, submit } = await import("../e2e/helpers");

const RUNS = Number(process.argv[2] ?? 9);
const LINES = 300_000;

interface Measured {
  what: string;
  unit: string;
  must?: number;
  aim?: number;
  values: number[];
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return ((sorted[(sorted.length - 1) >> 1] ?? NaN) + (sorted[sorted.length >> 1] ?? NaN)) / 2;
}

function print({ what, unit, must, aim, values }: Measured): void {
  const limits = must === undefined ? "" : `  (must ${must}, aim ${aim})`;
  const range =
    values.length > 1
      ? `  [${Math.round(Math.min(...values))} … ${Math.round(Math.max(...values))}]`
      : "";
  console.log(
    `${what.padEnd(58)} ${median(values)
      .toFixed(unit === "cores" ? 3 : 1)
      .padStart(7)} ${unit}${range}${limits}`,
  );
}

/**
 * Returns the milliseconds from an action in the page to the first frame in which `shown` is true.
 */
async function timed(page: Page, act: string, shown: string): Promise<number> {
  return page.evaluate(`new Promise((done, failed) => {
    const began = performance.now();
    ${act};
    const look = () => {
      if (${shown}) requestAnimationFrame(() => done(performance.now() - began));
      else if (performance.now() - began > 20000) failed(new Error("is not shown: " + ${JSON.stringify(shown)}));
      else requestAnimationFrame(look);
    };
    look();
  })`);
}

const go = (path: string): string =>
  `history.pushState(null, "", ${JSON.stringify(path)}); dispatchEvent(new PopStateEvent("popstate"))`;
const lineShown = (text: string): string =>
  `[...document.querySelectorAll(".log-scroll .log-text")].some((line) => line.textContent === ${JSON.stringify(text)})`;

/** Measures a first load in a new context, without caches. */
async function fresh(browser: Browser, url: string, shown: string): Promise<number> {
  const context = await browser.newContext();
  const page = await context.newPage();
  // The page records the time itself, because a request from outside would arrive late.
  await page.addInitScript(`window.shownAt = new Promise((done) => {
    const look = () => {
      if (${shown}) requestAnimationFrame(() => done(performance.now()));
      else requestAnimationFrame(look);
    };
    look();
  })`);
  await page.goto(url);
  const at = await page.evaluate<number>("window.shownAt");
  await context.close();
  return at;
}

async function repeated(measure: () => Promise<number>): Promise<number[]> {
  const values: number[] = [];
  for (let turn = 0; turn < RUNS; turn += 1) values.push(await measure());
  return values;
}

/** Prints the sizes that the tests of `tinpot-ui` bound. */
function sizes(): void {
  const dist = resolve(HERE, "../../dist");
  const text = (name: string): string => readFileSync(join(dist, name), "utf8");
  const sent = (names: Iterable<string>): number =>
    [...names].reduce(
      (sum, name) => sum + gzipSync(readFileSync(join(dist, name)), { level: 9 }).length / 1000,
      0,
    );
  const files = readdirSync(dist, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(relative(dist, entry.parentPath), entry.name));
  const first = new Set<string>();
  const visit = (name: string): void => {
    if (first.has(name)) return;
    first.add(name);
    if (!/\.(html|js)$/.test(name)) return;
    for (const [, next = ""] of text(name).matchAll(/"ui\/([^"]+)"/g)) visit(next);
    for (const [, next = ""] of text(name).matchAll(/(?:from|import)"(\.[^"]+)"/g))
      visit(normalize(join(dirname(name), next)));
  };
  visit("index.html");
  visit("stream-worker.js");
  const unit = "kB";
  const what = "compressed size of";
  print({ what: `${what} a first visit`, unit, must: 70, aim: 60, values: [sent(first)] });
  print({
    what: `${what} everything`,
    unit,
    must: 150,
    aim: 80,
    values: [sent(files)],
  });
}

async function logs(browser: Browser): Promise<void> {
  const server = await standalone();
  try {
    const long = await run(server.url, "many", { lines: LINES }, 120_000);
    const short = await run(server.url, "leaf");
    const first = await repeated(() =>
      fresh(browser, `${server.url}/actions`, `document.querySelectorAll(".card a").length > 5`),
    );
    print({
      what: "first load, fresh context: the actions can be used",
      unit: "ms",
      must: 500,
      aim: 150,
      values: first,
    });
    print({
      what: "first load, fresh context: straight to the long log",
      unit: "ms",
      values: await repeated(() =>
        fresh(browser, `${server.url}/executions/${long}`, lineShown("line 1: hay")),
      ),
    });

    const page = await browser.newPage({ viewport: { width: 1280, height: 800 } });
    await page.goto(`${server.url}/executions/${short}`);
    const [opened, jumped, found]: [number[], number[], number[]] = [[], [], []];
    for (let turn = 0; turn < RUNS; turn += 1) {
      await page.waitForSelector(".log-frame");
      opened.push(await timed(page, go(`/executions/${long}`), lineShown("line 1: hay")));
      const key = `document.querySelector(".log-scroll").dispatchEvent(new KeyboardEvent("keydown", { key: "G", bubbles: true, cancelable: true }))`;
      jumped.push(await timed(page, key, lineShown(`line ${LINES}: hay`)));
      const search = `const input = document.querySelector(".log-find input"); input.value = "the needle"; input.dispatchEvent(new InputEvent("input", { bubbles: true }))`;
      found.push(await timed(page, search, lineShown("line 271828: the needle")));
      await timed(
        page,
        go(`/executions/${short}`),
        `document.querySelector("h1")?.textContent.includes("leaf")`,
      );
    }
    print({
      what: "300,000 lines: open to the first line",
      unit: "ms",
      must: 300,
      aim: 100,
      values: opened,
    });
    print({
      what: "300,000 lines: jump to the end",
      unit: "ms",
      must: 300,
      aim: 100,
      values: jumped,
    });
    print({
      what: "300,000 lines: from the last key to the hit of a search",
      unit: "ms",
      must: 500,
      aim: 150,
      values: found,
    });
    await page.close();
  } finally {
    await server.stop();
  }
}

/** Measures the processor time of the coordinator while 30 tabs show a log of 1,000 lines a second. */
async function tabs(browser: Browser): Promise<void> {
  const server = await cluster();
  const between = await front(server);
  const seconds = 10;
  const during = async (id: string): Promise<{ cores: number; lines: number }> => {
    const [began, first] = [server.cpuSeconds(), await lastSeq(server.url, id)];
    await new Promise((done) => setTimeout(done, seconds * 1_000));
    const [ended, last] = [server.cpuSeconds(), await lastSeq(server.url, id)];
    return { cores: (ended - began) / seconds, lines: (last - first) / seconds };
  };
  try {
    const id = await submit(server.url, "ticking", { seconds: 600, every: 0.0009 });
    const alone = await during(id);
    const context = await browser.newContext({ viewport: { width: 1280, height: 800 } });
    for (let at = 0; at < 30; at += 1) {
      const page = await context.newPage();
      await page.goto(`${between.url}/executions/${id}`);
      await page.waitForSelector(".log-line");
    }
    const watched = await during(id);
    print({
      what: "30 tabs, 1,000 lines/s: connections for events",
      unit: "",
      must: 2,
      aim: 1,
      values: [between.mostStreams()],
    });
    print({
      what: "30 tabs, 1,000 lines/s: processor of the coordinator",
      unit: "cores",
      aim: 0.1,
      must: 0.2,
      values: [watched.cores],
    });
    print({ what: "the same without a tab", unit: "cores", values: [alone.cores] });
    // A busy machine writes fewer lines, which the numbers above do not show.
    print({
      what: "lines a second in fact, with the tabs and without",
      unit: "",
      values: [watched.lines, alone.lines],
    });
    await fetch(`${server.url}/api/executions/${id}/cancel`, { method: "POST" });
    await context.close();
  } finally {
    await between.stop();
    await server.stop();
  }
}

async function many(browser: Browser): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "tinpot-bench-"));
  const actions = Array.from(
    { length: 2_000 },
    (_, n) =>
      `@action(group="Group ${n % 20}")\ndef action_${n}(number: int = ${n}):\n    """Does number ${n}."""\n    return number\n\n`,
  );
  const parameters = Array.from({ length: 60 }, (_, n) => `parameter_${n}: int = ${n}`).join(", ");
  writeFileSync(
    join(folder, "many.py"),
    `from tinpot import action\n\n${actions.join("")}@action\ndef wide(${parameters}):\n    return 0\n`,
  );
  const server = await standalone({ actions: folder, ready: /"wide"/ });
  try {
    const list = `document.querySelectorAll(".card a").length >= 100`;
    const form = `document.querySelector("#p-parameter_59") !== null`;
    print({
      what: "2,000 actions: first load of the list, fresh context",
      unit: "ms",
      values: await repeated(() => fresh(browser, `${server.url}/actions`, list)),
    });
    const page = await browser.newPage({ viewport: { width: 1280, height: 800 } });
    await page.goto(`${server.url}/queues`);
    const [listed, filtered, wide]: [number[], number[], number[]] = [[], [], []];
    for (let turn = 0; turn < RUNS; turn += 1) {
      await page.waitForSelector("h1");
      listed.push(await timed(page, go("/actions"), list));
      const search = `const input = document.querySelector("#action-search"); input.value = "action_1999"; input.dispatchEvent(new InputEvent("input", { bubbles: true }))`;
      filtered.push(await timed(page, search, `document.querySelectorAll(".card a").length === 1`));
      wide.push(await timed(page, go("/actions/wide"), form));
      await timed(page, go("/queues"), `document.querySelector("h1")?.textContent === "Queues"`);
    }
    print({ what: "2,000 actions: the list again", unit: "ms", values: listed });
    print({ what: "2,000 actions: filtered to one", unit: "ms", values: filtered });
    print({ what: "60 parameters: the form", unit: "ms", values: wide });
    await page.close();
  } finally {
    await server.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

const browser = await chromium.launch(config.use?.launchOptions ?? {});
try {
  console.log(`medians of ${RUNS} runs, with the least and the most`);
  const parts = { sizes, tabs, logs, many };
  const wanted = process.argv[3];
  for (const [name, measure] of Object.entries(parts))
    if (wanted === undefined || wanted === name) await measure(browser);
} finally {
  await browser.close();
}
