// The palette: finds pages, actions, and executions by a part of their id.
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { api } from "../api/client";
import { isAbort } from "../api/transport";
import type { ActionView, ExecutionSummary } from "../api/types";
import { Dialog, Icon, type IconName, StatusBadge } from "../ui";
import { catalogue } from "./catalogue";
import { search } from "./fuzzy-search";
import { navigate } from "./router";
import { SECTIONS } from "./sections";

export interface Entry {
  id: string;
  icon: IconName;
  title: string;
  note: string;
  to: string;
  execution?: ExecutionSummary;
}

const SHOWN = 12;
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;
/** A text that looks like a part of an id. */
const ID_PART = /^…?[0-9a-f-]{4,36}$/i;

/** Returns the results of a query; `recent` are the executions that a part of an id can name. */
export function entries(
  query: string,
  actions: readonly ActionView[],
  recent: readonly ExecutionSummary[],
): Entry[] {
  const text = query.trim();
  const found: Entry[] = [];
  const part = text.replace(/^…/, "").toLowerCase();
  if (ID_PART.test(text)) {
    for (const one of recent) {
      if (one.execution_id.includes(part)) {
        found.push({
          id: `e ${one.execution_id}`,
          icon: "history",
          title: one.action_name,
          note: one.execution_id,
          to: `/executions/${one.execution_id}`,
          execution: one,
        });
      }
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
  const pages: Entry[] = SECTIONS.map((one) => ({
    id: `p ${one.path}`,
    icon: one.icon,
    title: one.title,
    note: "page",
    to: one.path,
  }));
  const all: Entry[] = [
    ...pages,
    ...actions.map(
      (one): Entry => ({
        id: `a ${one.name}`,
        icon: "actions",
        title: one.name,
        note: one.group,
        to: `/actions/${encodeURIComponent(one.name)}`,
      }),
    ),
  ];
  found.push(
    ...search(
      text,
      all,
      (one) => (one.note === "page" ? one.title : `${one.title} ${one.note}`),
      SHOWN,
    ),
  );
  return found.slice(0, SHOWN);
}

export function Palette({ onClose }: { onClose: () => void }) {
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
  const actions = catalogue.actions.value;
  const found = useMemo(() => entries(query, actions ?? [], recent), [query, actions, recent]);
  const current = Math.min(at, found.length - 1);

  const go = (entry: Entry | undefined): void => {
    if (entry === undefined) return;
    onClose();
    navigate(entry.to);
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
          aria-label="Search actions, pages and executions"
          aria-expanded="true"
          aria-controls="palette-list"
          aria-autocomplete="list"
          aria-activedescendant={found.length === 0 ? undefined : `palette-${current}`}
          placeholder="Action, page, or the id of an execution"
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
