// The page on which a person signs in a program that shows a code, such as `tinpot login`.
import { useState } from "preact/hooks";
import { useTitle } from "../app/use-title";
import { Entry } from "../identity/entry";
import { identity } from "../identity/identity";
import { Button, Empty, Loading, PageHead } from "../ui";
import { type DeviceView, people } from "./api";
import { useRequest } from "./ask";

/** The rights of a token with these scopes, for the person who agrees to it. */
function rightsOf(scopes: readonly string[]): string {
  const others = scopes.filter((scope) => scope !== "tokens");
  const rights = others.includes("all")
    ? "with all of your rights"
    : `with the scopes ${others.join(", ") || "of none"}`;
  return scopes.includes("tokens") ? `${rights}, and to make other tokens` : rights;
}

export function DevicePage() {
  useTitle("Sign in a program");
  const [code, setCode] = useState("");
  const [device, setDevice] = useState<DeviceView | null>(null);
  const [done, setDone] = useState<string | null>(null);
  const { busy, error, run } = useRequest();
  const me = identity.me.value;
  // The dialog that asks to sign in is on top.
  if (me === null) return <Loading rows={3} />;
  if (!identity.signedIn) return <Empty title="Not signed in">This server has no accounts.</Empty>;
  const find = (event: Event): void => {
    event.preventDefault();
    setDone(null);
    void run(async () => setDevice(await people.device(code.trim())));
  };
  const decide = (agree: boolean): void => {
    void run(async () => {
      await people.decideDevice(device?.code ?? "", agree);
      setDone(agree ? "Done. The program is signed in as you." : "Refused. Nothing was signed in.");
      setDevice(null);
      setCode("");
    });
  };
  return (
    <>
      <PageHead title="Sign in a program" sub={`As ${me.name}`} />
      <p class="done-note" role="status">
        {done}
      </p>
      {device === null ? (
        <form class="stack device" onSubmit={find}>
          <Entry
            label="Code"
            hint="The code that the program shows, such as BCDF-GHJK"
            value={code}
            onInput={setCode}
            first
          />
          <Button look="primary" submit busy={busy} disabled={code.trim() === ""}>
            Continue
          </Button>
        </form>
      ) : (
        <div class="stack device">
          <p>
            A program on the machine that calls itself <strong>{device.client}</strong>, at the
            address <strong>{device.address}</strong>, asks to act as you for {device.days} days,{" "}
            {rightsOf(device.scopes)}.
          </p>
          <p>
            Agree only if you have just started <code>tinpot login</code> yourself, and it shows the
            code <strong>{device.code}</strong>. If another person gave you the code, refuse.
          </p>
          <div class="dialog-buttons">
            <Button busy={busy} onClick={() => decide(false)} data-autofocus>
              Refuse
            </Button>
            <Button look="primary" busy={busy} onClick={() => decide(true)}>
              Sign it in
            </Button>
          </div>
        </div>
      )}
      <p class="error-text" role="alert">
        {error}
      </p>
    </>
  );
}
