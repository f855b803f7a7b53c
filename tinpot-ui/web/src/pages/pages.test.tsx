import { cleanup, fireEvent, render, screen, waitFor } from "@testing-library/preact";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { serverClock } from "../api/clock";
import type { ActionView, ExecutionSummary } from "../api/types";
import { overlay, startShortcuts } from "../app/overlays";
import { entries, Palette } from "../app/palette";
import { location, startRouter } from "../app/router";
import { setTheme, theme } from "../app/theme";
import { hub } from "../stream";
import { ActionPage } from "./action";
import { concernsOf } from "./health";
import { filterOf, timesOf } from "./history-filter";
import { groupLoadErrors, loadErrorParts } from "./load-errors";
import { QueuesPage } from "./queues";
import { merge, mergePage, passesFilter } from "./use-executions";
import { WorkersPage } from "./workers";

let answers: Record<string, unknown> = {};
let requests: string[] = [];
let stop = (): void => undefined;

beforeEach(() => {
  document.head.innerHTML = '<base href="/">';
  [answers, requests] = [{}, []];
  vi.stubGlobal("fetch", async (request: Request) => {
    const { pathname: path, search } = new URL(request.url);
    const body = await request.text();
    requests.push(`${request.method} ${path}${body === "" ? "" : ` ${body}`}`);
    const answer = answers[path + search] ?? answers[path];
    if (answer === undefined)
      return new Response(JSON.stringify({ detail: `there is nothing at ${path}` }), {
        status: 404,
      });
    return new Response(typeof answer === "string" ? answer : JSON.stringify(answer), {
      status: 200,
    });
  });
  stop = startRouter();
});
afterEach(() => {
  stop();
  vi.unstubAllGlobals();
  window.history.replaceState(null, "", "/");
  serverClock.reset();
});

function open(address: string): void {
  window.history.replaceState(null, "", address);
  stop();
  stop = startRouter();
}

const execution = (id: string, more: Partial<ExecutionSummary> = {}): ExecutionSummary => ({
  execution_id: id,
  number: 1,
  action_name: "backup",
  queue: "default",
  priority: 0,
  status: "running",
  state: "STARTED",
  error: null,
  attempts: 1,
  requested_by: null,
  accepted_at: "2026-01-31T14:30:00Z",
  started_at: null,
  finished_at: null,
  parameters_preview: null,
  ...more,
});
const backup = (more: Partial<ActionView> = {}): ActionView => ({
  name: "backup",
  group: "Backups",
  description: "",
  queue: "default",
  available: true,
  unavailable: null,
  parameters: {},
  result_schema: null,
  priority: 0,
  timeout: null,
  retries: 0,
  concurrency: null,
  schema: {
    type: "object",
    properties: {
      host: { type: "string" },
      days: { type: "integer", default: 7 },
      password: { type: "string", format: "password", writeOnly: true },
    },
    required: ["host"],
    additionalProperties: false,
  },
  ...more,
});

test("the address gives the filters, and invalid ones are ignored", () => {
  const now = Date.parse("2026-01-31T14:30:00Z");
  const of = (text: string) => filterOf(new URLSearchParams(text), now);
  expect(
    of(
      "status=failed,nonsense,lost&action= backup &since=2026-01-31T14:30:00Z&until=yesterday&before=e1",
    ),
  ).toEqual({
    status: ["failed", "lost"],
    action: "backup",
    since: "2026-01-31T14:30:00.000Z",
    before: "e1",
  });
  expect(of("")).toEqual({});
  expect(of("q=%20a%20%20b%20c%20d%20e%20f%20g%20h%20i&period=1h")).toEqual({
    q: "a b c d e f g h",
    since: "2026-01-31T13:30:00.000Z",
  });
  expect(of(`q=${"x".repeat(300)}`).q?.length).toBe(200);
  expect(of("period=century")).toEqual({});
});

test("last night was from 18:00 to 8:00 in the zone of the browser", () => {
  expect(timesOf("night", Date.parse("2026-01-31T14:30:00Z"))).toEqual({
    since: "2026-01-30T17:00:00.000Z",
    until: "2026-01-31T07:00:00.000Z",
  });
  // The night is not over yet.
  expect(timesOf("night", Date.parse("2026-01-31T03:00:00Z"))).toEqual({
    since: "2026-01-30T17:00:00.000Z",
  });
});

test("changed executions are merged into a list, and removed when they no longer pass", () => {
  const list = [execution("3"), execution("1")];
  const ids = (found: ExecutionSummary[]): string[] => found.map((one) => one.execution_id);
  expect(ids(merge(list, [execution("2"), execution("4")], {}, false))).toEqual([
    "4",
    "3",
    "2",
    "1",
  ]);
  // A full page keeps its length; executions beyond it begin the next page, even if there was none.
  const full = mergePage({ executions: list, next: null }, [execution("4")], {}, 2);
  expect([ids(full.executions), full.next]).toEqual([["4", "3"], "3"]);
  const room = mergePage({ executions: list, next: "1" }, [execution("4")], {}, 3);
  expect([ids(room.executions), room.next]).toEqual([["4", "3", "1"], "1"]);
  // An older page takes no new executions.
  expect(
    merge(list, [execution("4"), execution("1", { status: "failed" })], {}, true).map(
      (one) => one.status,
    ),
  ).toEqual(["running", "failed"]);
  // An execution that has ended leaves the list of running ones.
  expect(
    ids(merge(list, [execution("3", { status: "failed" })], { status: ["running"] }, false)),
  ).toEqual(["1"]);
  expect(passesFilter({ action: "x" }, execution("1"))).toBe(false);
  expect(passesFilter({ since: "2026-02-01T00:00:00Z" }, execution("1"))).toBe(false);
  expect(passesFilter({ until: "2026-02-01T00:00:00Z", queue: "default" }, execution("1"))).toBe(
    true,
  );
});

test("the form of a recorded execution has its values and options, without secrets", async () => {
  answers = {
    "/api/actions/backup": backup(),
    "/api/executions": { executions: [], next: null },
    "/api/queues": { queues: [] },
    "/api/workers": { workers: [] },
    "/api/executions/e1":
      '{"execution_id":"e1","action_name":"backup","queue":"fast","priority":5,"timeout":null,"retries":0,"parameters":{"host":"alpha","days":9007199254740993,"password":"***"}}',
    "/api/actions/backup/execute": { execution_id: "e2" },
  };
  open("/actions/backup?from=e1");
  render(<ActionPage name="backup" />);
  expect((await screen.findByLabelText<HTMLInputElement>(/^days/)).value).toBe("9007199254740993");
  expect(screen.getByLabelText<HTMLInputElement>(/^password/).value).toBe("");
  expect(screen.getByLabelText<HTMLInputElement>("Queue").value).toBe("fast");
  fireEvent.submit(document.querySelector("form") as HTMLFormElement);
  await waitFor(() => expect(location.value.path).toBe("/executions/e2"));
  expect(requests).toContain(
    'POST /api/actions/backup/execute {"parameters":{"host":"alpha","days":9007199254740993},"options":{"priority":5,"queue":"fast"}}',
  );
});

test("the last values are remembered without secrets, until they are reset", async () => {
  answers = {
    "/api/actions/backup": backup(),
    "/api/executions": { executions: [], next: null },
    "/api/queues": { queues: [] },
    "/api/workers": { workers: [] },
    "/api/actions/backup/execute": { execution_id: "e2" },
  };
  const first = render(<ActionPage name="backup" />);
  fireEvent.input(await screen.findByLabelText(/^host/), { target: { value: "alpha" } });
  fireEvent.input(screen.getByLabelText(/^password/), { target: { value: "hunter2" } });
  fireEvent.submit(document.querySelector("form") as HTMLFormElement);
  await waitFor(() => expect(location.value.path).toBe("/executions/e2"));
  expect(JSON.stringify({ ...window.localStorage })).not.toContain("hunter2");
  expect(window.location.href).not.toContain("hunter2");
  first.unmount();
  render(<ActionPage name="backup" />);
  expect((await screen.findByLabelText<HTMLTextAreaElement>(/^host/)).value).toBe("alpha");
  expect(screen.getByLabelText<HTMLInputElement>(/^password/).value).toBe("");
  fireEvent.click(screen.getByText("Reset to defaults"));
  expect(screen.getByLabelText<HTMLTextAreaElement>(/^host/).value).toBe("");
});

test("an unavailable action shows the reason, and an unknown one is not found", async () => {
  answers = {
    "/api/actions/backup": backup({ available: false, unavailable: "no live worker offers it" }),
    "/api/executions": { executions: [], next: null },
    "/api/queues": { queues: [] },
    "/api/workers": { workers: [] },
  };
  render(<ActionPage name="backup" />);
  expect((await screen.findByText(/no live worker offers it/i)).textContent).toContain(
    "Not available.",
  );
  render(<ActionPage name="gone" />);
  expect(await screen.findByText("Action gone not found")).toBeTruthy();
});

test("an action shows its maximum run time, which the API writes as 3600.0", async () => {
  const text = JSON.stringify(backup({ timeout: 3600 }));
  answers = {
    "/api/actions/backup": text.replace('"timeout":3600', '"timeout":3600.0'),
    "/api/executions": { executions: [], next: null },
    "/api/queues": { queues: [] },
    "/api/workers": { workers: [] },
  };
  render(<ActionPage name="backup" />);
  expect((await screen.findByText("1 h")).closest("span")?.textContent).toBe(
    "maximum run time 1 h",
  );
});

test("equal load errors of several workers are one card", () => {
  const error = { place: "a.py", message: "SyntaxError" };
  const notice = { place: "c.py", message: "imported late", notice: true };
  expect(
    groupLoadErrors([
      { id: "1", name: "w1", problems: [error, notice] },
      { id: "2", name: "", problems: [{ ...error }, { place: "b.py", message: "x" }] },
    ]),
  ).toEqual([
    { error, workers: ["w1", "2"] },
    { error: { place: "b.py", message: "x" }, workers: ["2"] },
  ]);
});

test.each([
  [
    "a reload that failed",
    'Traceback (most recent call last):\n  File "bad.py", line 3\n    def f(:\n          ^\nSyntaxError: invalid syntax\nThe last good version of bad.py stays in use.',
    "SyntaxError: invalid syntax",
    "The last good version of bad.py stays in use.",
  ],
  [
    "an exception with a message of several lines",
    'Traceback (most recent call last):\n  File "a.py", line 1, in <module>\npkg.ValidationError: 2 errors\nhost\n  is required\nThe changes of a.py are not used yet. The last good versions stay in use.',
    "pkg.ValidationError: 2 errors",
    "The changes of a.py are not used yet. The last good versions stay in use.",
  ],
  [
    "a syntax error, which has no traceback",
    '  File "/x/bad.py", line 2\n    def f(:\n          ^\nSyntaxError: invalid syntax',
    "SyntaxError: invalid syntax",
    null,
  ],
  ["an exception without a message", 'Traceback (x):\n  File "a.py"\nKeyError', "KeyError", null],
  ["a message of one line", "two actions have the name a", "two actions have the name a", null],
  ["other text", "cannot use a.py:\nthe name is taken", "cannot use a.py:", null],
])("the headline of %s names the error", (_, message, headline, note) => {
  expect(loadErrorParts(message)).toMatchObject({ headline, note });
});

test("load errors, paused queues and missing workers need attention", () => {
  const queue = {
    name: "gpu",
    waiting: 2,
    granted: 0,
    delayed: 0,
    workers: 1,
    paused: true,
    paused_at: null,
    oldest_accepted_at: null,
    reason: null,
  };
  const worker = {
    id: "w1",
    name: "one",
    queues: [],
    groups: [],
    slots: 1,
    actions: [],
    python_environments: [],
    problems: ["a", "b", "c", "d"].map((name) => ({ place: `/x/${name}.py`, message: "KeyError" })),
    executions: [],
    running: [],
    silent_for: 60,
    last_beat_seconds: 60,
    version: null,
    draining: false,
    started_at: null,
  };
  const texts = (...args: Parameters<typeof concernsOf>) =>
    concernsOf(...args).map(({ text }) => text);
  expect(texts([worker], [queue])).toEqual([
    "Cannot load a.py, b.py, c.py and 1 more.",
    "Not responding: one.",
    "Queue gpu is paused. 2 executions queued.",
  ]);
  const notice = { place: "/x/e.py", message: "imported late", notice: true };
  expect(texts([{ ...worker, problems: [notice], silent_for: 1 }], [])).toEqual([]);
  expect(texts([], [])).toEqual(["No live workers. Executions wait until a worker starts."]);
  expect(
    texts([{ ...worker, problems: [], silent_for: 1 }], [{ ...queue, paused: false, workers: 0 }]),
  ).toEqual(["No worker serves queue gpu. 2 executions queued."]);
  expect(texts([{ ...worker, problems: [], silent_for: 1 }], [queue], "default")).toEqual([]);
  expect(texts(undefined, undefined)).toEqual([]);
});

test("a queue shows why it waits, and is paused", async () => {
  const queue = {
    name: "gpu",
    waiting: 3,
    granted: 0,
    delayed: 0,
    workers: 0,
    paused: false,
    paused_at: null,
    oldest_accepted_at: "2026-01-31T14:30:00Z",
    reason: "no live worker serves it",
  };
  answers = {
    "/api/queues": { queues: [queue] },
    "/api/queues/gpu/pause": { ...queue, paused: true },
  };
  render(<QueuesPage />);
  expect(await screen.findByText("no live worker serves it")).toBeTruthy();
  answers["/api/queues"] = {
    queues: [{ ...queue, paused: true, paused_at: "2026-01-31T14:30:00Z", reason: "paused" }],
  };
  fireEvent.click(screen.getByRole("button", { name: "Pause gpu" }));
  expect(await screen.findByRole("button", { name: "Resume gpu" })).toBeTruthy();
  expect(requests).toContain("POST /api/queues/gpu/pause");
});

test("while the server is unreachable, loaded data stays and only the header shows it", async () => {
  const queue = {
    name: "gpu",
    waiting: 0,
    granted: 0,
    delayed: 0,
    workers: 1,
    paused: false,
    paused_at: null,
    oldest_accepted_at: null,
    reason: null,
  };
  answers = { "/api/queues": { queues: [queue] }, "/api/queues/gpu/pause": {} };
  hub.state.value = "live";
  render(<QueuesPage />);
  const pause = await screen.findByRole("button", { name: "Pause gpu" });
  vi.stubGlobal("fetch", async (request: Request) => {
    if (request.url.endsWith("/pause")) return new Response("{}");
    throw new TypeError("Failed to fetch");
  });
  fireEvent.click(pause);
  // While the stream is live, the error is shown like any other.
  expect((await screen.findByRole("alert")).textContent).toContain("Cannot reach the server");
  hub.state.value = "stale";
  await waitFor(() => expect(screen.queryByRole("alert")).toBeNull());
  expect(screen.getByText("gpu")).toBeTruthy();
  hub.state.value = "connecting";
});

test("draining a worker needs confirmation", async () => {
  const worker = {
    id: "w1",
    name: "one",
    queues: [],
    groups: [],
    slots: 2,
    actions: ["a"],
    problems: [{ place: "late.py", message: "each interpreter imports this\nmore", notice: true }],
    python_environments: [],
    executions: ["e1"],
    running: [
      {
        execution_id: "e1",
        action_name: "backup",
        attempt: 1,
        since: "2026-01-31T14:30:00Z",
        held_for: 1,
        started: true,
        waits: false,
      },
    ],
    silent_for: 0.2,
    version: "0.1.0",
    draining: false,
    started_at: null,
  };
  answers = { "/api/workers": { workers: [worker] }, "/api/workers/w1/drain": {} };
  render(<WorkersPage />);
  fireEvent.click(await screen.findByText("Drain…"));
  const notice = screen.getByText("each interpreter imports this").closest("details");
  expect(notice?.className).toBe("load-error notice");
  expect(screen.getByRole("dialog").textContent).toContain("finishes 1 attempt");
  expect(requests.some((one) => one.includes("drain"))).toBe(false);
  fireEvent.click(screen.getByRole("button", { name: "Drain" }));
  await waitFor(() => expect(screen.queryByRole("dialog")).toBeNull());
  expect(requests).toContain("POST /api/workers/w1/drain");
});

test("a Python environment that cannot be built shows its reason and its log", async () => {
  const failed = {
    place: "reports/requirements.txt",
    state: "failed",
    since: "2026-01-31T14:30:00Z",
    asked: ["reports/requirements.txt"],
    key: "9f86d081884c",
    python: null,
    installer: null,
    packages: 0,
    bytes: 0,
    reason: "no version of tinpot_one",
  };
  const ready = { ...failed, place: "a.py", state: "ready", python: "3.12.1", reason: null };
  const worker = {
    id: "w1",
    name: "one",
    queues: [],
    groups: [],
    slots: 2,
    actions: [],
    problems: [],
    python_environments: [failed, { ...ready, installer: "uv", packages: 1, bytes: 2048 }],
    executions: [],
    running: [],
    silent_for: 0.2,
    version: null,
    draining: false,
    started_at: null,
  };
  answers = {
    "/api/workers": { workers: [worker] },
    "/api/workers/w1": {
      ...worker,
      python_environments: [{ ...failed, log: "$ pip install\nERROR: none" }, ready],
    },
  };
  render(<WorkersPage />);
  const reason = await screen.findByText("no version of tinpot_one");
  expect(screen.getByText("ready")).toBeTruthy();
  expect(screen.getByText(/^Python 3\.12\.1 · uv · 1 package · /)).toBeTruthy();
  expect(requests).not.toContain("GET /api/workers/w1");
  const details = reason.closest("details") as HTMLDetailsElement;
  details.open = true;
  fireEvent(details, new Event("toggle"));
  expect(await screen.findByText(/ERROR: none/)).toBeTruthy();
});

test("a refused drain is shown in the dialog", async () => {
  answers = {
    "/api/workers": {
      workers: [
        {
          id: "w1",
          name: "one",
          queues: [],
          groups: [],
          slots: 1,
          actions: [],
          problems: [],
          python_environments: [],
          executions: [],
          running: [],
          silent_for: 0,
        },
      ],
    },
  };
  render(<WorkersPage />);
  fireEvent.click(await screen.findByText("Drain…"));
  fireEvent.click(screen.getByRole("button", { name: "Drain" }));
  expect((await screen.findByRole("alert")).textContent).toContain("there is nothing at");
});

test("the palette finds pages, actions, and executions by id", () => {
  const id = "019aa0ff-7c1e-7b2a-9f00-00d4a51000aa";
  const found = (query: string) => entries(query, [backup()], [execution(id)]).map((one) => one.to);
  expect(found("back")[0]).toBe("/actions/backup");
  expect(found("queues")[0]).toBe("/queues");
  expect(found("…4a51000aa")[0]).toBe(`/executions/${id}`);
  expect(found("00d4a5")[0]).toBe(`/executions/${id}`);
  const number = execution(id).number;
  expect(found(`#${number}`)[0]).toBe(`/executions/${id}`);
  expect(found(String(number))[0]).toBe(`/executions/${id}`);
  const other = id.replace("aa", "bb");
  expect(found(other)).toEqual([`/executions/${other}`]);
  expect(found("failed ex")[0]).toBe("/executions?status=failed,timed_out,lost");
  expect(found("a&b c").pop()).toBe("/executions?q=a%26b%20c");
  expect(found("")).toContain("/workers");
});

test("the palette asks for an execution by its number", async () => {
  const id = "019aa0ff-7c1e-7b2a-9f00-00d4a51000aa";
  answers = {
    "/api/actions": {},
    "/api/executions": { executions: [], next: null },
    "/api/executions?number=4711&limit=1": { executions: [execution(id, { number: 4711 })] },
  };
  render(<Palette onClose={() => undefined} />);
  const input = screen.getByRole("combobox");
  fireEvent.input(input, { target: { value: "#4711" } });
  await screen.findByText("#4711");
  fireEvent.keyDown(input, { key: "Enter" });
  expect(location.value.path).toBe(`/executions/${id}`);
});

test("two thousand actions are searched without delay", () => {
  const many = Array.from({ length: 2000 }, (_, at) =>
    backup({ name: `job_${at}`, group: `group ${at % 40}` }),
  );
  const began = performance.now();
  for (const query of ["j", "jo", "job", "job_19", "job_1999", "xyz"]) entries(query, many, []);
  expect((performance.now() - began) / 6).toBeLessThan(50);
});

test("the palette works by keyboard", async () => {
  answers = {
    "/api/actions": { backup: backup() },
    "/api/executions": { executions: [], next: null },
  };
  const onClose = vi.fn();
  render(<Palette onClose={onClose} />);
  const input = screen.getByRole("combobox");
  expect(document.activeElement).toBe(input);
  fireEvent.input(input, { target: { value: "w" } });
  fireEvent.keyDown(input, { key: "ArrowDown" });
  fireEvent.keyDown(input, { key: "ArrowUp" });
  expect(
    document.getElementById(input.getAttribute("aria-activedescendant") ?? "")?.textContent,
  ).toContain("Workers");
  fireEvent.keyDown(input, { key: "Enter" });
  expect(onClose).toHaveBeenCalled();
  expect(location.value.path).toBe("/workers");
});

test("keys open the palette, the shortcuts and pages, except while the user types", () => {
  const end = startShortcuts();
  fireEvent.keyDown(document.body, { key: "k", ctrlKey: true });
  expect(overlay.value).toBe("palette");
  overlay.value = null;
  render(<Palette onClose={() => undefined} />);
  fireEvent.input(screen.getByRole("combobox"), { target: { value: "dark" } });
  fireEvent.keyDown(screen.getByRole("combobox"), { key: "Enter" });
  expect(theme.value).toBe("dark");
  setTheme("system");
  cleanup();
  fireEvent.keyDown(document.body, { key: "g" });
  fireEvent.keyDown(document.body, { key: "q" });
  expect(location.value.path).toBe("/queues");
  document.body.insertAdjacentHTML("beforeend", '<input id="typing">');
  fireEvent.keyDown(document.getElementById("typing") as HTMLElement, { key: "?" });
  expect(overlay.value).toBeNull();
  document.getElementById("typing")?.remove();
  fireEvent.keyDown(document.body, { key: "?" });
  expect(overlay.value).toBe("shortcuts");
  overlay.value = null;
  end();
});
