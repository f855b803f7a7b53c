// Cancelling, running again and watching the selected executions.
import { useState } from "preact/hooks";
import { api } from "../api/client";
import { errorText } from "../api/transport";
import { type BulkResult, isTerminal } from "../api/types";
import { href } from "../app/base-path";
import { identity } from "../identity/identity";
import { Button, Confirm, count, Dialog, ExecutionLink, Icon, shortId } from "../ui";
import { SELECTED_MAX, type Selection } from "./execution-table";

/** The executions that one page shows side by side. */
const WATCHED_MAX = 8;

type Kind = "cancel" | "rerun";

interface BulkBarProps {
  selected: Selection;
  onSelect: (selected: Selection) => void;
  onChanged: () => void;
}

/** The commands for the selected executions. */
export function BulkBar({ selected, onSelect, onChanged }: BulkBarProps) {
  const [asking, setAsking] = useState<Kind | null>(null);
  const [force, setForce] = useState(false);
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<string | null>(null);
  const [results, setResults] = useState<{ kind: Kind; list: BulkResult[] } | null>(null);
  const all = [...selected.values()];
  const live = all.filter((one) => !isTerminal(one.status));
  const ended = all.filter((one) => isTerminal(one.status));
  const of = { cancel: live, rerun: ended };
  const close = (): void => {
    setAsking(null);
    setError(null);
    setForce(false);
  };
  const confirm = async (kind: Kind): Promise<void> => {
    setBusy(true);
    setError(null);
    const ids = of[kind].map((one) => one.execution_id);
    try {
      const answer = await (kind === "cancel" ? api.cancelMany(ids, force) : api.rerunMany(ids));
      close();
      setResults({ kind, list: answer.results });
      onChanged();
    } catch (failure) {
      setError(errorText(failure));
    } finally {
      setBusy(false);
    }
  };
  const left = (kind: Kind): string => {
    const rest = all.length - of[kind].length;
    if (rest === 0) return "";
    return kind === "cancel"
      ? ` ${count(rest, "selected execution has", "selected executions have")} already ended and will not change.`
      : ` ${count(rest, "selected execution has", "selected executions have")} not ended and will not be run again.`;
  };
  return (
    <>
      {all.length > 0 && (
        <div class="bulk-bar" role="toolbar" aria-label="Selected executions">
          <span role="status">
            {all.length} selected{all.length === SELECTED_MAX && ` (at most ${SELECTED_MAX})`}
          </span>
          {identity.may("cancel") && (
            <Button
              look="danger"
              disabled={live.length === 0}
              onClick={() => setAsking("cancel")}
              title={live.length === 0 ? "All selected executions have ended" : undefined}
            >
              Cancel…
            </Button>
          )}
          {identity.may("rerun") && (
            <Button
              icon="reset"
              disabled={ended.length === 0}
              onClick={() => setAsking("rerun")}
              title={ended.length === 0 ? "No selected execution has ended" : undefined}
            >
              Run again…
            </Button>
          )}
          {all.length <= WATCHED_MAX ? (
            <a
              class="button"
              href={href(
                `/watch?ids=${all.map((one) => encodeURIComponent(one.execution_id)).join()}`,
              )}
            >
              Watch together
            </a>
          ) : (
            <Button
              disabled
              title={`Select at most ${WATCHED_MAX} executions to watch them together`}
            >
              Watch together
            </Button>
          )}
          <Button look="quiet" icon="close" onClick={() => onSelect(new Map())}>
            Clear selection
          </Button>
        </div>
      )}
      {asking === "cancel" && (
        <Confirm
          title={`Cancel ${count(live.length, "execution")}?`}
          action={force ? "Kill now" : `Cancel ${count(live.length, "execution")}`}
          danger
          dismiss="Keep running"
          busy={busy}
          error={error}
          onConfirm={() => void confirm("cancel")}
          onClose={close}
        >
          <p>
            The actions are asked to end, and so are the executions that they wait for.
            {left("cancel")}
          </p>
          <label class="switch bulk-force">
            <input
              type="checkbox"
              checked={force}
              onChange={(event) => setForce(event.currentTarget.checked)}
            />
            Kill at once, without time to clean up
          </label>
        </Confirm>
      )}
      {asking === "rerun" && (
        <Confirm
          title={`Run ${count(ended.length, "execution")} again?`}
          action="Run again"
          busy={busy}
          error={error}
          onConfirm={() => void confirm("rerun")}
          onClose={close}
        >
          <p>
            Submits each action with the same parameters, including secrets, and the same options.
            {left("rerun")}
          </p>
        </Confirm>
      )}
      {results !== null && (
        <Results
          {...results}
          names={selected}
          onClose={() => {
            setResults(null);
            onSelect(new Map());
          }}
        />
      )}
    </>
  );
}

interface ResultsProps {
  kind: Kind;
  list: readonly BulkResult[];
  names: Selection;
  onClose: () => void;
}

/** The result of each execution: failures first. */
function Results({ kind, list, names, onClose }: ResultsProps) {
  const failed = list.filter((one) => one.execution === undefined);
  const good = list.filter((one) => one.execution !== undefined);
  const verb = kind === "cancel" ? "cancelled" : "submitted again";
  const copies = good.map((one) => one.execution?.execution_id ?? "");
  return (
    <Dialog
      title={
        failed.length === 0
          ? `${count(good.length, "execution")} ${verb}`
          : `${good.length} of ${count(list.length, "execution")} ${verb}`
      }
      class="bulk-results"
      onClose={onClose}
    >
      <ul>
        {[...failed, ...good].map((one) => (
          <li key={one.execution_id}>
            <Icon name={one.execution === undefined ? "warning" : "check"} />
            <span>
              {names.get(one.execution_id)?.action_name}{" "}
              <span class="mono faint">{shortId(one.execution_id)}</span>
              {one.execution === undefined && (
                <span class="error-text"> {one.error?.detail ?? "failed"}</span>
              )}
            </span>
            {one.execution !== undefined && <ExecutionLink id={one.execution.execution_id} />}
          </li>
        ))}
      </ul>
      <div class="dialog-buttons">
        {kind === "rerun" && copies.length > 1 && copies.length <= WATCHED_MAX && (
          <a class="button" href={href(`/watch?ids=${copies.map(encodeURIComponent).join()}`)}>
            Watch together
          </a>
        )}
        <Button onClick={onClose} data-autofocus>
          Close
        </Button>
      </div>
    </Dialog>
  );
}
