// The users of the server, and their roles.
import { useState } from "preact/hooks";
import { href } from "../app/base-path";
import { useTitle } from "../app/use-title";
import { Entry } from "../identity/entry";
import { identity } from "../identity/identity";
import { PASSWORD_LEAST } from "../identity/sign-in";
import { useResource } from "../stream";
import { Button, count, Empty, ErrorBox, Loading, Menu, type MenuItem, PageHead } from "../ui";
import { type Grant, LIMITS, people, ROLES, type Role, type User } from "./api";
import { AskFirst, FormDialog } from "./ask";
import { Rights } from "./may";

type Kind = "rights" | "role" | "password" | "disable" | "enable" | "server" | "remove";
type Asking = { kind: Kind; user: User } | null;

/** Returns true if a grant holds for everything. */
const isForAll = (grant: Grant): boolean =>
  !grant.own_only && LIMITS.every((limit) => grant[limit] === null);

export function MembersPage() {
  useTitle("Members");
  const list = useResource("users", (signal) => people.users(signal));
  const [adding, setAdding] = useState(false);
  const [asking, setAsking] = useState<Asking>(null);
  const users = list.data?.users;
  const close = (): void => {
    setAdding(false);
    setAsking(null);
  };
  const done = (): void => {
    close();
    list.reload();
    // The change may have affected the caller's own rights.
    void identity.check();
  };
  if (!identity.manages("manage_team")) return <NotAllowed />;
  return (
    <>
      <PageHead title="Members" sub={users === undefined ? undefined : count(users.length, "user")}>
        <Button look="primary" icon="plus" onClick={() => setAdding(true)}>
          Add user…
        </Button>
      </PageHead>
      {list.error !== null && <ErrorBox error={list.error} retry={list.reload} />}
      {users === undefined && list.error === null && <Loading />}
      {users !== undefined && (
        <div class="panel table-wrap">
          <table class="records">
            <thead>
              <tr>
                <th>User</th>
                <th>Roles</th>
                <th>
                  <span class="unseen">Change</span>
                </th>
              </tr>
            </thead>
            <tbody>
              {users.map((one) => (
                <tr key={one.id}>
                  <td class="main-cell">
                    <strong>{one.name}</strong>
                    {one.id === identity.me.value?.id && <span class="tag">you</span>}
                    {one.server_admin && <span class="tag">server admin</span>}
                    {one.disabled && (
                      <span class="status" data-status="paused">
                        <i />
                        disabled
                      </span>
                    )}
                  </td>
                  <td data-label="Roles">
                    {one.roles.length === 0 ? (
                      <span class="faint">none</span>
                    ) : (
                      <span class="tags">
                        {one.roles.map((role) => (
                          <span class="tag" key={role}>
                            {role}
                          </span>
                        ))}
                      </span>
                    )}
                  </td>
                  <td class="right">
                    <Menu
                      label={`User ${one.name}`}
                      items={commands(one, (kind) => setAsking({ kind, user: one }))}
                    />
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      {adding && <AddUser onDone={done} onClose={close} />}
      {asking !== null && <Change {...asking} onDone={done} onClose={close} />}
    </>
  );
}

/** Stands in place of a page that the person may not use. */
export function NotAllowed() {
  // The dialog that asks to sign in is on top.
  if (identity.me.value === null) return <Loading rows={5} />;
  return (
    <Empty title="Not allowed" icon="key">
      Your role does not include this page. <a href={href("/")}>Overview</a>
    </Empty>
  );
}

function commands(user: User, ask: (kind: Kind) => void): MenuItem[] {
  const item = (label: string, kind: Kind): MenuItem => ({ label, onSelect: () => ask(kind) });
  return [
    item("Show rights…", "rights"),
    item("Change role…", "role"),
    item("Reset password…", "password"),
    ...(identity.me.peek()?.server_admin === true
      ? [item(user.server_admin ? "Remove server admin…" : "Make server admin…", "server")]
      : []),
    user.disabled ? item("Enable…", "enable") : item("Disable…", "disable"),
    item("Remove…", "remove"),
  ];
}

interface DialogProps {
  onDone: () => void;
  onClose: () => void;
}

function Change({ kind, user, ...rest }: DialogProps & { kind: Kind; user: User }) {
  const { id, name } = user;
  switch (kind) {
    case "rights":
      return <Rights user={user} onClose={rest.onClose} />;
    case "role":
      return <ChangeRole user={user} {...rest} />;
    case "password":
      return <ResetPassword user={user} {...rest} />;
    case "disable":
      return (
        <AskFirst
          title={`Disable ${name}?`}
          action="Disable user"
          request={() => people.changeUser(id, { disabled: true })}
          {...rest}
        >
          {name} is signed out everywhere, and tokens of {name} are refused. Running executions go
          on.
        </AskFirst>
      );
    case "enable":
      return (
        <FormDialog
          title={`Enable ${name}?`}
          action="Enable user"
          request={() => people.changeUser(id, { disabled: false })}
          {...rest}
        >
          <p class="dialog-text">{name} can sign in again, with the same password and roles.</p>
        </FormDialog>
      );
    case "server":
      return (
        <AskFirst
          title={
            user.server_admin
              ? `Remove ${name} from the server admins?`
              : `Make ${name} a server admin?`
          }
          action={user.server_admin ? "Remove server admin" : "Make server admin"}
          request={() => people.changeUser(id, { server_admin: !user.server_admin })}
          {...rest}
        >
          A server admin manages users, workers and keys of the whole server.
        </AskFirst>
      );
    case "remove":
      return (
        <AskFirst
          title={`Remove ${name}?`}
          action="Remove user"
          request={() => people.removeUser(id)}
          {...rest}
        >
          Ends the sign-ins, tokens and grants of {name}. The history and the audit keep the name.
        </AskFirst>
      );
  }
}

export function RoleSelect({
  role,
  onRole,
}: {
  role: Role | null;
  onRole: (role: Role | null) => void;
}) {
  return (
    <div class="option">
      <label for="role">Role</label>
      <select
        id="role"
        value={role ?? ""}
        aria-describedby="role-hint"
        onChange={(event) => onRole(ROLES.find((one) => one === event.currentTarget.value) ?? null)}
      >
        <option value="">none</option>
        {ROLES.map((one) => (
          <option key={one} value={one}>
            {one}
          </option>
        ))}
      </select>
      <p class="field-hint" id="role-hint">
        {role === null ? "Sees nothing" : ROLE_TEXT[role]}
      </p>
    </div>
  );
}

const ROLE_TEXT: Record<Role, string> = {
  viewer: "Sees actions, executions, queues and workers",
  operator: "Also runs, cancels and runs again",
  developer: "Also chooses and pauses queues, drains workers and sets secrets",
  admin: "Also manages members, grants and workers, and reads the audit",
};

function AddUser({ onDone, onClose }: DialogProps) {
  const [name, setName] = useState("");
  const [password, setPassword] = useState("");
  const [role, setRole] = useState<Role | null>("operator");
  const short = password !== "" && password.length < PASSWORD_LEAST;
  return (
    <FormDialog
      title="Add user"
      action="Add user"
      disabled={name.trim() === "" || password === "" || short}
      request={() => people.addUser({ name: name.trim(), password, role, server_admin: false })}
      onDone={onDone}
      onClose={onClose}
    >
      <Entry label="User" hint="The name to sign in with" value={name} onInput={setName} first />
      <NewPassword value={password} short={short} onInput={setPassword} />
      <RoleSelect role={role} onRole={setRole} />
    </FormDialog>
  );
}

interface NewPasswordProps {
  value: string;
  short: boolean;
  onInput: (value: string) => void;
  first?: boolean;
}

function NewPassword({ value, short, onInput, first = false }: NewPasswordProps) {
  return (
    <Entry
      label="Password"
      type="password"
      autocomplete="new-password"
      hint={`At least ${PASSWORD_LEAST} characters`}
      problem={short}
      value={value}
      onInput={onInput}
      first={first}
    />
  );
}

function ResetPassword({ user, onDone, onClose }: DialogProps & { user: User }) {
  const [password, setPassword] = useState("");
  const short = password !== "" && password.length < PASSWORD_LEAST;
  return (
    <FormDialog
      title={`Reset the password of ${user.name}`}
      action="Reset password"
      disabled={password === "" || short}
      request={() => people.changeUser(user.id, { password })}
      onDone={onDone}
      onClose={onClose}
    >
      <p class="dialog-text">All sign-ins of {user.name} end. Tokens stay valid.</p>
      <NewPassword value={password} short={short} onInput={setPassword} first />
    </FormDialog>
  );
}

/** Changes the grants for everything of a user. Those with limits stay. */
function ChangeRole({ user, onDone, onClose }: DialogProps & { user: User }) {
  const list = useResource("grants", (signal) => people.grants(signal));
  const own = list.data?.grants.filter((one) => one.to.user === user.id) ?? [];
  const general = own.filter(isForAll);
  const limited = own.length - general.length;
  const [chosen, setChosen] = useState<Role | null | undefined>(undefined);
  const role = chosen === undefined ? strongest(general) : chosen;
  const save = async (): Promise<void> => {
    // The new grant first, so that the user always has one.
    if (role !== null && !general.some((one) => one.role === role))
      await people.addGrant({
        to: { user: user.id },
        role,
        actions: null,
        groups: null,
        queues: null,
        environments: null,
        own_only: false,
      });
    for (const one of general) if (one.role !== role) await people.removeGrant(one.id);
  };
  return (
    <FormDialog
      title={`Change the role of ${user.name}`}
      action="Change role"
      disabled={list.data === null}
      request={save}
      onDone={onDone}
      onClose={onClose}
    >
      {list.error !== null && <ErrorBox error={list.error} retry={list.reload} />}
      <RoleSelect role={role} onRole={setChosen} />
      {limited > 0 && (
        <p class="dialog-text">
          {count(limited, "grant")} with limits {limited === 1 ? "stays" : "stay"}:{" "}
          <a href={href("/grants")}>Grants</a>
        </p>
      )}
    </FormDialog>
  );
}

function strongest(grants: readonly Grant[]): Role | null {
  return [...ROLES].reverse().find((role) => grants.some((one) => one.role === role)) ?? null;
}
