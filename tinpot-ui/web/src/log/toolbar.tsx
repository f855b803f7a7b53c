import type { RefObject } from "preact";
import type { LogFilter, SearchQuery } from "../api/types";
import { Button, Icon } from "../ui";
import type { Times } from "./log-row";
import type { LogModel } from "./model";
import type { LogSearch } from "./search";

const LEVELS: readonly [string, string][] = [
  ["", "All levels"],
  ["info", "Info and up"],
  ["warning", "Warnings and up"],
  ["error", "Errors"],
];

const STREAMS: readonly [string, string][] = [
  ["", "All streams"],
  ["stdout", "stdout"],
  ["stderr", "stderr"],
  ["log", "log calls"],
  ["system", "system"],
];

export const NEXT_TIMES: Record<Times, Times> = {
  off: "relative",
  relative: "absolute",
  absolute: "off",
};
const TIMES_TEXT: Record<Times, string> = {
  off: "no times",
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
  const { filter } = model;
  const searching = search.query.text !== "";
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
            aria-invalid={search.error !== null}
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
              aria-label="Hit before (N)"
              disabled={search.hits.length === 0}
              onClick={() => props.onStep(-1)}
            />
            <Button
              look="quiet"
              class="small"
              icon="down"
              aria-label="Next hit (n)"
              disabled={search.hits.length === 0}
              onClick={() => props.onStep(1)}
            />
            <Toggle
              label="List the hits with the lines around them"
              text="list"
              on={list}
              flip={props.onList}
            />
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
        <Toggle label="Wrap long lines (w)" text="wrap" on={wrap} flip={props.onWrap} />
        <button
          type="button"
          class="toggle"
          aria-label={`Times: ${TIMES_TEXT[times]} (t)`}
          title={`Times: ${TIMES_TEXT[times]} (t)`}
          data-on={times !== "off" || undefined}
          onClick={props.onTimes}
        >
          {TIMES_TEXT[times]}
        </button>
        {live && (
          <Toggle
            label="Follow what is written (f)"
            text="follow"
            on={model.following}
            flip={() => (model.following ? model.setFollowing(false) : void model.toEnd(true))}
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
        <a class="toggle" href={props.downloadUrl} download title="Download all of it as text">
          download
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

export function countText(search: LogSearch): string {
  if (search.error !== null) return search.error;
  if (search.hits.length === 0) return search.running ? "searching…" : "no hits";
  const total = search.total ?? search.hits.length;
  const more = search.total === null && search.hasMore ? "+" : "";
  return `${(search.current + 1).toLocaleString("en")} / ${total.toLocaleString("en")}${more}`;
}
