import type { RefObject } from "preact";
import type { LogFilter, SearchQuery } from "../api/types";
import { Button, Icon } from "../ui";
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
  const { model, search, text, live, wrap, times, list } = props;
  const filter = model.filter.value;
  const searching = search.query.value.text !== "";
  const noMatches = search.matches.value.length === 0;
  return (
    <div class="log-bar" role="toolbar" aria-label="Log">
      <div class="log-find">
        <span class="search">
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
        </span>
        <Toggle
          label="Match case"
          text="Aa"
          on={text.matchCase}
          flip={() => props.onText({ ...text, matchCase: !text.matchCase })}
        />
        <Toggle
          label="Regular expression"
          text=".*"
          on={text.regex}
          flip={() => props.onText({ ...text, regex: !text.regex })}
        />
        {searching && (
          <>
            <span class="log-count" role="status">
              {countText(search)}
            </span>
            <Button
              look="quiet"
              class="small"
              icon="up"
              aria-label="Previous match (N)"
              disabled={noMatches}
              onClick={() => props.onStep(-1)}
            />
            <Button
              look="quiet"
              class="small"
              icon="down"
              aria-label="Next match (n)"
              disabled={noMatches}
              onClick={() => props.onStep(1)}
            />
            <Toggle label="List matches with context" text="List" on={list} flip={props.onList} />
          </>
        )}
      </div>
      <div class="log-tools">
        <select
          aria-label="Level"
          value={filter.level ?? ""}
          onChange={(event) => {
            const level = event.currentTarget.value;
            props.onFilter({
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
            props.onFilter({ ...filter, streams: stream === "" ? [] : [stream] });
          }}
        >
          {STREAMS.map(([value, title]) => (
            <option key={value} value={value}>
              {title}
            </option>
          ))}
        </select>
        <Toggle label="Wrap long lines (w)" text="Wrap" on={wrap} flip={props.onWrap} />
        <button
          type="button"
          class="toggle"
          aria-label={`Times: ${TIMES_TEXT[times]} (t)`}
          title={`Times: ${TIMES_TEXT[times]} (t)`}
          data-on={times !== "off" || undefined}
          onClick={props.onTimes}
        >
          Times: {TIMES_TEXT[times]}
        </button>
        {live && (
          <Toggle
            label="Follow new output (f)"
            text="Follow"
            on={model.following.value}
            flip={() =>
              model.following.peek() ? model.setFollowing(false) : void model.toEnd(true)
            }
          />
        )}
        <Button
          look="quiet"
          class="small log-first"
          icon="up"
          aria-label="First line (g)"
          onClick={() => void model.toStart()}
        />
        <Button
          look="quiet"
          class="small log-last"
          icon="down"
          aria-label="Last line (G)"
          onClick={() => void model.toEnd(live)}
        />
        <a class="toggle" href={props.downloadUrl} download title="Download the whole log as text">
          Download
        </a>
      </div>
    </div>
  );
}

function Toggle({
  label,
  text,
  on,
  flip,
}: {
  label: string;
  text: string;
  on: boolean;
  flip: () => void;
}) {
  return (
    <button
      type="button"
      class="toggle"
      aria-label={label}
      title={label}
      aria-pressed={on}
      onClick={flip}
    >
      {text}
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
