// The grants and the groups of users.
import { useState } from "preact/hooks";
import { useTitle } from "../app/use-title";
import { Entry } from "../identity/entry";
import { identity } from "../identity/identity";
import { useResource } from "../stream";
import { Button, count, ErrorBox, Loading, Menu, PageHead } from "../ui";
import { AddGrant } from "./add-grant";
import { type Grant, type Group, people, type User } from "./api";
import { AskFirst, FormDialog } from "./ask";
import { GrantTable, granteeText, limitsOf } from "./grant-table";
import { NotAllowed } from "./members";

type Asking =
  | { kind: "add-grant" | "add-group" }
  | { kind: "remove-grant"; grant: Grant }
  | { kind: "edit-group" | "remove-group"; group: Group }
  | null;

export function GrantsPage() {
  useTitle("Grants");
  const grants = useResource("grants", (signal) => people.grants(signal));
  const groups = useResource("groups", (signal) => people.groups(signal));
  const users = useResource("users", (signal) => people.users(signal));
  const programs = useResource("programs", (signal) => people.programs(signal));
  const [asking, setAsking] = useState<Asking>(null);
  const close = (): void => setAsking(null);
  const done = (): void => {
    close();
    grants.reload();
    groups.reload();
    void identity.check();
  };
  const known = [...(users.data?.users ?? []), ...(programs.data?.programs ?? [])];
  const names = new Map(known.map((one) => [one.id, one.name]));
  const nameOf = (id: string): string => names.get(id) ?? id;
  const error = grants.error ?? groups.error ?? users.error ?? programs.error;
  if (!identity.manages("manage_team")) return <NotAllowed />;
  return (
    <>
      <PageHead title="Grants" sub="What users, groups and programs may do, and where">
        <Button look="primary" icon="plus" onClick={() => setAsking({ kind: "add-grant" })}>
          Add grant…
        </Button>
      </PageHead>
      {error !== null && <ErrorBox error={error} retry={done} />}
      {grants.data === null && error === null && <Loading />}
      {grants.data !== null && (
        <GrantTable
          grants={grants.data.grants}
          nameOf={nameOf}
          onRemove={(grant) => setAsking({ kind: "remove-grant", grant })}
        />
      )}
      {groups.data !== null && (
        <section class="panel part" aria-labelledby="groups">
          <header>
            <div>
              <h2 id="groups">Groups</h2>
              <p class="soft">Users with the same grants.</p>
            </div>
            <Button icon="plus" onClick={() => setAsking({ kind: "add-group" })}>
              Add group…
            </Button>
          </header>
          {groups.data.groups.length === 0 && <p class="part-none soft">No groups yet</p>}
          {groups.data.groups.length > 0 && (
            <GroupTable groups={groups.data.groups} nameOf={nameOf} onAsk={setAsking} />
          )}
        </section>
      )}
      {asking?.kind === "add-grant" && (
        <AddGrant
          users={users.data?.users ?? []}
          groups={groups.data?.groups ?? []}
          programs={programs.data?.programs ?? []}
          onDone={done}
          onClose={close}
        />
      )}
      {asking?.kind === "remove-grant" && (
        <AskFirst
          title="Remove this grant?"
          action="Remove grant"
          request={() => people.removeGrant(asking.grant.id)}
          onDone={done}
          onClose={close}
        >
          {granteeText(asking.grant.to, nameOf)}{" "}
          {limitsOf(asking.grant).length > 0 ? "loses" : "is no longer"} {asking.grant.role}
          {limitsOf(asking.grant).length > 0 && " within these limits"}. Open pages notice it within
          seconds.
        </AskFirst>
      )}
      {(asking?.kind === "add-group" || asking?.kind === "edit-group") && (
        <EditGroup
          group={asking.kind === "edit-group" ? asking.group : null}
          users={users.data?.users ?? []}
          onDone={done}
          onClose={close}
        />
      )}
      {asking?.kind === "remove-group" && (
        <AskFirst
          title={`Remove group ${asking.group.name}?`}
          action="Remove group"
          request={() => people.removeGroup(asking.group.name)}
          onDone={done}
          onClose={close}
        >
          {count(asking.group.members.length, "member")} lose the grants of the group.
        </AskFirst>
      )}
    </>
  );
}

interface GroupTableProps {
  groups: readonly Group[];
  nameOf: (id: string) => string;
  onAsk: (asking: Asking) => void;
}

function GroupTable({ groups, nameOf, onAsk }: GroupTableProps) {
  return (
    <div class="table-wrap">
      <table class="records">
        <thead>
          <tr>
            <th>Group</th>
            <th>Members</th>
            <th>
              <span class="unseen">Change</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {groups.map((group) => (
            <tr key={group.name}>
              <td class="main-cell">
                <strong>{group.name}</strong>
              </td>
              <td data-label="Members">
                {group.members.length === 0 ? (
                  <span class="faint">none</span>
                ) : (
                  group.members.map(nameOf).sort().join(", ")
                )}
              </td>
              <td class="right">
                <Menu
                  label={`Group ${group.name}`}
                  items={[
                    {
                      label: "Change members…",
                      onSelect: () => onAsk({ kind: "edit-group", group }),
                    },
                    { label: "Remove…", onSelect: () => onAsk({ kind: "remove-group", group }) },
                  ]}
                />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

interface FormProps {
  users: readonly User[];
  onDone: () => void;
  onClose: () => void;
}

function EditGroup({ group, users, onDone, onClose }: FormProps & { group: Group | null }) {
  const [name, setName] = useState(group?.name ?? "");
  const [members, setMembers] = useState<readonly string[]>(group?.members ?? []);
  return (
    <FormDialog
      title={group === null ? "Add group" : `Members of ${group.name}`}
      action={group === null ? "Add group" : "Change members"}
      disabled={name.trim() === ""}
      request={() => people.setGroup(name.trim(), [...members])}
      onDone={onDone}
      onClose={onClose}
    >
      {group === null && <Entry label="Name" value={name} onInput={setName} first />}
      <fieldset class="option">
        <legend>Members</legend>
        <ul class="check-list">
          {users.map(({ id, name: user }) => (
            <li key={id}>
              <label>
                <input
                  type="checkbox"
                  checked={members.includes(id)}
                  onChange={(event) =>
                    setMembers(
                      event.currentTarget.checked
                        ? [...members, id]
                        : members.filter((one) => one !== id),
                    )
                  }
                />
                {user}
              </label>
            </li>
          ))}
        </ul>
      </fieldset>
    </FormDialog>
  );
}
