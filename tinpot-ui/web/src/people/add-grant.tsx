// The dialog that adds a grant.
import { useState } from "preact/hooks";
import { Entry } from "../identity/entry";
import {
  type Group,
  LIMITS,
  type Limits,
  type Program,
  people,
  ROLES,
  type Role,
  type User,
} from "./api";
import { FormDialog } from "./ask";
import { type GranteeKind, KINDS } from "./grant-table";

const KIND_TEXT: Record<GranteeKind, string> = {
  user: "A user",
  group: "A group",
  program: "A program",
  action: "The calls of an action",
};

const CHOICE_TEXT: Record<GranteeKind, string> = {
  user: "User",
  group: "Group",
  program: "Program",
  action: "Action",
};

interface Props {
  users: readonly User[];
  groups: readonly Group[];
  programs: readonly Program[];
  /** The only one that the grant can be for. */
  program?: Program;
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

export function AddGrant({ users, groups, programs, program, onDone, onClose }: Props) {
  const [kind, setKind] = useState<GranteeKind>(program === undefined ? "user" : "program");
  const [to, setTo] = useState(program?.id ?? "");
  const [role, setRole] = useState<Role>("operator");
  const [limits, setLimits] = useState(NO_LIMITS);
  const [ownOnly, setOwnOnly] = useState(false);
  const choices = {
    user: users.map(({ id, name }) => ({ id, name })),
    group: groups.map(({ name }) => ({ id: name, name })),
    program: programs.map(({ id, name }) => ({ id, name })),
    action: null,
  }[kind];
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
      title={program === undefined ? "Add grant" : `Add grant for ${program.name}`}
      action="Add grant"
      disabled={to.trim() === ""}
      request={save}
      onDone={onDone}
      onClose={onClose}
    >
      {program === undefined && (
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
            <Entry label="Name of the action" value={to} onInput={setTo} />
          ) : (
            <div class="option">
              <label for="grant-to">{CHOICE_TEXT[kind]}</label>
              <select
                id="grant-to"
                value={to}
                onChange={(event) => setTo(event.currentTarget.value)}
              >
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
      )}
      <div class="option">
        <label for="grant-role">Role</label>
        <select
          id="grant-role"
          value={role}
          data-autofocus={program !== undefined}
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
