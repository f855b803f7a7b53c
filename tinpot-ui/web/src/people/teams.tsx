// The teams of the server, and their members.
import { useState } from "preact/hooks";
import { useTitle } from "../app/use-title";
import { Entry } from "../identity/entry";
import { identity } from "../identity/identity";
import { useResource } from "../stream";
import {
  Button,
  count,
  Dialog,
  ErrorBox,
  Loading,
  Menu,
  type MenuItem,
  PageHead,
  Time,
} from "../ui";
import { people, type Role, type Team } from "./api";
import { AskFirst, FormDialog, useRequest } from "./ask";
import { NotAllowed, RoleSelect } from "./members";

/** The team that a server has from the start, which cannot be disabled or removed. */
const DEFAULT = "default";

type Kind = "edit" | "members" | "disable" | "enable" | "remove";
type Asking = { kind: Kind; team: Team } | null;

export function TeamsPage() {
  useTitle("Teams");
  const list = useResource("teams", (signal) => people.teams(signal));
  const [adding, setAdding] = useState(false);
  const [asking, setAsking] = useState<Asking>(null);
  const teams = list.data?.teams;
  const close = (): void => {
    setAdding(false);
    setAsking(null);
  };
  const done = (): void => {
    close();
    list.reload();
    // The change may have affected one of the caller's own teams.
    void identity.check();
  };
  if (!identity.manages("manage_server")) return <NotAllowed />;
  return (
    <>
      <PageHead title="Teams" sub={teams === undefined ? undefined : count(teams.length, "team")}>
        <Button look="primary" icon="plus" onClick={() => setAdding(true)}>
          Add team…
        </Button>
      </PageHead>
      {list.error !== null && <ErrorBox error={list.error} retry={list.reload} />}
      {teams === undefined && list.error === null && <Loading />}
      {teams !== undefined && (
        <div class="panel table-wrap">
          <table class="records">
            <thead>
              <tr>
                <th>Team</th>
                <th>Members</th>
                <th>Created</th>
                <th>
                  <span class="unseen">Change</span>
                </th>
              </tr>
            </thead>
            <tbody>
              {teams.map((one) => (
                <tr key={one.id}>
                  <td class="main-cell">
                    <strong>{one.name}</strong>
                    {one.id === identity.me.value?.team && <span class="tag">current</span>}
                    {one.disabled && (
                      <span class="status" data-status="paused">
                        <i />
                        disabled
                      </span>
                    )}
                    {one.description !== "" && <span class="faint"> {one.description}</span>}
                  </td>
                  <td data-label="Members">{one.members}</td>
                  <td class="soft" data-label="Created">
                    <Time at={one.created_at} />
                  </td>
                  <td class="right">
                    <Menu
                      label={`Team ${one.name}`}
                      items={commands(one, (kind) => setAsking({ kind, team: one }))}
                    />
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      {adding && <EditTeam team={null} onDone={done} onClose={close} />}
      {asking !== null && <Change {...asking} onDone={done} onClose={close} />}
    </>
  );
}

function commands(team: Team, ask: (kind: Kind) => void): MenuItem[] {
  const item = (label: string, kind: Kind): MenuItem => ({ label, onSelect: () => ask(kind) });
  return [
    item("Members…", "members"),
    item("Rename or describe…", "edit"),
    ...(team.id === DEFAULT
      ? []
      : [
          team.disabled ? item("Enable…", "enable") : item("Disable…", "disable"),
          item("Remove…", "remove"),
        ]),
  ];
}

interface DialogProps {
  onDone: () => void;
  onClose: () => void;
}

function Change({ kind, team, ...rest }: DialogProps & { kind: Kind; team: Team }) {
  const { id, name } = team;
  switch (kind) {
    case "edit":
      return <EditTeam team={team} {...rest} />;
    case "members":
      return <TeamMembers team={team} onClose={rest.onDone} />;
    case "disable":
      return (
        <AskFirst
          title={`Disable ${name}?`}
          action="Disable team"
          request={() => people.changeTeam(id, { disabled: true })}
          {...rest}
        >
          No member has rights in {name} any more, and its tokens are refused. Running executions go
          on.
        </AskFirst>
      );
    case "enable":
      return (
        <FormDialog
          title={`Enable ${name}?`}
          action="Enable team"
          request={() => people.changeTeam(id, { disabled: false })}
          {...rest}
        >
          <p class="dialog-text">The members of {name} have the same roles again.</p>
        </FormDialog>
      );
    case "remove":
      return (
        <AskFirst
          title={`Remove ${name}?`}
          action="Remove team"
          request={() => people.removeTeam(id)}
          {...rest}
        >
          Only an empty team can be removed. Its history is hidden from all users.
        </AskFirst>
      );
  }
}

function EditTeam({ team, onDone, onClose }: DialogProps & { team: Team | null }) {
  const [name, setName] = useState(team?.name ?? "");
  const [description, setDescription] = useState(team?.description ?? "");
  const what = { name: name.trim(), description: description.trim() };
  return (
    <FormDialog
      title={team === null ? "Add team" : `Change ${team.name}`}
      action={team === null ? "Add team" : "Change team"}
      disabled={what.name === ""}
      request={() => (team === null ? people.createTeam(what) : people.changeTeam(team.id, what))}
      onDone={onDone}
      onClose={onClose}
    >
      <Entry label="Name" value={name} onInput={setName} first />
      <Entry label="Description" value={description} onInput={setDescription} />
    </FormDialog>
  );
}

function TeamMembers({ team, onClose }: { team: Team; onClose: () => void }) {
  const list = useResource(`members of ${team.id}`, (signal) =>
    people.teamMembers(team.id, signal),
  );
  const [user, setUser] = useState("");
  const [role, setRole] = useState<Role | null>("operator");
  const { busy, error, run } = useRequest();
  const send = async (request: () => Promise<unknown>): Promise<void> => {
    if (!(await run(request))) return;
    setUser("");
    list.reload();
  };
  return (
    <Dialog title={`Members of ${team.name}`} onClose={onClose}>
      {list.error !== null && <ErrorBox error={list.error} retry={list.reload} />}
      {list.data === null && list.error === null && <Loading rows={2} />}
      {list.data !== null && (
        <table class="records">
          <tbody>
            {list.data.users.map((one) => (
              <tr key={one.id}>
                <td class="main-cell">
                  <strong>{one.name}</strong> <span class="faint">{one.roles.join(", ")}</span>
                </td>
                <td class="right">
                  <Button
                    busy={busy}
                    aria-label={`Remove ${one.name} from the team`}
                    onClick={() => void send(() => people.removeTeamMember(team.id, one.id))}
                  >
                    Remove
                  </Button>
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      <form
        class="stack"
        autocomplete="off"
        onSubmit={(event) => {
          event.preventDefault();
          const name = user.trim();
          if (!busy && name !== "") void send(() => people.addTeamMember(team.id, name, role));
        }}
      >
        <Entry
          label="User"
          hint="The name of a user of the server"
          value={user}
          onInput={setUser}
        />
        <RoleSelect role={role} onRole={setRole} />
        <p class="error-text" role="alert">
          {error}
        </p>
        <div class="dialog-buttons">
          <Button onClick={onClose}>Close</Button>
          <Button look="primary" submit busy={busy} disabled={user.trim() === ""}>
            Add member
          </Button>
        </div>
      </form>
    </Dialog>
  );
}
