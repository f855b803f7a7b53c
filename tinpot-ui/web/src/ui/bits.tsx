import type { ComponentChildren } from "preact";
import { ApiError, errorText } from "../api/http";
import type { Status } from "../api/types";
import { href } from "../app/base";
import { Button } from "./button";
import { Icon, type IconName } from "./icons";

const STATUS_TEXT: Record<Status, string> = {
  queued: "queued",
  running: "running",
  cancelling: "cancelling",
  succeeded: "succeeded",
  failed: "failed",
  cancelled: "cancelled",
  timed_out: "timed out",
  lost: "lost",
};

export function statusText(status: Status): string {
  return STATUS_TEXT[status] ?? status;
}

/** The status of an execution: never by colour alone. */
export function StatusBadge({ status, plain = false }: { status: Status; plain?: boolean }) {
  return (
    <span class={`status ${plain ? "plain" : ""}`} data-status={status}>
      <i aria-hidden="true" />
      {statusText(status)}
    </span>
  );
}

export function Empty({
  title,
  icon,
  children,
}: {
  title: string;
  icon?: IconName;
  children?: ComponentChildren;
}) {
  return (
    <div class="empty">
      {icon !== undefined && <Icon name={icon} />}
      <strong>{title}</strong>
      {children !== undefined && <div>{children}</div>}
    </div>
  );
}

/** What went wrong, and a way to try again. */
export function ErrorBox({
  error,
  retry,
  title,
}: {
  error: unknown;
  retry?: () => void;
  title?: string;
}) {
  const unreachable = error instanceof ApiError && error.unreachable;
  return (
    <div class="error-box" role="alert">
      <Icon name="warning" />
      <div>
        <strong>{title ?? (unreachable ? "No answer" : "That did not work")}</strong>
        <p>{errorText(error)}</p>
      </div>
      {retry !== undefined && <Button onClick={retry}>Try again</Button>}
    </div>
  );
}

/** Rows of grey while the first answer is awaited. */
export function Loading({ rows = 3 }: { rows?: number }) {
  return (
    <div class="loading" role="status" aria-label="loading">
      {Array.from({ length: rows }, (_, at) => (
        <div key={at} />
      ))}
    </div>
  );
}

export function ExecutionLink({ id, children }: { id: string; children?: ComponentChildren }) {
  return (
    <a
      href={href(`/executions/${encodeURIComponent(id)}`)}
      class={children === undefined ? "mono" : undefined}
    >
      {children ?? shortId(id)}
    </a>
  );
}

export function ActionLink({ name }: { name: string }) {
  return <a href={href(`/actions/${encodeURIComponent(name)}`)}>{name}</a>;
}

/** The end of an id tells executions apart: its beginning is the time. */
export function shortId(id: string): string {
  return id.length > 12 ? `…${id.slice(-8)}` : id;
}

interface PageHeadProps {
  title: ComponentChildren;
  sub?: ComponentChildren;
  children?: ComponentChildren;
}

/** The heading of a page, with what can be done there at its right. */
export function PageHead({ title, sub, children }: PageHeadProps) {
  return (
    <header class="page-head">
      <div>
        <h1>{title}</h1>
        {sub !== undefined && <p>{sub}</p>}
      </div>
      {children !== undefined && <div class="page-actions">{children}</div>}
    </header>
  );
}

/** A key of the keyboard. */
export function Key({ children }: { children: ComponentChildren }) {
  return <kbd>{children}</kbd>;
}

/** `3 workers`, `1 worker`. */
export function count(number: number, one: string, many = `${one}s`): string {
  return `${number.toLocaleString("en")} ${number === 1 ? one : many}`;
}
