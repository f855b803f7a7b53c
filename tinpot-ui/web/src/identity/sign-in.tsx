// The dialog that asks to sign in, on top of the page and what is typed into it.
import { useState } from "preact/hooks";
import { auth, type Me } from "../api/auth";
import { gate } from "../api/gate";
import { ApiError } from "../api/transport";
import { href } from "../app/base-path";
import { lazy } from "../app/lazy";
import { readLocation } from "../app/router";
import { Button, Dialog, useTick } from "../ui";
import { Entry } from "./entry";
import { identity } from "./identity";

/** The fewest characters of a password that are worth sending: the server counts bytes. */
export const PASSWORD_LEAST = 12;

// A server is set up once.
const SetUp = lazy(async () => (await import("../people")).SetUp, { rows: 0 });

export function SignIn() {
  if (!gate.asking.value) return null;
  const { methods, set_up } = identity.options.value;
  if (set_up) return <SetUp />;
  return methods.includes("password") ? <PasswordDialog /> : <ElsewhereDialog />;
}

/** Closes the dialog if there is a page to read without it. */
export function close(): void {
  if (identity.me.peek() !== null) gate.dismiss();
}

/** Returns what is wrong with a sign-in, as a sentence. */
export function refusalOf(error: unknown): string {
  if (!(error instanceof ApiError)) return String(error);
  if (error.unreachable)
    return "Cannot reach the server. Check that it is running, then try again.";
  if (error.status === 401) return "Wrong user or password.";
  if (error.status === 429) return "Too many attempts. Wait, then try again.";
  if (error.status === 503) return "The server is busy. Try again in a moment.";
  return sentence(error.detail);
}

function sentence(text: string): string {
  return `${text.slice(0, 1).toUpperCase()}${text.slice(1).replace(/\.$/, "")}.`;
}

/** Sends a sign-in at a time, and holds its refusal. */
export function useEntry(send: () => Promise<Me>, explain: (error: unknown) => string = refusalOf) {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<string | null>(null);
  const [until, setUntil] = useState(0);
  useTick(until > 0);
  const wait = Math.max(0, Math.ceil((until - Date.now()) / 1000));
  const submit = async (event: Event): Promise<void> => {
    event.preventDefault();
    if (busy || wait > 0) return;
    setBusy(true);
    setError(null);
    setUntil(0);
    try {
      identity.entered(await send());
    } catch (failure) {
      setError(explain(failure));
      if (failure instanceof ApiError && failure.status === 429)
        setUntil(Date.now() + (failure.retryAfter ?? 1) * 1000);
    } finally {
      setBusy(false);
    }
  };
  return { busy, error, wait, submit };
}

function PasswordDialog() {
  const before = identity.me.peek();
  const [user, setUser] = useState(before?.name ?? "");
  const [password, setPassword] = useState("");
  const entry = useEntry(async () => {
    try {
      return await auth.login(user.trim(), password);
    } catch (error) {
      setPassword("");
      throw error;
    }
  });
  const note = identity.ticketProblem.value;
  return (
    <Dialog title="Sign in" class="sign-in" onClose={close}>
      {before !== null && (
        <p class="dialog-text">You were signed out. What you typed on this page is kept.</p>
      )}
      {before === null && note !== null && <p class="dialog-text">{note}</p>}
      <form class="stack" onSubmit={(event) => void entry.submit(event)}>
        <Entry
          label="User"
          value={user}
          onInput={setUser}
          autocomplete="username"
          first={before === null}
        />
        <Entry
          label="Password"
          type="password"
          value={password}
          onInput={setPassword}
          autocomplete="current-password"
          first={before !== null}
        />
        <Foot entry={entry} action="Sign in" disabled={user.trim() === "" || password === ""} />
        <Provider />
      </form>
    </Dialog>
  );
}

interface FootProps {
  entry: ReturnType<typeof useEntry>;
  action: string;
  disabled: boolean;
}

/** The refusal and the button of a sign-in. */
export function Foot({ entry, action, disabled }: FootProps) {
  return (
    <>
      <p class="error-text" role="alert">
        {entry.error}
      </p>
      <Button
        look="primary"
        submit
        busy={entry.busy}
        disabled={disabled || entry.wait > 0}
        class="stack-end"
      >
        {entry.wait > 0 ? `${action} (wait ${entry.wait} s)` : action}
      </Button>
    </>
  );
}

/** The way to the identity provider and back to this page. What was typed on it stays in its tab. */
function Provider() {
  if (!identity.options.value.methods.includes("oidc")) return null;
  const { path, query, hash } = readLocation();
  const to = encodeURIComponent(`${path}?${query}${hash}`);
  return (
    <a
      class="button"
      href={href(`/auth/oidc?to=${to}`)}
      target={identity.me.peek() === null ? undefined : "_blank"}
    >
      Sign in with single sign-on
    </a>
  );
}

/** For servers without passwords: those of one person, and those behind another application. */
function ElsewhereDialog() {
  const [busy, setBusy] = useState(false);
  const [tried, setTried] = useState(false);
  const { ticket, methods } = identity.options.value;
  const note = identity.ticketProblem.value;
  const again = async (): Promise<void> => {
    setBusy(true);
    await identity.check();
    setBusy(false);
    setTried(true);
  };
  return (
    <Dialog title="Sign in" class="sign-in" onClose={close}>
      {note !== null && <p class="dialog-text">{note}</p>}
      <p class="dialog-text">
        {ticket ? (
          <>
            Run <code>tinpot open</code> in a terminal, and open the link that it prints.
          </>
        ) : methods.includes("oidc") ? (
          <Provider />
        ) : (
          "Sign in to the application that this page is part of, in another tab, then try again."
        )}
      </p>
      <p class="error-text" role="alert">
        {tried && !busy && "You are still signed out."}
      </p>
      <div class="dialog-buttons">
        <Button onClick={() => window.location.reload()}>Reload the page</Button>
        <Button look="primary" busy={busy} onClick={() => void again()} data-autofocus>
          Try again
        </Button>
      </div>
    </Dialog>
  );
}
