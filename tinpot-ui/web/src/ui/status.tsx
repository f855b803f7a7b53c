import { STATUSES, type Status } from "../api/types";

const STATUS_TEXT: ReadonlyMap<string, string> = new Map(
  STATUSES.map((status) => [status, status.replace("_", " ")]),
);

/** Returns the words for a status: `timed out` for `timed_out`. */
export function statusText(status: Status): string {
  return STATUS_TEXT.get(status) ?? status;
}

/** Returns true if an error says more than the status: one that timed out has no other reason. */
export function hasReason({ error, status }: { error: string | null; status: Status }): boolean {
  return error !== null && error !== statusText(status);
}

/** The status of an execution, as a word and a colour. */
export function StatusBadge({ status, plain = false }: { status: Status; plain?: boolean }) {
  return (
    <span class={`status ${plain ? "plain" : ""}`} data-status={status}>
      <i aria-hidden="true" />
      {statusText(status)}
    </span>
  );
}
