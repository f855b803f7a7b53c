// The page of the person who is signed in: password, sign-ins and tokens.
import { useState } from "preact/hooks";
import { location, setQuery } from "../app/router";
import { useTitle } from "../app/use-title";
import { Entry } from "../identity/entry";
import { identity } from "../identity/identity";
import { PASSWORD_LEAST } from "../identity/sign-in";
import { roleOf } from "../identity/you-menu";
import { useResource } from "../stream";
import { Button, Empty, ErrorBox, Loading, PageHead, Time } from "../ui";
import { people, type SignInView } from "./api";
import { AskFirst, FormDialog } from "./ask";
import { Tokens } from "./tokens";

export function YouPage() {
  useTitle("Account");
  const changing = location.value.query.get("change") === "password";
  const [changed, setChanged] = useState(false);
  const me = identity.me.value;
  // The dialog that asks to sign in is on top.
  if (me === null) return <Loading rows={5} />;
  if (!identity.signedIn) return <Empty title="Not signed in">This server has no accounts.</Empty>;
  const close = (): void => setQuery({ change: null });
  return (
    <>
      <PageHead title={me.name} sub={`Role: ${roleOf(me)}`}>
        {identity.hasPassword && (
          <Button onClick={() => setQuery({ change: "password" })}>Change password…</Button>
        )}
      </PageHead>
      <p class="done-note" role="status">
        {changed && "Password changed. Your other sign-ins have ended."}
      </p>
      <Tokens />
      <SignIns key={String(changed)} />
      {changing && identity.hasPassword && (
        <ChangePassword
          name={me.name}
          onDone={() => {
            setChanged(true);
            close();
          }}
          onClose={close}
        />
      )}
    </>
  );
}

function ChangePassword({
  name,
  onDone,
  onClose,
}: {
  name: string;
  onDone: () => void;
  onClose: () => void;
}) {
  const [current, setCurrent] = useState("");
  const [next, setNext] = useState("");
  const [again, setAgain] = useState("");
  const short = next !== "" && next.length < PASSWORD_LEAST;
  const differs = again !== "" && again !== next;
  return (
    <FormDialog
      title="Change password"
      action="Change password"
      disabled={current === "" || next === "" || short || again !== next}
      request={() => people.setPassword(current, next)}
      onDone={onDone}
      onClose={onClose}
    >
      <p class="dialog-text">All your other sign-ins end. Tokens stay valid.</p>
      {/* Password managers need the name, to store the new password with it. */}
      <input
        class="unseen"
        type="text"
        autocomplete="username"
        value={name}
        readOnly
        tabIndex={-1}
        aria-hidden="true"
      />
      <Entry
        label="Current password"
        type="password"
        autocomplete="current-password"
        value={current}
        onInput={setCurrent}
        first
      />
      <Entry
        label="New password"
        type="password"
        autocomplete="new-password"
        hint={`At least ${PASSWORD_LEAST} characters`}
        problem={short}
        value={next}
        onInput={setNext}
      />
      <Entry
        label="New password again"
        type="password"
        autocomplete="new-password"
        hint={differs ? "The passwords differ" : ""}
        problem={differs}
        value={again}
        onInput={setAgain}
      />
    </FormDialog>
  );
}

function SignIns() {
  const list = useResource("sign-ins", (signal) => people.signIns(signal));
  const [ending, setEnding] = useState<SignInView | null>(null);
  const all = list.data?.sign_ins;
  return (
    <section class="panel part" aria-labelledby="sign-ins">
      <header>
        <h2 id="sign-ins">Sign-ins</h2>
      </header>
      {list.error !== null && <ErrorBox error={list.error} retry={list.reload} />}
      {all === undefined && list.error === null && <Loading />}
      {all !== undefined && (
        <div class="table-wrap">
          <table class="records">
            <thead>
              <tr>
                <th>Signed in</th>
                <th>Last used</th>
                <th>
                  <span class="unseen">End</span>
                </th>
              </tr>
            </thead>
            <tbody>
              {all.map((one) => (
                <tr key={one.id}>
                  <td class="main-cell">
                    <Time at={one.created_at} />
                    {one.current && <span class="tag">this browser</span>}
                  </td>
                  <td class="soft" data-label="Last used">
                    <Time at={one.last_used_at} />
                  </td>
                  <td class="right">
                    {!one.current && (
                      <Button class="small" onClick={() => setEnding(one)}>
                        End…
                      </Button>
                    )}
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      {ending !== null && (
        <AskFirst
          title="End this sign-in?"
          action="End sign-in"
          request={() => people.endSignIn(ending.id)}
          onDone={() => {
            setEnding(null);
            list.reload();
          }}
          onClose={() => setEnding(null)}
        >
          The browser that uses it has to sign in again.
        </AskFirst>
      )}
    </section>
  );
}
