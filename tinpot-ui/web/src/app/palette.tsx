// The palette: finds pages, commands, actions, and executions by their number or a part of their id.
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { api } from "../api/client";
import { isAbort } from "../api/transport";
import { type ActionView, type ExecutionSummary, FAILURES, RUNNING } from "../api/types";
import { Dialog, Icon, type IconName, numberText, StatusBadge } from "../ui";
import { catalogue } from "./catalogue";
import { search } from "./fuzzy-search";
import { navigate } from "./router";
import { sections } from "./sections";
import { setTheme, type Theme } from "./theme";

export interface Entry {
  id: string;
  icon: IconName;
  title: string;
  note: string;
  /** The page to open, or the command to run. */
  to: string | (() => void);
  execution?: ExecutionSummary;
}

const theme = (id: Theme, icon: IconName, title: string): Entry => ({
  id: `c theme ${id}`,
  icon,
  title,
  note: "command",
  to: () => setTheme(id),
});
const list = (title: string, query: string): Entry => ({
  id: `c ${query}`,
  icon: "history",
  title,
  note: "history",
  to: `/executions?${query}`,
});

const COMMANDS: readonly Entry[] = [
  list("Failed executions", `status=${FAILURES.join()}`),
  list("Running executions", `status=${RUNNING.join()}`),
  list("Queued executions", "status=queued"),
  list("Executions of the last hour", "period=1h"),
  list("Executions of last night", "period=night"),
  theme("light", "sun", "Use the light theme"),
  theme("dark", "moon", "Use the dark theme"),
  theme("system", "system", "Use the theme of the system"),
];

const SHOWN = 14;
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;
/** The number of an execution. */
const NUMBER = /^#?(\d{1,15})$/;
/** A text that looks like a part of an id. */
const ID_PART = /^…?[0-9a-f-]{4,36}$/i;

/** Returns the results of a query; `recent` are the executions that a part of an id can name. */
export function entries(
  query: string,
  actions: readonly ActionView[],
  recent: readonly ExecutionSummary[],
  commands: readonly Entry[] = COMMANDS,
): Entry[] {
  const text = query.trim();
  const found: Entry[] = [];
  const part = text.replace(/^…/, "").toLowerCase();
  const number = numberOf(text);
  const named = (one: ExecutionSummary, note: string): Entry => ({
    id: `e ${one.execution_id}`,
    icon: "history",
    title: one.action_name,
    note,
    to: `/executions/${one.execution_id}`,
    execution: one,
  });
  const numbered = recent.find((one) => one.number === number);
  if (numbered !== undefined) found.push(named(numbered, numberText(numbered)));
  if (ID_PART.test(text)) {
    for (const one of recent) {
      if (one.execution_id.includes(part) && one !== numbered)
        found.push(named(one, one.execution_id));
    }
  }
  if (UUID.test(text) && found.length === 0) {
    found.push({
      id: `e ${part}`,
      icon: "history",
      title: "Open execution",
      note: part,
      to: `/executions/${part}`,
    });
  }
  const pages: Entry[] = sections().map((one) => ({
    id: `p ${one.path}`,
    icon: one.icon,
    title: one.title,
    note: "page",
    to: one.path,
  }));
  const forms = actions.map(
    (one): Entry => ({
      id: `a ${one.name}`,
      icon: "actions",
      title: one.name,
      note: one.group,
      to: `/actions/${encodeURIComponent(one.name)}`,
    }),
  );
  if (text === "") return [...pages, ...commands, ...forms].slice(0, SHOWN);
  const room = SHOWN - 1;
  found.push(
    ...search(
      text,
      [...pages, ...forms, ...commands],
      (one) => (one.note === "page" ? one.title : `${one.title} ${one.note}`),
      room,
    ),
  );
  found.splice(room);
  if (!UUID.test(text))
    found.push({
      id: "s",
      icon: "search",
      title: `Search the history for “${text}”`,
      note: "",
      to: `/executions?q=${encodeURIComponent(text)}`,
    });
  return found;
}

/** Returns the number of an execution that a text names. */
function numberOf(text: string): number | undefined {
  const digits = NUMBER.exec(text.trim())?.[1];
  return digits === undefined ? undefined : Number(digits);
}

interface PaletteProps {
  /** Commands of the frame of the page, such as the list of shortcuts. */
  commands?: readonly Entry[];
  onClose: () => void;
}

export function Palette({ commands = [], onClose }: PaletteProps) {
  const [query, setQuery] = useState("");
  const [at, setAt] = useState(0);
  const [recent, setRecent] = useState<ExecutionSummary[]>([]);
  const list = useRef<HTMLUListElement>(null);
  useEffect(() => {
    catalogue.need();
    const controller = new AbortController();
    api.executions({ limit: 200 }, { signal: controller.signal }).then(
      (page) => setRecent(page.executions),
      // Without recent executions, complete ids still work.
      (error: unknown) => void isAbort(error),
    );
    return () => controller.abort();
  }, []);
  const number = numberOf(query);
  const known = number === undefined || recent.some((one) => one.number === number);
  useEffect(() => {
    if (number === undefined || known) return;
    const controller = new AbortController();
    api.executions({ number, limit: 1 }, { signal: controller.signal }).then(
      (page) => setRecent((before) => [...before, ...page.executions]),
      (error: unknown) => void isAbort(error),
    );
    return () => controller.abort();
  }, [number, known]);
  const actions = catalogue.actions.value;
  const found = useMemo(
    () => entries(query, actions ?? [], recent, [...COMMANDS, ...commands]),
    [query, actions, recent, commands],
  );
  const current = Math.min(at, found.length - 1);

  const go = (entry: Entry | undefined): void => {
    if (entry === undefined) return;
    onClose();
    if (typeof entry.to === "string") navigate(entry.to);
    else entry.to();
  };
  const pressed = (event: KeyboardEvent): void => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step !== undefined && found.length > 0) {
      event.preventDefault();
      const next = (current + step + found.length) % found.length;
      setAt(next);
      list.current?.children[next]?.scrollIntoView({ block: "nearest" });
    } else if (event.key === "Enter" && !event.isComposing) {
      event.preventDefault();
      go(found[current]);
    }
  };

  return (
    <Dialog title="Search" bare class="palette" onClose={onClose}>
      <label class="search">
        <Icon name="search" />
        <input
          role="combobox"
          aria-label="Search actions, pages, commands and executions"
          aria-expanded="true"
          aria-controls="palette-list"
          aria-autocomplete="list"
          aria-activedescendant={found.length === 0 ? undefined : `palette-${current}`}
          placeholder="Action, page, command, or the number or id of an execution"
          value={query}
          spellcheck={false}
          autocomplete="off"
          data-autofocus
          onInput={(event) => {
            setQuery(event.currentTarget.value);
            setAt(0);
          }}
          onKeyDown={pressed}
        />
      </label>
      <ul id="palette-list" ref={list} role="listbox" aria-label="Results">
        {found.map((entry, place) => (
          <li
            key={entry.id}
            id={`palette-${place}`}
            role="option"
            aria-selected={place === current}
            onMouseMove={() => place !== current && setAt(place)}
            onClick={() => go(entry)}
          >
            <Icon name={entry.icon} />
            <span>{entry.title}</span>
            {entry.execution !== undefined && <StatusBadge plain status={entry.execution.status} />}
            <small class={entry.id.startsWith("e") ? "mono" : ""}>{entry.note}</small>
          </li>
        ))}
      </ul>
      {found.length === 0 && <p class="palette-none soft">No results for “{query}”</p>}
    </Dialog>
  );
}
