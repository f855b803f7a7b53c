// The grants of a team, or of one program, as a table.
import { Button } from "../ui";
import { type Grant, type Grantee, LIMITS } from "./api";

export const KINDS = ["user", "group", "program", "action"] as const;
export type GranteeKind = (typeof KINDS)[number];

function kindOf(to: Grantee): GranteeKind {
  return KINDS.find((kind) => to[kind] !== undefined) ?? "user";
}

export function granteeText(to: Grantee, nameOf: (id: string) => string): string {
  const kind = kindOf(to);
  const id = to[kind] ?? "";
  if (kind === "user") return nameOf(id);
  return `${kind} ${kind === "program" ? nameOf(id) : id}`;
}

/** Returns the limits of a grant as short texts. */
export function limitsOf(grant: Grant): string[] {
  const limits = LIMITS.flatMap((limit) => {
    const list = grant[limit];
    if (list === null || list === undefined) return [];
    return [`${limit}: ${list.length === 0 ? "none" : list.join(", ")}`];
  });
  return grant.own_only ? [...limits, "own executions only"] : limits;
}

interface Props {
  grants: readonly Grant[];
  nameOf: (id: string) => string;
  onRemove: (grant: Grant) => void;
  /** If true, it is in a panel already. */
  bare?: boolean;
}

export function GrantTable({ grants, nameOf, onRemove, bare = false }: Props) {
  return (
    <div class={bare ? "table-wrap" : "panel table-wrap"}>
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
            const id = one.to[kind] ?? "";
            const name = kind === "user" || kind === "program" ? nameOf(id) : id;
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
