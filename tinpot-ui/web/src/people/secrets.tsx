// The secrets of the team, which actions may ask for. Values are never shown.
import { useState } from "preact/hooks";
import { useTitle } from "../app/use-title";
import { Entry } from "../identity/entry";
import { identity } from "../identity/identity";
import { useResource } from "../stream";
import { Button, count, Empty, ErrorBox, Loading, Menu, PageHead, Time } from "../ui";
import { people, type Secret, WHERE, type Where } from "./api";
import { AskFirst, FormDialog } from "./ask";
import { NotAllowed } from "./members";

type Asking = { kind: "set" | "remove"; secret: Secret } | { kind: "new" } | null;

const WHERE_TEXT: Record<keyof Where, string> = {
  actions: "Only these actions",
  groups: "Only these groups",
  queues: "Only these queues",
};

/** The longest value. */
const VALUE_BYTES_MAX = 65_536;

/** Returns the names or patterns in a text; null for all. */
export function namesOf(text: string): string[] | null {
  const names = text.split(/[\s,]+/).filter(Boolean);
  return names.length === 0 ? null : names;
}

export function SecretsPage() {
  useTitle("Secrets");
  const list = useResource("secrets", (signal) => people.secrets(signal));
  const [asking, setAsking] = useState<Asking>(null);
  const secrets = list.data?.secrets;
  const close = (): void => setAsking(null);
  const done = (): void => {
    close();
    list.reload();
  };
  if (!identity.manages("use_secret_store")) return <NotAllowed />;
  return (
    <>
      <PageHead
        title="Secrets"
        sub={secrets === undefined ? undefined : count(secrets.length, "secret")}
      >
        <Button look="primary" icon="plus" onClick={() => setAsking({ kind: "new" })}>
          Set secret…
        </Button>
      </PageHead>
      {list.error !== null && <ErrorBox error={list.error} retry={list.reload} />}
      {secrets === undefined && list.error === null && <Loading />}
      {secrets?.length === 0 && (
        <Empty title="No secrets yet" icon="key">
          An action reads one with <code>ctx.secret("NAME")</code> while it runs.
        </Empty>
      )}
      {secrets !== undefined && secrets.length > 0 && (
        <div class="panel table-wrap">
          <table class="records">
            <thead>
              <tr>
                <th>Name</th>
                <th>For</th>
                <th>Version</th>
                <th>Set</th>
                <th>
                  <span class="unseen">Change</span>
                </th>
              </tr>
            </thead>
            <tbody>
              {secrets.map((one) => (
                <tr key={one.name}>
                  <td class="main-cell mono">{one.name}</td>
                  <td data-label="For">{shown(one)}</td>
                  <td data-label="Version">{one.version}</td>
                  <td class="soft" data-label="Set">
                    <Time at={one.set_at} /> by {one.set_by}
                  </td>
                  <td class="right">
                    <Menu
                      label={`Secret ${one.name}`}
                      items={[
                        {
                          label: "Set new value…",
                          onSelect: () => setAsking({ kind: "set", secret: one }),
                        },
                        {
                          label: "Remove…",
                          onSelect: () => setAsking({ kind: "remove", secret: one }),
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
      {asking?.kind === "remove" && (
        <AskFirst
          title={`Remove secret ${asking.secret.name}?`}
          action="Remove secret"
          request={() => people.removeSecret(asking.secret.name)}
          onDone={done}
          onClose={close}
        >
          Actions that ask for it will fail. Attempts that already have it keep it until they end.
        </AskFirst>
      )}
      {(asking?.kind === "new" || asking?.kind === "set") && (
        <SetSecret
          secret={asking.kind === "set" ? asking.secret : null}
          onDone={done}
          onClose={close}
        />
      )}
    </>
  );
}

function shown(secret: Secret) {
  const limits = WHERE.flatMap((where) => {
    const names = secret[where];
    return names === null ? [] : [`${where}: ${names.join(", ") || "none"}`];
  });
  return limits.length === 0 ? <span class="soft">all actions</span> : limits.join("; ");
}

interface SetProps {
  secret: Secret | null;
  onDone: () => void;
  onClose: () => void;
}

function SetSecret({ secret, onDone, onClose }: SetProps) {
  const [name, setName] = useState(secret?.name ?? "");
  const [value, setValue] = useState("");
  const [file, setFile] = useState<File | null>(null);
  const tooLong = file !== null && file.size > VALUE_BYTES_MAX;
  const choose = async (chosen: File | undefined): Promise<void> => {
    setFile(chosen ?? null);
    // A password field has one line.
    setValue(chosen !== undefined && chosen.size <= VALUE_BYTES_MAX ? await chosen.text() : "");
  };
  const [where, setWhere] = useState<Record<keyof Where, string>>({
    actions: secret?.actions?.join(", ") ?? "",
    groups: secret?.groups?.join(", ") ?? "",
    queues: secret?.queues?.join(", ") ?? "",
  });
  const request = () =>
    people.setSecret(name.trim(), {
      value,
      actions: namesOf(where.actions),
      groups: namesOf(where.groups),
      queues: namesOf(where.queues),
    });
  return (
    <FormDialog
      title={secret === null ? "Set secret" : `Set secret ${secret.name}`}
      action="Set secret"
      disabled={name.trim() === "" || value === ""}
      request={request}
      onDone={onDone}
      onClose={onClose}
    >
      {secret === null && (
        <Entry
          label="Name"
          hint="Letters, digits, hyphens, dots and underscores"
          value={name}
          onInput={setName}
          first
        />
      )}
      {file === null && (
        <Entry
          label="Value"
          type="password"
          autocomplete="new-password"
          hint="It is never shown again"
          value={value}
          onInput={setValue}
          first={secret !== null}
        />
      )}
      <div class="option">
        <label for="secret-file">{file === null ? "Or a file with the value" : "Value"}</label>
        <input
          id="secret-file"
          type="file"
          aria-describedby="secret-file-hint"
          aria-invalid={tooLong || undefined}
          onChange={(event) => void choose(event.currentTarget.files?.[0])}
        />
        <p id="secret-file-hint" class={tooLong ? "field-error" : "field-hint"}>
          {tooLong
            ? `The value must have at most ${VALUE_BYTES_MAX.toLocaleString("en")} bytes`
            : "Text in UTF-8, such as a key with several lines. All of it is the value."}
        </p>
      </div>
      {WHERE.map((one) => (
        <Entry
          key={one}
          label={WHERE_TEXT[one]}
          hint="Names or patterns such as deploy-*, separated by commas. Empty: all."
          value={where[one]}
          onInput={(text) => setWhere({ ...where, [one]: text })}
        />
      ))}
    </FormDialog>
  );
}
