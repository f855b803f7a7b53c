// The dialog that makes the first user of a server.
import { useState } from "preact/hooks";
import { auth } from "../api/auth";
import { ApiError } from "../api/transport";
import { Entry } from "../identity/entry";
import { identity } from "../identity/identity";
import { close, Foot, PASSWORD_LEAST, refusalOf, useEntry } from "../identity/sign-in";
import { Dialog } from "../ui";

/** Makes the first user of a server that has none. */
export function SetUp() {
  const [ticket, setTicket] = useState(identity.setUpTicket);
  const [user, setUser] = useState("");
  const [password, setPassword] = useState("");
  const [again, setAgain] = useState("");
  const entry = useEntry(
    () => auth.setUp(ticket.trim(), user.trim(), password),
    (error) => {
      if (!(error instanceof ApiError) || error.status !== 401) return refusalOf(error);
      return "This set-up ticket has been used or has expired. Restart the server for another.";
    },
  );
  const short = password !== "" && password.length < PASSWORD_LEAST;
  const differs = again !== "" && again !== password;
  const complete = [ticket, user, password, again].every((text) => text.trim() !== "");
  return (
    <Dialog title="Set up Tinpot" class="sign-in" onClose={close}>
      <p class="dialog-text">
        This server has no users yet. Add the first one, who is an administrator.
      </p>
      <form class="stack" onSubmit={(event) => void entry.submit(event)}>
        {identity.setUpTicket === "" && (
          <Entry
            label="Set-up ticket"
            hint="The server printed it when it started."
            value={ticket}
            onInput={setTicket}
            first
          />
        )}
        <Entry
          label="User"
          value={user}
          onInput={setUser}
          autocomplete="username"
          first={identity.setUpTicket !== ""}
        />
        <Entry
          label="Password"
          type="password"
          hint={`At least ${PASSWORD_LEAST} characters`}
          problem={short}
          value={password}
          onInput={setPassword}
          autocomplete="new-password"
        />
        <Entry
          label="Password again"
          type="password"
          hint={differs ? "The passwords differ" : ""}
          problem={differs}
          value={again}
          onInput={setAgain}
          autocomplete="new-password"
        />
        <Foot
          entry={entry}
          action="Add user and sign in"
          disabled={!complete || short || again !== password}
        />
      </form>
    </Dialog>
  );
}
