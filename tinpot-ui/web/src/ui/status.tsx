import { STATUSES, type Status } from "../api/types";

const STATUS_TEXT: ReadonlyMap<string, string> = new Map(
  STATUSES.map((status) => [status, status.replace("_", " ")]),
);

/** Returns the words for a status: `timed out` for `timed_out`. */
export function statusText(status: Status): string {
  return STATUS_TEXT.get(status) ?? status;
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
