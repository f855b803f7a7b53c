import type { ComponentChildren, RefObject } from "preact";
import type { LogFilter, SearchQuery } from "../api/types";
import { Icon, type IconName } from "../ui";
import type { Times } from "./log-row";
import type { LogModel } from "./model";
import type { LogSearch } from "./search";

const LEVELS: readonly [string, string][] = [
  ["", "All levels"],
  ["info", "Info and above"],
  ["warning", "Warnings and above"],
  ["error", "Errors"],
];

const STREAMS: readonly [string, string][] = [
  ["", "All streams"],
  ["stdout", "stdout"],
  ["stderr", "stderr"],
  ["log", "log"],
  ["system", "system"],
];

export const NEXT_TIMES: Record<Times, Times> = {
  off: "relative",
  relative: "absolute",
  absolute: "off",
};
const TIMES_TEXT: Record<Times, string> = {
  off: "off",
  relative: "since start",
  absolute: "time of day",
};

interface ToolbarProps {
  model: LogModel;
  search: LogSearch;
  text: SearchQuery;
  input: RefObject<HTMLInputElement | null>;
  live: boolean;
  wrap: boolean;
  times: Times;
  list: boolean;
  /** If true, there are no filters. */
  brief: boolean;
  downloadUrl: string;
  onText: (query: SearchQuery) => void;
  onKey: (event: KeyboardEvent) => void;
  onStep: (by: 1 | -1) => void;
  onFilter: (filter: LogFilter) => void;
  onWrap: () => void;
  onTimes: () => void;
  onList: () => void;
}

export function Toolbar(props: ToolbarProps) {
  const { model, live, wrap, times } = props;
  return (
    <div class="log-bar" role="toolbar" aria-label="Log" data-brief={props.brief || undefined}>
      <SearchField {...props} />
      <div class="log-tools">
        {!props.brief && <Filters filter={model.filter.value} onFilter={props.onFilter} />}
        <span class="log-switches">
          <Toggle label="Wrap long lines (w)" icon="wrap" on={wrap} flip={props.onWrap}>
            Wrap
          </Toggle>
          <button
            type="button"
            class="toggle"
            aria-label={`Times: ${TIMES_TEXT[times]} (t)`}
            title={`Times: ${TIMES_TEXT[times]} (t)`}
            data-on={times !== "off" || undefined}
            onClick={props.onTimes}
          >
            <Icon name="clock" />
            <span>
              {times === "off" ? "Times" : times === "relative" ? "Since start" : "Time of day"}
            </span>
          </button>
          {live && (
            <Toggle
              label="Follow new output (f)"
              icon="follow"
              on={model.following.value}
              flip={() =>
                model.following.peek() ? model.setFollowing(false) : void model.toEnd(true)
              }
            >
              Follow
            </Toggle>
          )}
        </span>
        <span class="log-ends">
          <Tool label="First line (g)" icon="first" act={() => void model.toStart()} />
          <Tool label="Last line (G)" icon="last" act={() => void model.toEnd(live)} />
          <a
            class="toggle"
            href={props.downloadUrl}
            download
            aria-label="Download the log"
            title="Download the whole log as text"
          >
            <Icon name="download" />
          </a>
        </span>
      </div>
    </div>
  );
}

/** The search field. Its controls are within it and always there, so that nothing moves. */
function SearchField(props: ToolbarProps) {
  const { search, text, list } = props;
  const searching = search.query.value.text !== "";
  const noMatches = search.matches.value.length === 0;
  return (
    <div class="log-find" data-active={searching || undefined}>
      <Icon name="search" />
      <input
        ref={props.input}
        type="search"
        value={text.text}
        placeholder="Search the log"
        aria-label="Search the log"
        aria-keyshortcuts="/"
        aria-invalid={search.error.value !== null}
        spellcheck={false}
        autocomplete="off"
        onInput={(event) => props.onText({ ...text, text: event.currentTarget.value })}
        onKeyDown={props.onKey}
      />
      {searching && (
        <span class="log-count" role="status" title={search.error.value ?? undefined}>
          {countText(search)}
        </span>
      )}
      <Toggle
        label="Match case"
        on={text.matchCase}
        flip={() => props.onText({ ...text, matchCase: !text.matchCase })}
      >
        Aa
      </Toggle>
      <Toggle
        label="Regular expression"
        on={text.regex}
        flip={() => props.onText({ ...text, regex: !text.regex })}
      >
        .*
      </Toggle>
      <Toggle
        label="List matches with context"
        icon="queues"
        on={list}
        disabled={!searching}
        flip={props.onList}
      />
      <Tool label="Previous match (N)" icon="up" off={noMatches} act={() => props.onStep(-1)} />
      <Tool label="Next match (n)" icon="down" off={noMatches} act={() => props.onStep(1)} />
    </div>
  );
}

function Filters({
  filter,
  onFilter,
}: {
  filter: LogFilter;
  onFilter: (filter: LogFilter) => void;
}) {
  return (
    <>
      <select
        aria-label="Level"
        value={filter.level ?? ""}
        onChange={(event) => {
          const level = event.currentTarget.value;
          onFilter({
            ...filter,
            level: level === "" ? null : (level as NonNullable<LogFilter["level"]>),
          });
        }}
      >
        {LEVELS.map(([value, title]) => (
          <option key={value} value={value}>
            {title}
          </option>
        ))}
      </select>
      <select
        aria-label="Stream"
        value={filter.streams[0] ?? ""}
        onChange={(event) => {
          const stream = event.currentTarget.value;
          onFilter({ ...filter, streams: stream === "" ? [] : [stream] });
        }}
      >
        {STREAMS.map(([value, title]) => (
          <option key={value} value={value}>
            {title}
          </option>
        ))}
      </select>
    </>
  );
}

interface ToggleProps {
  label: string;
  icon?: IconName;
  on: boolean;
  disabled?: boolean;
  flip: () => void;
  children?: ComponentChildren;
}

function Toggle({ label, icon, on, disabled = false, flip, children }: ToggleProps) {
  return (
    <button
      type="button"
      class="toggle"
      aria-label={label}
      title={label}
      aria-pressed={on}
      disabled={disabled}
      onClick={flip}
    >
      {icon !== undefined && <Icon name={icon} />}
      {children !== undefined && <span>{children}</span>}
    </button>
  );
}

function Tool({
  label,
  icon,
  off = false,
  act,
}: {
  label: string;
  icon: IconName;
  off?: boolean;
  act: () => void;
}) {
  return (
    <button
      type="button"
      class="toggle"
      aria-label={label}
      title={label}
      disabled={off}
      onClick={act}
    >
      <Icon name={icon} />
    </button>
  );
}

/** Returns the position in the matches, `2 / 14`, or why there is none. */
export function countText(search: LogSearch): string {
  const { length } = search.matches.value;
  if (search.error.value !== null) return search.error.value;
  if (length === 0) return search.running.value ? "Searching…" : "No matches";
  const total = search.total.value ?? length;
  const more = search.total.value === null && search.hasMore ? "+" : "";
  return `${(search.current.value + 1).toLocaleString("en")} / ${total.toLocaleString("en")}${more}`;
}
