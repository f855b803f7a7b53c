// Tokens of the person, or of a program: create, rotate and revoke.
import { useState } from "preact/hooks";
import { serverClock } from "../api/clock";
import { Entry } from "../identity/entry";
import { identity, type Right } from "../identity/identity";
import { useResource } from "../stream";
import { Button, ErrorBox, Loading, Menu, Time } from "../ui";
import { type NewToken, type Program, people, type Token } from "./api";
import { AskFirst, FormDialog } from "./ask";
import { SecretDialog } from "./secret-dialog";

interface Scope {
  name: string;
  text: string;
  /** The right without which the scope gives nothing. */
  right?: Right;
  /** If true, it can be limited to some actions. */
  actions?: true;
}

const SCOPES: readonly Scope[] = [
  {
    name: "read",
    text: "See actions, executions, queues and workers",
    right: "read",
    actions: true,
  },
  { name: "run", text: "Run actions", right: "run", actions: true },
  { name: "deploy", text: "Deploy apps", right: "deploy", actions: true },
  { name: "cancel", text: "Cancel executions", right: "cancel", actions: true },
  { name: "rerun", text: "Run executions again", right: "rerun", actions: true },
  { name: "queues", text: "Choose and pause queues", right: "use_queue" },
  { name: "workers", text: "Drain and enrol workers", right: "drain_worker" },
  { name: "secrets", text: "Set secrets", right: "use_secret_store" },
  { name: "team", text: "Manage members and grants, read the audit", right: "manage_team" },
  { name: "server", text: "Manage the server", right: "manage_server" },
  { name: "tokens", text: "Make other tokens" },
  { name: "metrics", text: "Read metrics" },
  { name: "all", text: "All rights of the account" },
];

const DAYS_DEFAULT = 90;
const DAYS_MAX = 365;
const DAY_S = 86_400;

type Asking = { kind: "rotate" | "revoke"; token: Token } | { kind: "create" } | null;

interface TokensProps {
  /** The program whose tokens they are; without one, they are the person's own. */
  program?: Program;
  onChange?: () => void;
}

export function Tokens({ program, onChange }: TokensProps) {
  const list = useResource(`tokens ${program?.id ?? ""}`, (signal) =>
    people.tokens(program !== undefined, signal),
  );
  const [asking, setAsking] = useState<Asking>(null);
  const [made, setMade] = useState<NewToken | null>(null);
  const close = (): void => setAsking(null);
  const done = (): void => {
    close();
    list.reload();
    onChange?.();
  };
  const all = list.data?.tokens.filter(
    (one) => !one.revoked && (program === undefined || one.principal === program.id),
  );
  return (
    <section class="panel part" aria-labelledby="tokens">
      <header>
        <div>
          <h2 id="tokens">Tokens</h2>
          <p class="soft">
            {program === undefined
              ? "For programs that use the API with your rights."
              : "The program uses the API with these. They have its rights, within their scopes."}
          </p>
        </div>
        <Button icon="plus" onClick={() => setAsking({ kind: "create" })}>
          Create token…
        </Button>
      </header>
      {list.error !== null && <ErrorBox error={list.error} retry={list.reload} />}
      {all === undefined && list.error === null && <Loading />}
      {all?.length === 0 && <p class="part-none soft">No tokens yet</p>}
      {all !== undefined && all.length > 0 && (
        <div class="table-wrap">
          <table class="records">
            <thead>
              <tr>
                <th>Name</th>
                <th>Scopes</th>
                <th>Created</th>
                <th>Expires</th>
                <th>Last used</th>
                <th>
                  <span class="unseen">Rotate or revoke</span>
                </th>
              </tr>
            </thead>
            <tbody>
              {all.map((one) => (
                <tr key={one.id}>
                  <td class="main-cell">
                    <strong>{one.name}</strong>{" "}
                    {one.hint !== "" && <span class="mono faint">…{one.hint}</span>}
                  </td>
                  <td data-label="Scopes">
                    <span class="tags">
                      {one.scopes.map((scope) => (
                        <span class="tag" key={scope}>
                          {scope}
                        </span>
                      ))}
                    </span>
                  </td>
                  <td class="soft" data-label="Created">
                    <Time at={one.created_at} />
                  </td>
                  <td data-label="Expires">
                    <Expiry at={one.expires_at} />
                  </td>
                  <td class="soft" data-label="Last used">
                    {one.last_used_at === null ? "never" : <Time at={one.last_used_at} />}
                  </td>
                  <td class="right">
                    <Menu
                      label={`Token ${one.name}`}
                      items={[
                        {
                          label: "Rotate…",
                          onSelect: () => setAsking({ kind: "rotate", token: one }),
                        },
                        {
                          label: "Revoke…",
                          onSelect: () => setAsking({ kind: "revoke", token: one }),
                        },
                      ]}
                    />
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      {asking?.kind === "create" && (
        <Create
          program={program}
          onMade={(token) => {
            done();
            setMade(token);
          }}
          onClose={close}
        />
      )}
      {asking?.kind === "rotate" && (
        <Rotate
          token={asking.token}
          onMade={(token) => {
            done();
            setMade(token);
          }}
          onClose={close}
        />
      )}
      {asking?.kind === "revoke" && (
        <AskFirst
          title={`Revoke token ${asking.token.name}?`}
          action="Revoke token"
          request={() => people.revokeToken(asking.token.id)}
          onDone={done}
          onClose={close}
        >
          Programs that use it are refused at once. A revoked token cannot be restored.
        </AskFirst>
      )}
      {made !== null && (
        <SecretDialog
          title={`Token ${made.token.name}`}
          secret={made.secret}
          onClose={() => setMade(null)}
        />
      )}
    </section>
  );
}

function Expiry({ at }: { at: string | null }) {
  if (at === null) return <span class="soft">never</span>;
  const isOver = Date.parse(at) <= serverClock.now();
  return (
    <span class={isOver ? "error-text" : "soft"}>
      {isOver && "expired "}
      <Time at={at} />
    </span>
  );
}

interface MakeProps {
  onMade: (made: NewToken) => void;
  onClose: () => void;
}

function Create({ program, onMade, onClose }: MakeProps & { program: Program | undefined }) {
  const [name, setName] = useState("");
  const [chosen, setChosen] = useState<readonly string[]>(["read"]);
  const [actions, setActions] = useState("");
  const [days, setDays] = useState(String(DAYS_DEFAULT));
  const patterns = actions.split(/[\s,]+/).filter(Boolean);
  const limited = SCOPES.some((one) => one.actions && chosen.includes(one.name));
  const scopes = SCOPES.filter((one) => chosen.includes(one.name)).flatMap((one) =>
    one.actions && patterns.length > 0
      ? patterns.map((pattern) => `${one.name}:${pattern}`)
      : [one.name],
  );
  // A program may have rights that the person has not.
  const offered = SCOPES.filter(
    ({ right }) => program !== undefined || right === undefined || identity.may(right),
  );
  const wrongDays = !/^\d+$/.test(days.trim()) || Number(days) < 1 || Number(days) > DAYS_MAX;
  return (
    <FormDialog
      title="Create token"
      action="Create token"
      disabled={name.trim() === "" || scopes.length === 0 || wrongDays}
      request={async () =>
        onMade(
          await people.createToken({
            name: name.trim(),
            scopes,
            days: Number(days),
            principal: program?.id ?? null,
          }),
        )
      }
      onClose={onClose}
    >
      <Entry label="Name" hint="Where it is used" value={name} onInput={setName} first />
      <fieldset class="option">
        <legend>Scopes</legend>
        <ul class="check-list">
          {offered.map((one) => (
            <li key={one.name}>
              <label>
                <input
                  type="checkbox"
                  checked={chosen.includes(one.name)}
                  onChange={(event) =>
                    setChosen(
                      event.currentTarget.checked
                        ? [...chosen, one.name]
                        : chosen.filter((name) => name !== one.name),
                    )
                  }
                />
                <code>{one.name}</code> <span class="soft">{one.text}</span>
              </label>
            </li>
          ))}
        </ul>
      </fieldset>
      {limited && (
        <Entry
          label="Only these actions"
          hint="Names or patterns such as deploy-*, separated by commas. Empty: all actions."
          value={actions}
          onInput={setActions}
        />
      )}
      <Entry
        label="Valid for days"
        hint={`An integer from 1 to ${DAYS_MAX}`}
        problem={wrongDays}
        inputMode="numeric"
        value={days}
        onInput={setDays}
      />
    </FormDialog>
  );
}

const OVERLAPS = [
  { id: "0", title: "ends at once" },
  { id: String(DAY_S), title: "stays valid for 24 h" },
  { id: String(7 * DAY_S), title: "stays valid for 7 d" },
];

function Rotate({ token, onMade, onClose }: MakeProps & { token: Token }) {
  const [overlap, setOverlap] = useState(String(DAY_S));
  return (
    <FormDialog
      title={`Rotate token ${token.name}`}
      action="Rotate token"
      request={async () => onMade(await people.rotateToken(token.id, Number(overlap)))}
      onClose={onClose}
    >
      <p class="dialog-text">Gives the token a new secret. Its name and scopes stay.</p>
      <div class="option">
        <label for="overlap">The old secret</label>
        <select
          id="overlap"
          value={overlap}
          data-autofocus
          onChange={(event) => setOverlap(event.currentTarget.value)}
        >
          {OVERLAPS.map(({ id, title }) => (
            <option key={id} value={id}>
              {title}
            </option>
          ))}
        </select>
      </div>
    </FormDialog>
  );
}
