import { fireEvent, render, screen, waitFor } from "@testing-library/preact";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { AuthOptions, Me } from "../api/auth";
import { api } from "../api/client";
import { gate } from "../api/gate";
import { ApiError } from "../api/transport";
import { administration, pages } from "../app/sections";
import { chooseTeam, chosenTeam } from "../app/storage";
import { RunLink } from "../pages/action-list";
import { identity, takeTicket } from "./identity";
import { SignIn } from "./sign-in";
import { roleOf, YouMenu } from "./you-menu";

const ADA: Me = {
  id: "u-1",
  name: "ada",
  team: "default",
  via: "sign_in",
  server_admin: false,
  rights: ["see_action", "run", "read"],
  has_password: true,
  apps: false,
  valid_until: null,
};
const OPTIONS: AuthOptions = {
  methods: ["password"],
  ticket: true,
  set_up: false,
  anonymous: false,
  insecure: false,
  device: false,
};

type Answer = [status: number, body: unknown, headers?: Record<string, string>];

/** The answers to come of each route; the last one is repeated. */
let answers: Record<string, Answer[]> = {};
let requests: string[] = [];

beforeEach(() => {
  document.head.innerHTML = '<base href="/">';
  answers = { "/api/auth/options": [[200, OPTIONS]], "/api/auth/me": [[401, {}]] };
  requests = [];
  vi.stubGlobal("fetch", async (request: Request) => {
    const path = new URL(request.url).pathname;
    const body = await request.text();
    requests.push(`${request.method} ${path}${body === "" ? "" : ` ${body}`}`);
    const list = answers[path] ?? [[404, { detail: "there is nothing here" }]];
    const [status, answer, headers] = (list.length > 1 ? list.shift() : list[0]) as Answer;
    return new Response(status === 204 ? null : JSON.stringify(answer), {
      status,
      headers: headers ?? {},
    });
  });
  identity.options.value = OPTIONS;
});
afterEach(() => {
  gate.dismiss();
  gate.closed.value = false;
  gate.helps = true;
  identity.me.value = null;
  identity.ticketProblem.value = null;
  identity.setUpTicket = "";
  vi.unstubAllGlobals();
  window.history.replaceState(null, "", "/");
});

async function enter(user: string, password: string): Promise<void> {
  fireEvent.input(screen.getByLabelText("User"), { target: { value: user } });
  fireEvent.input(screen.getByLabelText("Password"), { target: { value: password } });
  fireEvent.click(await screen.findByRole("button", { name: /Sign in/ }));
}

test("refused requests wait for the sign-in, and are repeated with their bodies", async () => {
  answers["/api/queues"] = [
    [401, {}],
    [200, { queues: [] }],
  ];
  answers["/api/actions/backup/execute"] = [
    [401, {}],
    [200, { execution_id: "e1" }],
  ];
  answers["/api/auth/login"] = [
    [401, { detail: "wrong" }],
    [200, ADA],
  ];
  render(<SignIn />);
  expect(screen.queryByRole("dialog")).toBeNull();
  const queues = api.queues();
  const run = api.execute("backup", '{"parameters":{"host":"a"}}');
  await screen.findByRole("dialog", { name: "Sign in" });
  await enter("ada", "not this one");
  await waitFor(() => expect(screen.getByRole("alert").textContent).toMatch(/^Wrong user/));
  expect((screen.getByLabelText("User") as HTMLInputElement).value).toBe("ada");
  expect((screen.getByLabelText("Password") as HTMLInputElement).value).toBe("");
  await enter("ada", "correct horse");
  expect(await queues).toEqual({ queues: [] });
  expect(await run).toEqual({ execution_id: "e1" });
  await waitFor(() => expect(screen.queryByRole("dialog")).toBeNull());
  expect(requests.filter((one) => one.startsWith("POST /api/actions"))).toEqual(
    Array(2).fill('POST /api/actions/backup/execute {"parameters":{"host":"a"}}'),
  );
  expect(identity.me.value?.name).toBe("ada");
});

test("too many attempts name the time to wait, and a lost server is no wrong password", async () => {
  gate.close();
  answers["/api/auth/login"] = [
    [503, {}],
    [429, {}, { "retry-after": "34" }],
  ];
  render(<SignIn />);
  await enter("ada", "one");
  await waitFor(() => expect(screen.getByRole("alert").textContent).toMatch(/is busy/));
  await enter("ada", "two");
  await waitFor(() => expect(screen.getByRole("alert").textContent).toMatch(/Too many attempts/));
  const button = screen.getByRole("button") as HTMLButtonElement;
  expect(button.textContent).toBe("Sign in (wait 34 s)");
  expect(button.disabled).toBe(true);
});

test("a dialog that is closed refuses what waits, and changes ask again", async () => {
  answers["/api/queues"] = [[401, {}]];
  identity.me.value = ADA;
  render(<SignIn />);
  const queues = api.queues().catch((error: unknown) => error);
  fireEvent.keyDown(await screen.findByRole("dialog"), { key: "Escape" });
  expect(await queues).toBeInstanceOf(ApiError);
  expect(screen.queryByRole("dialog")).toBeNull();
  // A reload by a timer does not ask.
  await expect(api.queues()).rejects.toThrow(/signed out/);
  expect(screen.queryByRole("dialog")).toBeNull();
  const paused = api.pause("default").catch(() => undefined);
  expect(await screen.findByRole("dialog")).toBeDefined();
  gate.dismiss();
  await paused;
});

test("a server that lets every request in never asks to sign in", async () => {
  answers = {
    "/api/auth/options": [[200, { ...OPTIONS, methods: [], anonymous: true }]],
    "/api/auth/me": [[200, { ...ADA, via: "anonymous" }]],
    "/api/queues": [[401, { detail: "a proxy says no" }]],
  };
  render(<SignIn />);
  await identity.start(null);
  expect(identity.signedIn).toBe(false);
  expect(administration()).toEqual([]);
  await expect(api.queues()).rejects.toThrow("a proxy says no");
  expect(screen.queryByRole("dialog")).toBeNull();
});

test("an identity provider gets a link that leads back to the page", async () => {
  window.history.replaceState(null, "", "/actions?q=a#L3");
  gate.close();
  identity.options.value = { ...OPTIONS, methods: ["password", "oidc"] };
  const view = render(<SignIn />);
  const link = () => screen.getByRole("link", { name: "Sign in with single sign-on" });
  expect(link().getAttribute("href")).toBe("/auth/oidc?to=%2Factions%3Fq%3Da%23L3");
  expect(link().getAttribute("target")).toBeNull();
  view.unmount();
  // What a person has typed is kept in its tab.
  identity.me.value = ADA;
  identity.options.value = { ...OPTIONS, methods: ["oidc"], ticket: false };
  render(<SignIn />);
  expect(link().getAttribute("target")).toBe("_blank");
  expect(screen.queryByLabelText("User")).toBeNull();
});

test("people whom a proxy signs in manage what they may, and sign out there", () => {
  identity.me.value = { ...ADA, via: "proxy", has_password: false, rights: ["manage_team"] };
  expect(identity.signedIn && identity.manages("manage_team")).toBe(true);
  expect(identity.hasPassword).toBe(false);
});

test("a ticket leaves the address at once, is sent once, and its refusal is explained", async () => {
  window.history.replaceState(null, "", "/actions?ticket=t%2B1&q=a#L3");
  const ticket = takeTicket();
  expect(ticket).toBe("t+1");
  expect(window.location.href).toMatch(/\/actions\?q=a#L3$/);
  expect(takeTicket()).toBeNull();
  answers["/api/auth/ticket"] = [[200, ADA]];
  await identity.start(ticket);
  expect(requests).toContain('POST /api/auth/ticket {"ticket":"t+1"}');
  expect(requests.some((one) => one.includes("/me"))).toBe(false);
  expect(identity.me.value?.name).toBe("ada");

  identity.me.value = null;
  answers["/api/auth/ticket"] = [[401, {}]];
  await identity.start("old");
  render(<SignIn />);
  expect(screen.getByText("This link has been used or has expired.")).toBeDefined();
});

test("the first user is made with the ticket of the address", async () => {
  answers["/api/auth/options"] = [[200, { ...OPTIONS, set_up: true }]];
  answers["/api/auth/set-up"] = [[200, ADA]];
  await identity.start("first");
  expect(requests.some((one) => one.includes("/ticket"))).toBe(false);
  render(<SignIn />);
  // Its code is loaded when it is shown.
  await screen.findByRole("dialog", { name: "Set up Tinpot" });
  const type = (label: string, value: string) =>
    fireEvent.input(screen.getByLabelText(label), { target: { value } });
  const button = () => screen.getByRole("button") as HTMLButtonElement;
  type("User", "ada");
  type("Password", "short");
  type("Password again", "short");
  await waitFor(() => expect(screen.getByLabelText("Password again")).toBeDefined());
  expect(button().disabled).toBe(true);
  type("Password", "long enough now");
  type("Password again", "long enough now");
  await waitFor(() => expect(button().disabled).toBe(false));
  fireEvent.click(button());
  await waitFor(() => expect(identity.me.value?.name).toBe("ada"));
  expect(requests.at(-1)).toBe(
    'POST /api/auth/set-up {"ticket":"first","user":"ada","password":"long enough now"}',
  );
});

test("people see what they may do, and their strongest role", () => {
  render(<RunLink name="backup" />);
  // As long as it is unknown, the server decides.
  expect(screen.getByRole("link", { name: "Run backup" })).toBeDefined();
  identity.me.value = { ...ADA, rights: ["see_action", "read"] };
  return waitFor(() => {
    expect(screen.queryByRole("link")).toBeNull();
    expect(pages().map(({ title }) => title)).toEqual(["Overview", "Actions", "History"]);
    expect(roleOf({ ...ADA, rights: ["read"] })).toBe("viewer");
    expect(roleOf(ADA)).toBe("operator");
    expect(roleOf({ ...ADA, rights: ["manage_team"], server_admin: true })).toBe(
      "admin, server admin",
    );
    expect(roleOf({ ...ADA, rights: [] })).toBe("no role");
  });
});

test("who is in several teams switches between them, and others see nothing of teams", () => {
  const teams = [
    { id: "t1", name: "billing" },
    { id: "t2", name: "shop" },
  ];
  const me: Me = { ...ADA, rights: ["manage_server"] };
  const titles = (): string[] => administration().map(({ title }) => title);
  identity.me.value = me;
  expect(titles()).toEqual([]);
  const { rerender } = render(<YouMenu me={me} />);
  fireEvent.click(screen.getByRole("button", { name: /ada/ }));
  expect(screen.queryByText(/team/i)).toBeNull();
  identity.me.value = { ...me, team: "t1", teams };
  expect(titles()).toEqual(["Teams"]);
  rerender(<YouMenu me={identity.me.value} />);
  expect(screen.getByText("Team billing")).toBeDefined();
  expect(screen.queryByText("Switch to team billing")).toBeNull();
  expect(screen.getByText("Switch to team shop")).toBeDefined();
  expect(chosenTeam()).toBe("");
  chooseTeam("t2");
  expect(chosenTeam()).toBe("t2");
  expect(document.cookie).toContain("tinpot-team-");
  chooseTeam("");
  expect(chosenTeam()).toBe("");
});
