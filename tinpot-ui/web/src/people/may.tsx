// The rights of a user, as the server decides now.
import { useState } from "preact/hooks";
import { Entry } from "../identity/entry";
import { useResource } from "../stream";
import { Button, Dialog, ErrorBox, Loading } from "../ui";
import { people, type User } from "./api";

export function Rights({ user, onClose }: { user: User; onClose: () => void }) {
  const [action, setAction] = useState("");
  const [typed, setTyped] = useState("");
  const asked = useResource(`may ${user.id} ${action}`, (signal) =>
    people.may(user.id, action, signal),
  );
  const { rights, own } = asked.data ?? { rights: [], own: [] };
  return (
    <Dialog title={`Rights of ${user.name}`} onClose={onClose}>
      <form
        class="stack"
        onSubmit={(event) => {
          event.preventDefault();
          setAction(typed.trim());
        }}
      >
        <Entry
          label="Action"
          hint="The name of an action; empty for the rights anywhere in the team"
          value={typed}
          onInput={setTyped}
          first
        />
        {asked.error !== null && <ErrorBox error={asked.error} retry={asked.reload} />}
        {asked.data === null && asked.error === null && <Loading />}
        {asked.data !== null && (
          <>
            <Tags names={rights} none="No rights" />
            {own.length > 0 && (
              <>
                <p class="dialog-text">Also, on their own executions:</p>
                <Tags names={own} none="" />
              </>
            )}
          </>
        )}
        <div class="dialog-buttons">
          <Button onClick={onClose}>Close</Button>
          <Button look="primary" submit>
            Show
          </Button>
        </div>
      </form>
    </Dialog>
  );
}

function Tags({ names, none }: { names: readonly string[]; none: string }) {
  if (names.length === 0) return <p class="dialog-text">{none}</p>;
  return (
    <span class="tags">
      {names.map((name) => (
        <span class="tag" key={name}>
          {name.replaceAll("_", " ")}
        </span>
      ))}
    </span>
  );
}
