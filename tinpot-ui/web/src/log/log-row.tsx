import type { JSX } from "preact";
import type { LogLine } from "../api/types";
import { href } from "../app/base-path";
import { memo } from "../ui/memo";
import { parseAnsi } from "./ansi";
import type { HeldLine } from "./folds";
import { marked, type Piece, split } from "./highlight";
import { paint } from "./legible-colours";
import { findLinks } from "./links";
import { StepHeading } from "./step-heading";
import type { Heading } from "./step-headings";

/** The characters of a line that are shown at first, added by each click, and shown at most. */
export const SHOWN_CHARS = 4_000;
export const SHOWN_STEP = 64_000;
export const SHOWN_MAX = 1_000_000;
/** The characters of a line's fields that are shown. */
const FIELDS_CHARS = 2_000;

export type Times = "off" | "relative" | "absolute";

interface TextProps {
  text: string;
  pattern: RegExp | null;
}

function part(piece: Piece, key: number): JSX.Element | string {
  if (piece.style === null) return piece.isMatch ? <mark key={key}>{piece.text}</mark> : piece.text;
  const { className, variables } = paint(piece.style);
  const Tag = piece.isMatch ? "mark" : "span";
  return (
    <Tag key={key} class={className} {...(variables === null ? {} : { style: variables })}>
      {piece.text}
    </Tag>
  );
}

function Text({ text, pattern }: TextProps) {
  const spans = parseAnsi(text);
  const links = findLinks(spans.map((span) => span.text).join(""));
  if (links.length === 0) return <>{marked(spans, pattern).map(part)}</>;
  const ends = links.flatMap(({ from, to }) => [from, to]);
  const pieces = marked(split(spans, ends), pattern);
  const nodes: (JSX.Element | string)[] = [];
  let [at, piece] = [0, 0];
  for (const { from, to, url } of [...links, { from: Infinity, to: Infinity, url: "" }]) {
    const until = (end: number): (JSX.Element | string)[] => {
      const found: (JSX.Element | string)[] = [];
      for (let next = pieces[piece]; next !== undefined && at < end; next = pieces[piece]) {
        found.push(part(next, piece));
        at += next.text.length;
        piece += 1;
      }
      return found;
    };
    nodes.push(...until(from));
    if (url !== "")
      nodes.push(
        <a key={`link ${from}`} href={url} target="_blank" rel="noopener noreferrer">
          {until(to)}
        </a>,
      );
  }
  return <>{nodes}</>;
}

/** Returns the kind of a line in three letters, so that it does not depend on colour alone. */
function tagOf(line: LogLine): string {
  if (line.stream === "system") return "sys";
  if (line.stream === "stderr") return "err";
  if (line.stream === "stdout") return "";
  return { DEBUG: "dbg", INFO: "inf", WARNING: "wrn", ERROR: "ERR" }[line.level] ?? "";
}

const TAG_TITLES: Record<string, string> = {
  sys: "written by Tinpot",
  err: "written to stderr",
  dbg: "log, level debug",
  inf: "log, level info",
  wrn: "log, level warning",
  ERR: "log, level error",
};

/**
 * Returns the time from which relative times count, in milliseconds.
 *
 * Lines have times of the worker's clock and the start one of the coordinator's, so the first line
 * counts where it is the earlier one.
 */
export function zeroOf(startedAt: string | null, first: LogLine | undefined): number {
  const known = [startedAt, first?.timestamp].map((time) => Date.parse(time ?? ""));
  return Math.min(...known.filter((time) => !Number.isNaN(time)));
}

export function timeText(line: LogLine, times: Times, from: number): string {
  const at = Date.parse(line.timestamp);
  if (Number.isNaN(at)) return line.timestamp;
  if (times === "absolute") {
    const date = new Date(at);
    const two = (value: number, width = 2) => String(value).padStart(width, "0");
    return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}.${two(date.getMilliseconds(), 3)}`;
  }
  // Threads of an action may hand over their lines a little out of order.
  const seconds = Math.max(0, at - from) / 1000;
  if (seconds < 60) return `+${seconds.toFixed(3)}`;
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60];
  const rest = (seconds % 60).toFixed(1).padStart(4, "0");
  return hours > 0
    ? `+${hours}:${String(minutes).padStart(2, "0")}:${rest}`
    : `+${minutes}:${rest}`;
}

export interface LogRowProps {
  line: HeldLine;
  /** The steps that begin before the line, outermost first. */
  headings: readonly Heading[];
  /** The number of steps around the line. */
  depth: number;
  folds?: ReadonlySet<string>;
  path: string;
  times: Times;
  /** The start of the execution in milliseconds, from which relative times count. */
  from: number;
  pattern: RegExp | null;
  shown: number;
  selected: boolean;
  current: boolean;
  plain?: boolean;
  onMore?: (line: LogLine) => void;
  onSelect?: (seq: number, extend: boolean) => void;
  onFold?: (step: string) => void;
}

export const LogRow = memo((props: LogRowProps) => {
  const { line, headings, depth, times, from, pattern, shown, selected, current } = props;
  const cut = line.message.length > shown;
  const text = cut ? line.message.slice(0, whole(line.message, shown)) : line.message;
  const tag = tagOf(line);
  return (
    <div class="log-line" data-seq={line.seq}>
      {headings.map((heading) => (
        <StepHeading
          key={heading.id}
          heading={heading}
          folded={line.folded?.step === heading.id ? line.folded.count : null}
          onFold={props.onFold}
        />
      ))}
      {line.folded === undefined && (
        <div
          class="log-row"
          data-level={line.level}
          data-stream={line.stream}
          data-selected={selected || undefined}
          data-current={current || undefined}
          data-open={shown > SHOWN_CHARS || undefined}
          data-depth={depth > 0 ? depth : undefined}
        >
          <LineNumber {...props} />
          {times !== "off" && (
            <time class="log-time" dateTime={line.timestamp} title={line.timestamp}>
              {timeText(line, times, from)}
            </time>
          )}
          <span class="log-tag" title={TAG_TITLES[tag]}>
            {tag}
          </span>
          <span class="log-text">
            <Text text={text} pattern={text.length <= SHOWN_STEP ? pattern : null} />
            {line.fields !== undefined && <Fields fields={line.fields} />}
            {cut && <More {...props} />}
          </span>
        </div>
      )}
    </div>
  );
});

function LineNumber({ line, path, plain, onSelect }: LogRowProps) {
  if (plain === true) return <span class="log-number">{line.seq}</span>;
  return (
    <a
      class="log-number"
      href={`${href(path)}#L${line.seq}`}
      tabIndex={-1}
      aria-label={`Line ${line.seq}`}
      onClick={(event) => {
        if (event.metaKey || event.ctrlKey || event.altKey || onSelect === undefined) return;
        event.preventDefault();
        onSelect(line.seq, event.shiftKey);
      }}
    >
      {line.seq}
    </a>
  );
}

function Fields({ fields }: { fields: Record<string, unknown> }) {
  const entries = Object.entries(fields);
  let left = FIELDS_CHARS;
  return (
    <span class="log-fields">
      {entries.map(([name, value]) => {
        if (left <= 0) return null;
        const json = typeof value === "string" ? value : (JSON.stringify(value) ?? "");
        const text = json.length > left ? `${json.slice(0, left)}…` : json;
        left -= text.length + name.length;
        return (
          <span key={name}>
            <i>{name}=</i>
            {text}
          </span>
        );
      })}
    </span>
  );
}

function More({ line, shown, onMore }: LogRowProps) {
  const left = line.message.length - shown;
  if (shown >= SHOWN_MAX)
    return (
      <em class="log-cut">
        … {left.toLocaleString("en")} more characters: download the log to read them
      </em>
    );
  const next = Math.min(left, shown === SHOWN_CHARS ? SHOWN_STEP - SHOWN_CHARS : SHOWN_STEP);
  return (
    <button type="button" class="log-more" onClick={() => onMore?.(line)}>
      … show {next === left ? "all" : next.toLocaleString("en")} of {left.toLocaleString("en")} more
      characters
    </button>
  );
}

/** Returns a position to cut at that does not split a surrogate pair. */
function whole(text: string, at: number): number {
  const code = text.charCodeAt(at - 1);
  return code >= 0xd800 && code <= 0xdbff ? at - 1 : at;
}
