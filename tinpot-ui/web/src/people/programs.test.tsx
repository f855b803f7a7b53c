import { fireEvent, render, screen, waitFor, within } from "@testing-library/preact";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { identity } from "../identity/identity";
import { ProgramPage, ProgramsPage } from "./programs";

const CREATED = "2026-11-29T12:00:00Z";
const LIMITS = { actions: null, groups: null, queues: null, environments: null, own_only: false };
const TOKEN = {
  name: "nightly",
  principal_name: "deployer",
  scopes: ["run"],
  created_at: CREATED,
  expires_at: null,
  last_used_at: null,
  revoked: false,
  hint: "abcd",
};
let requests: string[] = [];
let programs: object[] = [];
let failing = "";

function answer(method: string, path: string): Response {
  if (failing !== "" && `${method} ${path}` === failing)
    return Response.json({ detail: "not now" }, { status: 503 });
  if (method === "DELETE") return new Response(null, { status: 204 });
  if (method === "POST" && path === "/api/programs")
    return Response.json({ id: "program:2", name: "reporter", created_at: CREATED });
  if (method === "POST" && path === "/api/tokens")
    return Response.json({ token: { ...TOKEN, id: "t-3" }, secret: "tpt_secret" });
  if (method === "POST") return Response.json({ id: "g-9" });
  switch (path) {
    case "/api/programs":
      return Response.json({ programs });
    case "/api/tokens":
      return Response.json({
        tokens: [
          { ...TOKEN, id: "t-1", principal: "program:1" },
          { ...TOKEN, id: "t-2", principal: "user:1", name: "of a person" },
        ],
      });
    default:
      return Response.json({
        grants: [
          { id: "g-1", to: { program: "program:1" }, role: "operator", ...LIMITS },
          { id: "g-2", to: { program: "program:1" }, role: "viewer", ...LIMITS, actions: ["a"] },
          { id: "g-3", to: { user: "user:1" }, role: "admin", ...LIMITS },
        ],
      });
  }
}

beforeEach(() => {
  document.head.innerHTML = '<base href="/">';
  requests = [];
  failing = "";
  programs = [{ id: "program:1", name: "deployer", created_at: CREATED }];
  vi.stubGlobal("fetch", async (request: Request) => {
    const { pathname } = new URL(request.url);
    const body = await request.text();
    if (request.method !== "GET") requests.push(`${request.method} ${pathname} ${body}`.trim());
    return answer(request.method, pathname);
  });
  identity.me.value = {
    id: "user:1",
    name: "ada",
    team: "default",
    via: "sign_in",
    server_admin: false,
    rights: ["manage_team"],
    has_password: false,
    apps: false,
    valid_until: null,
  };
});
afterEach(() => {
  identity.me.value = null;
  vi.unstubAllGlobals();
});

test("programs are listed with their roles and the number of their tokens", async () => {
  render(<ProgramsPage />);
  const row = (await screen.findByRole("link", { name: "deployer" })).closest("tr");
  const cells = within(row as HTMLElement);
  await waitFor(() => expect(cells.getByText("operator")).toBeDefined());
  expect(cells.getByText("viewer, limited")).toBeDefined();
  await waitFor(() => expect(cells.getByText("1")).toBeDefined());
  expect(cells.queryByText("admin")).toBeNull();
});

test("a program is added with a role, once, also if the grant fails at first", async () => {
  programs = [];
  failing = "POST /api/grants";
  render(<ProgramsPage />);
  expect(await screen.findByText("No programs yet")).toBeDefined();
  fireEvent.click(screen.getByRole("button", { name: "Add program…" }));
  fireEvent.input(screen.getByLabelText("Name"), { target: { value: " reporter " } });
  fireEvent.click(screen.getByRole("button", { name: "Add program" }));
  expect(await screen.findByText(/not now/)).toBeDefined();
  failing = "";
  fireEvent.click(screen.getByRole("button", { name: "Add program" }));
  await waitFor(() => expect(screen.queryByRole("dialog")).toBeNull());
  expect(requests.filter((one) => one.startsWith("POST /api/programs"))).toEqual([
    'POST /api/programs {"name":"reporter"}',
  ]);
  expect(requests.at(-1)).toContain('"to":{"program":"program:2"},"role":"operator"');
});

test("the tokens and grants of a program are its own", async () => {
  render(<ProgramPage id="program:1" />);
  expect(await screen.findByText("nightly")).toBeDefined();
  expect(screen.queryByText("of a person")).toBeNull();
  expect(screen.getByText("actions: a")).toBeDefined();
  fireEvent.click(screen.getByRole("button", { name: "Create token…" }));
  const form = within(screen.getByRole("dialog", { name: "Create token" }));
  // It may have rights that the person has not.
  expect(form.getByRole("checkbox", { name: /^deploy/ })).toBeDefined();
  fireEvent.input(form.getByLabelText("Name"), { target: { value: "nightly" } });
  fireEvent.click(form.getByRole("button", { name: "Create token" }));
  expect(await screen.findByLabelText("Secret of the token")).toBeDefined();
  expect(requests.at(-1)).toContain('"principal":"program:1"');
  fireEvent.click(screen.getByRole("button", { name: "Done" }));

  fireEvent.click(screen.getByRole("button", { name: "Remove the grant of deployer: viewer" }));
  fireEvent.click(screen.getByRole("button", { name: "Remove grant" }));
  await waitFor(() => expect(requests.at(-1)).toBe("DELETE /api/grants/g-2"));
});

test("a program that is not there, and a person without the right, get a word", async () => {
  const { unmount } = render(<ProgramPage id="program:7" />);
  expect(await screen.findByText("No such program")).toBeDefined();
  unmount();
  if (identity.me.value !== null) identity.me.value = { ...identity.me.value, rights: ["read"] };
  render(<ProgramsPage />);
  expect(await screen.findByText("Not allowed")).toBeDefined();
});
