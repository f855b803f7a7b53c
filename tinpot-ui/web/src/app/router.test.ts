import { afterEach, beforeEach, expect, test } from "vitest";
import { downloadHref, href } from "./base-path";
import { location, match, navigate, setQuery, startRouter } from "./router";
import { recall, remember } from "./storage";

let stop = (): void => undefined;

function open(base: string, address: string): void {
  document.head.innerHTML = `<base href="${base}">`;
  window.history.replaceState(null, "", address);
  stop = startRouter();
}

beforeEach(() => {
  document.body.innerHTML = '<main id="main" tabindex="-1"></main>';
});
afterEach(() => {
  stop();
  document.head.innerHTML = "";
  window.history.replaceState(null, "", "/");
});

test.each([
  ["/", "/", "/"],
  ["/", "/actions/backup", "/actions/backup"],
  ["/ops/tinpot/", "/ops/tinpot/", "/"],
  ["/ops/tinpot/", "/ops/tinpot/executions/1/", "/executions/1"],
])("below %s the address %s is the page %s", (base, address, path) => {
  open(base, address);
  expect(location.value.path).toBe(path);
});

test("addresses are below the base", () => {
  open("/ops/", "/ops/");
  expect(href("/actions/a")).toBe("/ops/actions/a");
  expect(downloadHref("api/actions")).toBe("/ops/api/actions");
  navigate("/workers?x=1#L3");
  expect(window.location.pathname + window.location.search + window.location.hash).toBe(
    "/ops/workers?x=1#L3",
  );
  expect([location.value.path, location.value.query.get("x"), location.value.hash]).toEqual([
    "/workers",
    "1",
    "#L3",
  ]);
});

test("paths match patterns", () => {
  expect(match("/actions/:name", "/actions/a%2Fb%20c")).toEqual({ name: "a/b c" });
  expect(match("/actions/:name", "/actions/100%")).toEqual({ name: "100%" });
  expect(match("/actions/:name", "/actions")).toBeNull();
  expect(match("/actions/:name", "/actions/")).toBeNull();
  expect(match("/actions", "/workers")).toBeNull();
  expect(match("/embed/executions/:id", "/embed/executions/1")).toEqual({ id: "1" });
});

test("the query changes in place and keeps its other names", () => {
  open("/", "/executions?status=failed&q=x#top");
  const before = window.history.length;
  setQuery({ q: null, action: "backup" });
  expect(window.location.search + window.location.hash).toBe("?status=failed&action=backup#top");
  expect(window.history.length).toBe(before);
});

/** Clicks a link. Returns true if the app handled the click. */
function click(attributes: string, init: MouseEventInit = {}): boolean {
  document.body.insertAdjacentHTML("beforeend", `<a id="link" ${attributes}><b>x</b></a>`);
  const link = document.getElementById("link");
  // jsdom would try to load a link that the app does not handle.
  let taken = false;
  const look = (event: Event): void => {
    taken = event.defaultPrevented;
    event.preventDefault();
  };
  window.addEventListener("click", look, { once: true });
  link?.firstElementChild?.dispatchEvent(
    new MouseEvent("click", { bubbles: true, cancelable: true, ...init }),
  );
  window.removeEventListener("click", look);
  link?.remove();
  return taken;
}

test("the app handles clicks on its own links, and the browser all others", () => {
  open("/ops/", "/ops/");
  expect(click('href="/ops/workers"')).toBe(true);
  expect(location.value.path).toBe("/workers");
  expect(click('href="/ops/queues"', { ctrlKey: true })).toBe(false);
  expect(click('href="/ops/queues" target="_blank"')).toBe(false);
  expect(click('href="/ops/queues" download')).toBe(false);
  expect(click('href="/ops/api/executions/1/logs?format=text"')).toBe(false);
  expect(click('href="/ops/openapi.json"')).toBe(false);
  expect(click('href="/elsewhere"')).toBe(false);
  expect(click('href="https://example.org/ops/queues"')).toBe(false);
  expect(location.value.path).toBe("/workers");
});

test("a new page moves the focus to its content", () => {
  open("/", "/");
  navigate("/workers");
  expect(document.activeElement?.id).toBe("main");
});

test("two mounts on one host do not share remembered values", () => {
  document.head.innerHTML = '<base href="/a/">';
  remember("theme", "dark");
  document.head.innerHTML = '<base href="/b/">';
  expect(recall("theme")).toBeNull();
  document.head.innerHTML = '<base href="/a/">';
  expect(recall("theme")).toBe("dark");
  remember("theme", null);
  expect(recall("theme")).toBeNull();
});
