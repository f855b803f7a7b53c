import { fireEvent, render, screen } from "@testing-library/preact";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { identity } from "../identity/identity";
import { DevicePage } from "./device";

const DEVICE = {
  code: "BCDF-GHJK",
  client: "laptop",
  address: "192.0.2.1",
  days: 30,
  scopes: ["all"],
  expires_at: "2026-11-29T12:00:00Z",
};
let requests: string[] = [];
let found = DEVICE;

beforeEach(() => {
  document.head.innerHTML = '<base href="/">';
  requests = [];
  found = DEVICE;
  vi.stubGlobal("fetch", async (request: Request) => {
    const { pathname } = new URL(request.url);
    const body = await request.text();
    requests.push(`${request.method} ${pathname} ${body}`.trim());
    if (request.method === "POST") return new Response(null, { status: 204 });
    const known = pathname.endsWith("/bcdfghjk");
    return Response.json(known ? found : { detail: "code not found" }, {
      status: known ? 200 : 404,
    });
  });
  identity.me.value = {
    id: "u-1",
    name: "ada",
    team: "default",
    via: "sign_in",
    server_admin: false,
    rights: [],
    has_password: false,
    apps: false,
    valid_until: null,
  };
});
afterEach(() => {
  identity.me.value = null;
  vi.unstubAllGlobals();
});

function enter(code: string): void {
  fireEvent.input(screen.getByLabelText("Code"), { target: { value: code } });
  fireEvent.submit(screen.getByLabelText("Code").closest("form") as HTMLFormElement);
}

test("a person sees who asks before signing a program in", async () => {
  render(<DevicePage />);
  enter("wrong");
  expect(await screen.findByText(/code not found/i)).toBeDefined();
  enter(" bcdfghjk ");
  const agree = await screen.findByRole("button", { name: "Sign it in" });
  for (const text of ["laptop", "192.0.2.1", "BCDF-GHJK"])
    expect(screen.getByText(text)).toBeDefined();
  expect(screen.getByText(/If another person gave you the code, refuse/)).toBeDefined();
  expect(requests.every((request) => request.startsWith("GET "))).toBe(true);
  fireEvent.click(agree);
  expect(await screen.findByText("Done. The program is signed in as you.")).toBeDefined();
  expect(requests.at(-1)).toBe('POST /api/auth/device/BCDF-GHJK {"agree":true}');
});

test("a person sees that a program asks to make tokens", async () => {
  found = { ...DEVICE, scopes: ["read", "tokens"] };
  render(<DevicePage />);
  enter("bcdfghjk");
  expect(
    await screen.findByText(/for 30 days, with the scopes read, and to make other tokens/),
  ).toBeDefined();
});

test("a person refuses a program", async () => {
  render(<DevicePage />);
  enter("bcdfghjk");
  fireEvent.click(await screen.findByRole("button", { name: "Refuse" }));
  expect(await screen.findByText(/^Refused/)).toBeDefined();
  expect(requests.at(-1)).toBe('POST /api/auth/device/BCDF-GHJK {"agree":false}');
});
