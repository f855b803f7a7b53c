// The menu of the person who is signed in.
import { useState } from "preact/hooks";
import type { Me } from "../api/auth";
import { errorText } from "../api/transport";
import { navigate } from "../app/router";
import { Confirm, Menu } from "../ui";
import { identity } from "./identity";

/** Returns the role that a person has at least somewhere, by what they may do. */
export function roleOf({ rights, server_admin }: Me): string {
  const has = (right: string): boolean => rights.includes(right);
  const role = has("manage_team")
    ? "admin"
    : has("drain_worker") || has("pause_queue")
      ? "developer"
      : has("run")
        ? "operator"
        : has("read") || has("see_action")
          ? "viewer"
          : "no role";
  return server_admin ? `${role}, server admin` : role;
}

export function YouMenu({ me }: { me: Me }) {
  const [asking, setAsking] = useState<"here" | "everywhere" | null>(null);
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<string | null>(null);
  const teams = me.teams ?? [];
  const several = teams.length > 1;
  const everywhere = asking === "everywhere";
  const signOut = async (): Promise<void> => {
    setBusy(true);
    setError(null);
    try {
      await identity.signOut(everywhere);
    } catch (failure) {
      setError(errorText(failure));
      setBusy(false);
      // The menu is closed, so the error is shown in the dialog.
      setAsking((old) => old ?? "here");
    }
  };
  return (
    <>
      <Menu
        label={`You: ${me.name}`}
        class="you"
        icon="user"
        head={
          <>
            <strong>{me.name}</strong>
            <span>{roleOf(me)}</span>
            {several && <span>Team {teams.find(({ id }) => id === me.team)?.name ?? "none"}</span>}
          </>
        }
        items={[
          ...teams
            .filter(({ id }) => several && id !== me.team)
            .map(({ id, name }) => ({
              label: `Switch to team ${name}`,
              onSelect: () => identity.chooseTeam(id),
            })),
          { label: "Account and tokens", onSelect: () => navigate("/you") },
          ...(identity.hasPassword
            ? [{ label: "Change password…", onSelect: () => navigate("/you?change=password") }]
            : []),
          ...(identity.isProxied
            ? []
            : [
                { label: "Sign out", onSelect: () => void signOut() },
                { label: "Sign out everywhere…", onSelect: () => setAsking("everywhere") },
              ]),
        ]}
      >
        <span class="unseen">You: </span>
        <span class="you-name">{me.name}</span>
      </Menu>
      {asking !== null && (
        <Confirm
          title={everywhere ? "Sign out everywhere?" : "Sign out?"}
          action={everywhere ? "Sign out everywhere" : "Sign out"}
          danger
          busy={busy}
          error={error}
          onConfirm={() => void signOut()}
          onClose={() => {
            setAsking(null);
            setError(null);
          }}
        >
          {everywhere
            ? "Ends your sign-ins in all browsers, this one included. Tokens stay valid."
            : "Ends the sign-in of this browser."}
        </Confirm>
      )}
    </>
  );
}
