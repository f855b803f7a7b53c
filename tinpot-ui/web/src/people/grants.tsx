// The grants and the groups of users.
import { useState } from "preact/hooks";
import { useTitle } from "../app/use-title";
import { Entry } from "../identity/entry";
import { identity } from "../identity/identity";
import { useResource } from "../stream";
import { Button, count, ErrorBox, Loading, Menu, PageHead } from "../ui";
import {
  type Grant,
  type Grantee,
  type Group,
  LIMITS,
  type Limits,
  people,
  ROLES,
  type Role,
  type User,
} from "./api";
import { AskFirst, FormDialog } from "./ask";
import { NotAllowed } from "./members";

const KINDS = ["user", "group", "program", "action"] as const;
type GranteeKind = (typeof KINDS)[number];

const KIND_TEXT: Record<GranteeKind, string> = {
  user: "A user",
  group: "A group",
  program: "A program",
  action: "The calls of an action",
};

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
  const [asking, setAsking] = useState<Asking>(null);
  const close = (): void => setAsking(null);
  const done = (): void => {
    close();
    grants.reload();
    groups.reload();
    void identity.check();
  };
  const names = new Map(users.data?.users.map((one) => [one.id, one.name]));
  const nameOf = (id: string): string => names.get(id) ?? id;
  const error = grants.error ?? groups.error ?? users.error;
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

function kindOf(to: Grantee): GranteeKind {
  return KINDS.find((kind) => to[kind] !== undefined) ?? "user";
}

function granteeText(to: Grantee, nameOf: (id: string) => string): string {
  const kind = kindOf(to);
  const id = to[kind] ?? "";
  return kind === "user" ? nameOf(id) : `${kind} ${id}`;
}

/** Returns the limits of a grant as short texts. */
function limitsOf(grant: Grant): string[] {
  const limits = LIMITS.flatMap((limit) => {
    const list = grant[limit];
    if (list === null || list === undefined) return [];
    return [`${limit}: ${list.length === 0 ? "none" : list.join(", ")}`];
  });
  return grant.own_only ? [...limits, "own executions only"] : limits;
}

interface GrantTableProps {
  grants: readonly Grant[];
  nameOf: (id: string) => string;
  onRemove: (grant: Grant) => void;
}

function GrantTable({ grants, nameOf, onRemove }: GrantTableProps) {
  return (
    <div class="panel table-wrap">
      <table class="records">
        <thead>
          <tr>
            <th>To</th>
            <th>Role</th>
            <th>Limits</th>
            <th>
              <span class="unseen">Remove</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {grants.map((one) => {
            const kind = kindOf(one.to);
            const name = kind === "user" ? nameOf(one.to.user ?? "") : one.to[kind];
            const limits = limitsOf(one);
            return (
              <tr key={one.id}>
                <td class="main-cell">
                  <strong>{name}</strong>
                  {kind !== "user" && <span class="tag">{kind}</span>}
                </td>
                <td data-label="Role">{one.role}</td>
                <td data-label="Limits">
                  {limits.length === 0 ? (
                    <span class="faint">none</span>
                  ) : (
                    <span class="tags">
                      {limits.map((text) => (
                        <span class="tag" key={text}>
                          {text}
                        </span>
                      ))}
                    </span>
                  )}
                </td>
                <td class="right">
                  <Button
                    class="small"
                    look="quiet"
                    icon="close"
                    aria-label={`Remove the grant of ${name}: ${one.role}`}
                    onClick={() => onRemove(one)}
                  />
                </td>
              </tr>
            );
          })}
        </tbody>
      </table>
    </div>
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

const NO_LIMITS: Record<keyof Limits, string> = {
  actions: "",
  groups: "",
  queues: "",
  environments: "",
};

/** Returns the names and patterns of a text; an empty text is no limit. */
function patternsOf(text: string): string[] | null {
  const patterns = text.split(/[\s,]+/).filter(Boolean);
  return patterns.length === 0 ? null : patterns;
}

function AddGrant({ users, groups, onDone, onClose }: FormProps & { groups: readonly Group[] }) {
  const [kind, setKind] = useState<GranteeKind>("user");
  const [to, setTo] = useState("");
  const [role, setRole] = useState<Role>("operator");
  const [limits, setLimits] = useState(NO_LIMITS);
  const [ownOnly, setOwnOnly] = useState(false);
  const choices =
    kind === "user"
      ? users.map(({ id, name }) => ({ id, name }))
      : kind === "group"
        ? groups.map(({ name }) => ({ id: name, name }))
        : null;
  const save = () => {
    const [actions, ofGroups, queues, environments] = LIMITS.map((limit) =>
      patternsOf(limits[limit]),
    ) as [string[] | null, string[] | null, string[] | null, string[] | null];
    return people.addGrant({
      to: { [kind]: to.trim() },
      role,
      actions,
      groups: ofGroups,
      queues,
      environments,
      own_only: ownOnly,
    });
  };
  return (
    <FormDialog
      title="Add grant"
      action="Add grant"
      disabled={to.trim() === ""}
      request={save}
      onDone={onDone}
      onClose={onClose}
    >
      <div class="stack-row">
        <div class="option">
          <label for="grant-kind">To</label>
          <select
            id="grant-kind"
            value={kind}
            data-autofocus
            onChange={(event) => {
              setKind(KINDS.find((one) => one === event.currentTarget.value) ?? "user");
              setTo("");
            }}
          >
            {KINDS.map((one) => (
              <option key={one} value={one}>
                {KIND_TEXT[one]}
              </option>
            ))}
          </select>
        </div>
        {choices === null ? (
          <Entry
            label={kind === "action" ? "Name of the action" : "ID of the program"}
            value={to}
            onInput={setTo}
          />
        ) : (
          <div class="option">
            <label for="grant-to">{kind === "user" ? "User" : "Group"}</label>
            <select id="grant-to" value={to} onChange={(event) => setTo(event.currentTarget.value)}>
              <option value="">choose</option>
              {choices.map(({ id, name }) => (
                <option key={id} value={id}>
                  {name}
                </option>
              ))}
            </select>
          </div>
        )}
      </div>
      <div class="option">
        <label for="grant-role">Role</label>
        <select
          id="grant-role"
          value={role}
          onChange={(event) =>
            setRole(ROLES.find((one) => one === event.currentTarget.value) ?? "viewer")
          }
        >
          {ROLES.map((one) => (
            <option key={one} value={one}>
              {one}
            </option>
          ))}
        </select>
      </div>
      <fieldset class="option">
        <legend>Limits</legend>
        <p class="field-hint">
          Names or patterns such as deploy-*, separated by commas. Empty: no limit. All limits must
          hold.
        </p>
        <div class="stack-row">
          {LIMITS.map((limit) => (
            <Entry
              key={limit}
              label={LIMIT_TEXT[limit]}
              value={limits[limit]}
              onInput={(text) => setLimits({ ...limits, [limit]: text })}
            />
          ))}
        </div>
        <label class="switch">
          <input
            type="checkbox"
            checked={ownOnly}
            onChange={(event) => setOwnOnly(event.currentTarget.checked)}
          />
          Own executions only
        </label>
      </fieldset>
    </FormDialog>
  );
}

const LIMIT_TEXT: Record<keyof Limits, string> = {
  actions: "Actions",
  groups: "Groups of actions",
  queues: "Queues",
  environments: "Environments",
};

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
