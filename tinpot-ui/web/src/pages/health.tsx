// What needs attention: files that failed to load, paused queues, missing workers.
import { useEffect } from "preact/hooks";
import { api } from "../api/client";
import type { LoadError, Queue, Worker } from "../api/types";
import { href } from "../app/base-path";
import { hub, useResource } from "../stream";
import { count, Icon } from "../ui";
import { groupLoadErrors } from "./load-errors";

export interface Concern {
  text: string;
  /** The page that shows more. */
  to: string;
  link: string;
}

/** The time without a heartbeat, which arrives every few seconds, that is worth a warning. */
export const SILENT_SECONDS = 15;
const NAMED = 3;

/** Returns true if actions are not offered because of this error, until it is over. */
function isBlocking(error: LoadError): boolean {
  return error.blocking === true;
}

/** Returns names as a text: `a, b, c and 2 more`. */
function named(names: readonly string[]): string {
  const shown = names.slice(0, NAMED).join(", ");
  return names.length > NAMED ? `${shown} and ${names.length - NAMED} more` : shown;
}

/** Returns what needs attention; `queue` limits it to what concerns one queue. */
export function concernsOf(
  workers: readonly Worker[] | undefined,
  queues: readonly Queue[] | undefined,
  queue?: string,
): Concern[] {
  const found: Concern[] = [];
  const places = [
    ...new Set(
      groupLoadErrors(workers ?? [])
        .filter((one) => !isBlocking(one.error))
        .map((one) => one.error.place.replace(/^.*\//, "")),
    ),
  ];
  if (places.length > 0)
    found.push({
      text: `Cannot load ${named(places)}.`,
      to: "/actions",
      link: count(places.length, "load error"),
    });
  if (workers?.length === 0)
    found.push({
      text: "No live workers. Executions wait until a worker starts.",
      to: "/workers",
      link: "Workers",
    });
  const blocked = (workers ?? []).filter((one) => one.problems.some(isBlocking));
  if (blocked.length > 0)
    found.push({
      text: `Cannot start actions: ${named(blocked.map((one) => one.name || one.id))}.`,
      to: "/workers",
      link: "Reason",
    });
  const silent = (workers ?? []).filter((one) => one.silent_for > SILENT_SECONDS);
  if (silent.length > 0)
    found.push({
      text: `Not responding: ${named(silent.map((one) => one.name || one.id))}.`,
      to: "/workers",
      link: "Workers",
    });
  for (const one of queues ?? []) {
    if (queue !== undefined && one.name !== queue) continue;
    const waiting = one.waiting + one.delayed;
    const waits = waiting > 0 ? ` ${count(waiting, "execution")} queued.` : "";
    if (one.paused)
      found.push({ text: `Queue ${one.name} is paused.${waits}`, to: "/queues", link: "Queues" });
    else if (one.workers === 0 && waiting > 0 && workers?.length !== 0)
      found.push({
        text: `No worker serves queue ${one.name}.${waits}`,
        to: "/queues",
        link: "Queues",
      });
  }
  return found;
}

/** Loads the workers and the queues and keeps them up to date. */
export function useFleet() {
  const workers = useResource("fleet workers", (signal) => api.workers({ signal }));
  const queues = useResource("fleet queues", (signal) => api.queues({ signal }));
  useEffect(() => {
    const leave = [
      hub.onChange("workers", workers.reload),
      hub.onChange("catalogue", workers.reload),
      hub.onChange("queues", queues.reload),
    ];
    return () => {
      for (const stop of leave) stop();
    };
  }, [workers.reload, queues.reload]);
  return { workers, queues };
}

/** The concerns as a strip below the heading of a page; nothing if there are none. */
export function HealthStrip({ concerns }: { concerns: readonly Concern[] }) {
  if (concerns.length === 0) return null;
  return (
    <ul class="strip" aria-label="Needs attention">
      {concerns.map((one) => (
        <li key={one.text}>
          <Icon name="warning" />
          <span>{one.text}</span>
          <a href={href(one.to)}>{one.link}</a>
        </li>
      ))}
    </ul>
  );
}
