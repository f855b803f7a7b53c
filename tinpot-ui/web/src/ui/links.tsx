import type { ComponentChildren } from "preact";
import { href } from "../app/base-path";

/** A link to an execution, by its short id unless children are given. */
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

/** A link to an action. */
export function ActionLink({ name }: { name: string }) {
  return <a href={href(`/actions/${encodeURIComponent(name)}`)}>{name}</a>;
}

/** Returns the number of an execution as people write it. */
export function numberText({ number }: { number: number }): string {
  return `#${number}`;
}

/** Returns the end of an id, where ids differ: their beginning is the time. */
export function shortId(id: string): string {
  return id.length > 12 ? `…${id.slice(-8)}` : id;
}
