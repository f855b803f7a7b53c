// The keys of workers, and the join tokens with which workers enrol them.
import { useState } from "preact/hooks";
import { serverClock } from "../api/clock";
import { useTitle } from "../app/use-title";
import { Entry } from "../identity/entry";
import { identity } from "../identity/identity";
import { useResource } from "../stream";
import { Button, CopyButton, count, Empty, ErrorBox, Loading, Menu, PageHead, Time } from "../ui";
import {
  type JoinToken,
  type NewJoinToken,
  people,
  type WorkerKey,
  type WorkerLimits,
} from "./api";
import { AskFirst, FormDialog } from "./ask";
import { NotAllowed } from "./members";
import { SecretDialog } from "./secret-dialog";
import { namesOf } from "./secrets";

const LIFETIMES = [
  { id: "3600", title: "1 h" },
  { id: "86400", title: "24 h" },
  { id: "604800", title: "7 d" },
  { id: "2592000", title: "30 d" },
];

type Asking =
  | { kind: "key"; key: WorkerKey }
  | { kind: "rotate"; key: WorkerKey }
  | { kind: "token"; token: JoinToken }
  | { kind: "create" }
  | null;

export function WorkerKeysPage() {
  useTitle("Worker keys");
  const keys = useResource("worker keys", (signal) => people.workerKeys(signal));
  const tokens = useResource("join tokens", (signal) => people.joinTokens(signal));
  const [asking, setAsking] = useState<Asking>(null);
  const [made, setMade] = useState<NewJoinToken | null>(null);
  const close = (): void => setAsking(null);
  const done = (): void => {
    close();
    keys.reload();
    tokens.reload();
  };
  if (!identity.manages("enrol")) return <NotAllowed />;
  const all = keys.data?.keys;
  const open = tokens.data?.tokens;
  const replacedBy = asking?.kind === "key" ? asking.key.replaced_by : null;
  const successor = all?.find((one) => one.id === replacedBy && one.revoked_at === null);
  const error = keys.error ?? tokens.error;
  return (
    <>
      <PageHead title="Worker keys" sub={all === undefined ? undefined : count(all.length, "key")}>
        <Button look="primary" icon="plus" onClick={() => setAsking({ kind: "create" })}>
          Create join token…
        </Button>
      </PageHead>
      {error !== null && <ErrorBox error={error} retry={done} />}
      {all === undefined && error === null && <Loading />}
      {all?.length === 0 && (
        <Empty title="No worker has joined" icon="key">
          A worker joins with a token, and gets its own key.
        </Empty>
      )}
      {all !== undefined && all.length > 0 && (
        <Keys
          keys={all}
          onRevoke={(key) => setAsking({ kind: "key", key })}
          onRotate={(key) => setAsking({ kind: "rotate", key })}
        />
      )}
      {open !== undefined && open.length > 0 && (
        <Tokens tokens={open} onRevoke={(token) => setAsking({ kind: "token", token })} />
      )}
      {asking?.kind === "key" && (
        <AskFirst
          title={`Revoke the key of ${asking.key.limits.names}?`}
          action="Revoke key"
          request={() => people.revokeWorkerKey(asking.key.id)}
          onDone={done}
          onClose={close}
        >
          {successor === undefined
            ? "The coordinator ignores the worker from now on. What it runs is lost when its lease ends."
            : `The worker has another key, ${successor.id.slice(0, 8)}, which stays valid: revoke that one to stop the worker.`}
        </AskFirst>
      )}
      {asking?.kind === "rotate" && (
        <AskFirst
          title={`Replace the key of ${asking.key.limits.names}?`}
          action="Replace key"
          request={() => people.rotateWorkerKey(asking.key.id)}
          onDone={done}
          onClose={close}
        >
          The worker replaces its key as soon as it is connected, and keeps running. The former key
          ends 48 hours later.
        </AskFirst>
      )}
      {asking?.kind === "token" && (
        <AskFirst
          title={`Revoke the join token for ${asking.token.limits.names}?`}
          action="Revoke join token"
          request={() => people.revokeJoinToken(asking.token.id)}
          onDone={done}
          onClose={close}
        >
          No more workers can join with it. Workers that have joined stay enrolled.
        </AskFirst>
      )}
      {asking?.kind === "create" && (
        <Create
          onMade={(token) => {
            done();
            setMade(token);
          }}
          onClose={close}
        />
      )}
      {made !== null && (
        <SecretDialog
          title={`Join token for ${made.token.limits.names}`}
          secret={made.secret}
          onClose={() => setMade(null)}
        >
          <p class="dialog-text">Put the token into a file on the worker, and run:</p>
          <p class="dialog-text">
            <code>{COMMAND}</code> <CopyButton text={() => COMMAND} label="Copy the command" />
          </p>
        </SecretDialog>
      )}
    </>
  );
}

const COMMAND = "tinpot worker join --join-token-file FILE --name NAME --broker URL";

function limitsOf(limits: WorkerLimits): string {
  const lists = (["queues", "groups", "actions"] as const).flatMap((list) => {
    const names = limits[list];
    return names === null ? [] : [`${list}: ${names.join(", ") || "none"}`];
  });
  if (limits.slots !== null) lists.push(count(limits.slots, "slot"));
  return lists.join("; ");
}

interface KeysProps {
  keys: WorkerKey[];
  onRevoke: (key: WorkerKey) => void;
  onRotate: (key: WorkerKey) => void;
}

function Keys({ keys, onRevoke, onRotate }: KeysProps) {
  return (
    <div class="panel table-wrap">
      <table class="records">
        <thead>
          <tr>
            <th>Worker</th>
            <th>Limits</th>
            <th>Joined</th>
            <th>Last heard</th>
            <th>
              <span class="unseen">Replace or revoke</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {keys.map((one) => (
            <tr key={one.id}>
              <td class="main-cell">
                <strong>{one.limits.names}</strong>{" "}
                <span class="mono faint">{one.id.slice(0, 8)}</span>{" "}
                {one.version !== "" && <span class="faint">Tinpot {one.version}</span>}
                {one.temporary && <span class="tag">temporary</span>}
                {one.ends_at !== null && <span class="tag">replaced</span>}
                {one.rotate && one.ends_at === null && <span class="tag">to be replaced</span>}
                {one.revoked_at !== null && (
                  <span class="status" data-status="failed">
                    <i />
                    revoked
                  </span>
                )}
              </td>
              <td data-label="Limits">{limitsOf(one.limits)}</td>
              <td class="soft" data-label="Joined">
                <Time at={one.created_at} />
              </td>
              <td class="soft" data-label="Last heard">
                {one.last_heard_at === null ? "never" : <Time at={one.last_heard_at} />}
              </td>
              <td class="right">
                {one.revoked_at === null && (
                  <Menu
                    label={`Key of ${one.limits.names}`}
                    items={[
                      ...(one.replaced_by === null
                        ? [{ label: "Replace…", onSelect: () => onRotate(one) }]
                        : []),
                      { label: "Revoke…", onSelect: () => onRevoke(one) },
                    ]}
                  />
                )}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Tokens({
  tokens,
  onRevoke,
}: {
  tokens: JoinToken[];
  onRevoke: (token: JoinToken) => void;
}) {
  const state = (one: JoinToken): string =>
    one.uses === 0
      ? "used"
      : Date.parse(one.expires_at) <= serverClock.now()
        ? "expired"
        : count(one.uses, "use");
  return (
    <section class="panel part" aria-labelledby="join-tokens">
      <header>
        <h2 id="join-tokens">Join tokens</h2>
      </header>
      <div class="table-wrap">
        <table class="records">
          <thead>
            <tr>
              <th>Names</th>
              <th>Left</th>
              <th>Limits</th>
              <th>Created</th>
              <th>Expires</th>
              <th>
                <span class="unseen">Revoke</span>
              </th>
            </tr>
          </thead>
          <tbody>
            {tokens.map((one) => (
              <tr key={one.id}>
                <td class="main-cell">
                  <strong>{one.limits.names}</strong>
                </td>
                <td data-label="Left">{state(one)}</td>
                <td data-label="Limits">{limitsOf(one.limits)}</td>
                <td class="soft" data-label="Created">
                  <Time at={one.created_at} /> by {one.created_by}
                </td>
                <td class="soft" data-label="Expires">
                  <Time at={one.expires_at} />
                </td>
                <td class="right">
                  <Menu
                    label={`Join token for ${one.limits.names}`}
                    items={[{ label: "Revoke…", onSelect: () => onRevoke(one) }]}
                  />
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}

interface CreateProps {
  onMade: (made: NewJoinToken) => void;
  onClose: () => void;
}

function Create({ onMade, onClose }: CreateProps) {
  const [names, setNames] = useState("");
  const [uses, setUses] = useState("1");
  const [lifetime, setLifetime] = useState("3600");
  const [queues, setQueues] = useState("");
  const [groups, setGroups] = useState("");
  const [actions, setActions] = useState("");
  const [slots, setSlots] = useState("");
  const [temporary, setTemporary] = useState(false);
  const wrongUses = !/^\d+$/.test(uses.trim()) || Number(uses) < 1 || Number(uses) > 10_000;
  const wrongSlots = slots.trim() !== "" && !/^[1-9]\d{0,4}$/.test(slots.trim());
  return (
    <FormDialog
      title="Create join token"
      action="Create join token"
      disabled={names.trim() === "" || wrongUses || wrongSlots}
      request={async () =>
        onMade(
          await people.createJoinToken({
            names: names.trim(),
            uses: Number(uses),
            valid_for_s: Number(lifetime),
            queues: namesOf(queues),
            groups: namesOf(groups),
            actions: namesOf(actions),
            slots: slots.trim() === "" ? null : Number(slots),
            temporary,
          }),
        )
      }
      onClose={onClose}
    >
      <Entry
        label="Names"
        hint="The name of the worker, or a pattern such as web-*"
        value={names}
        onInput={setNames}
        first
      />
      <Entry
        label="Uses"
        hint="The number of workers that may join, from 1 to 10,000"
        problem={wrongUses}
        inputMode="numeric"
        value={uses}
        onInput={setUses}
      />
      <div class="option">
        <label for="lifetime">Valid for</label>
        <select
          id="lifetime"
          value={lifetime}
          onChange={(event) => setLifetime(event.currentTarget.value)}
        >
          {LIFETIMES.map(({ id, title }) => (
            <option key={id} value={id}>
              {title}
            </option>
          ))}
        </select>
      </div>
      <Entry
        label="Only these queues"
        hint="Names, separated by commas. Empty: all."
        value={queues}
        onInput={setQueues}
      />
      <Entry
        label="Only these groups"
        hint="Names of groups of actions, separated by commas. Empty: all."
        value={groups}
        onInput={setGroups}
      />
      <Entry
        label="Only these actions"
        hint="Names or patterns such as deploy-*, separated by commas. Empty: all."
        value={actions}
        onInput={setActions}
      />
      <Entry
        label="Most slots"
        hint="The slots that each worker may have, from 1 on. Empty: any number."
        problem={wrongSlots}
        inputMode="numeric"
        value={slots}
        onInput={setSlots}
      />
      <label class="switch">
        <input
          type="checkbox"
          checked={temporary}
          onChange={(event) => setTemporary(event.currentTarget.checked)}
        />{" "}
        Remove keys a day after their workers were last heard
      </label>
    </FormDialog>
  );
}
