import type { LoadError } from "../api/types";
import { count, Icon } from "../ui";

export interface LoadErrorParts {
  /** The line that names the error: the exception, for a traceback. */
  headline: string;
  /** The note that follows, such as the version that stays in use; or null. */
  note: string | null;
  /** If true, the message has more than the headline and the note. */
  more: boolean;
}

/** The lines that the worker adds after a failed reload. */
const NOTE = /^The ((last good version|changes) of |last good environment )/;
const EXCEPTION = /^[\w.]*(Error|Exception|Warning|Exit|Interrupt|Group|Iteration)\b/;

/** Returns the parts of a load error: a note at its end must not hide the exception. */
export function loadErrorParts(message: string): LoadErrorParts {
  const lines = message.replace(/^\n+|\s+$/g, "").split("\n");
  const note: string[] = [];
  while (lines.length > 1 && NOTE.test(lines[lines.length - 1] ?? ""))
    note.unshift(lines.pop() ?? "");
  const traceback = lines.some((line) => /^Traceback |^\s*File "/.test(line));
  const outer = lines.filter((line) => /^\S/.test(line) && !line.startsWith('File "'));
  const headline = traceback
    ? ([...outer].reverse().find((line) => EXCEPTION.test(line)) ?? outer[outer.length - 1])
    : lines[0];
  return {
    headline: headline ?? "",
    note: note.length === 0 ? null : note.join(" "),
    more: lines.length > 1,
  };
}

/** Returns true if everything was loaded, and something about it is worth knowing. */
export function isNotice(error: LoadError): boolean {
  return error.notice === true;
}

/** A file or an action that a worker could not load, or a notice about it. */
export function LoadErrorCard({ error, workers }: { error: LoadError; workers?: string[] }) {
  const { headline, note, more } = loadErrorParts(error.message);
  const style = isNotice(error) ? "load-error notice" : "load-error";
  const head = (
    <>
      <Icon name="warning" />
      <span>
        <strong class="mono">{error.place}</strong> <span class="load-error-head">{headline}</span>
        {note !== null && <small>{note}</small>}
      </span>
      {workers !== undefined && (
        <span class="faint">
          {workers.length > 2 ? count(workers.length, "worker") : workers.join(", ")}
        </span>
      )}
    </>
  );
  if (!more) return <div class={style}>{head}</div>;
  return (
    <details class={style}>
      <summary>{head}</summary>
      <pre tabIndex={0}>{error.message}</pre>
    </details>
  );
}

/**
 * Groups equal load errors of several workers, without notices: a broken file fails on every worker
 * that has it.
 */
export function groupLoadErrors(
  workers: readonly { name: string; id: string; problems: LoadError[] }[],
): { error: LoadError; workers: string[] }[] {
  const cards = new Map<string, { error: LoadError; workers: string[] }>();
  for (const worker of workers) {
    for (const error of worker.problems) {
      if (isNotice(error)) continue;
      const key = `${error.place}\n${error.message}`;
      const card = cards.get(key) ?? { error, workers: [] };
      card.workers.push(worker.name || worker.id);
      cards.set(key, card);
    }
  }
  return [...cards.values()];
}
