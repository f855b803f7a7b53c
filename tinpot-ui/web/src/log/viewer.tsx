import { effect } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useCallback, useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import type { ExecutionEvent, LogFilter, LogLine, SearchQuery } from "../api/types";
import { location } from "../app/router";
import { recall, remember } from "../app/storage";
import { hub, useResync } from "../stream";
import { Button, count, Empty, ErrorBox, Loading } from "../ui";
import { useAnnouncement } from "./announcer";
import { parseAnsi } from "./ansi";
import { patternOf } from "./highlight";
import { useLogKeys } from "./keys";
import { parseLines } from "./line-links";
import { LogRow, SHOWN_CHARS, SHOWN_STEP, type Times, zeroOf } from "./log-row";
import { LogModel } from "./model";
import { Pace } from "./pace";
import { LogSearch, NO_SEARCH } from "./search";
import { SearchMatches } from "./search-matches";
import { logSource } from "./source";
import { headingsOf, type LogSteps, pathOf } from "./step-headings";
import { NEXT_TIMES, Toolbar } from "./toolbar";
import { useSelection } from "./use-selection";
import { useViewport } from "./viewport";
import "./log.css";
import "./ansi-colours.css";

export interface LogHandle {
  toEnd: () => void;
  /** Scrolls to the first line that a step wrote. */
  toStep: (id: string, startedAt: string) => void;
}

interface LogViewerProps {
  id: string;
  /** If true, lines may still arrive. */
  live: boolean;
  /** The start of the execution, from which relative times count. */
  startedAt: string | null;
  steps: LogSteps;
  /** If true, a log that is not live opens at its end: the reason of a failure is there. */
  fromEnd?: boolean;
  /** If true, the log is one of several: it has no filters, and the address selects no lines. */
  brief?: boolean;
  /** Takes the functions that other parts of the page call. */
  handle?: { current: LogHandle | null };
  /** The line that the action is writing. */
  unfinished?: string | null;
  /** Shown in place of an empty log. */
  placeholder?: ComponentChildren;
  /** Called for events of the execution other than lines. */
  onEvent?: (event: ExecutionEvent) => void;
}

/** The pause in typing after which a search starts. */
const TYPING_MS = 50;

export function LogViewer(props: LogViewerProps) {
  const { id, live, startedAt, steps, fromEnd = false, brief = false } = props;
  const { handle, placeholder, unfinished = null, onEvent } = props;
  const source = useMemo(() => logSource(id), [id]);
  const model = useMemo(() => new LogModel(source), [source]);
  const isShown = useRef<(seq: number) => boolean>(() => false);
  const search = useMemo(
    () =>
      new LogSearch(source, (seq) => {
        // A match on the screen does not move it.
        if (isShown.current(seq)) model.setFollowing(false);
        else void model.jumpTo(seq, "middle");
      }),
    [source, model],
  );
  const [wrap, setWrap] = useState(() => recall("log.wrap") === "on");
  const [times, setTimes] = useState<Times>(() => (recall("log.times") as Times | null) ?? "off");
  const [list, setList] = useState(false);
  const [text, setText] = useState<SearchQuery>(NO_SEARCH);
  const [unfolded, setUnfolded] = useState<ReadonlyMap<number, number>>(new Map());
  const root = useRef<HTMLElement>(null);
  const scroller = useRef<HTMLDivElement>(null);
  const input = useRef<HTMLInputElement>(null);
  const typing = useRef<ReturnType<typeof setTimeout> | null>(null);
  const onEventRef = useRef(onEvent);
  onEventRef.current = onEvent;

  const [selection, select] = useSelection();
  const selected = brief ? null : selection;
  const path = brief ? `/executions/${encodeURIComponent(id)}` : location.value.path;

  useLayoutEffect(() => {
    let leave: (() => void) | null = null;
    const pace = new Pace((lines) => model.receive(lines));
    // The stream continues where the first page ends, so it starts once that page is loaded.
    const forget = effect(() => {
      if (!live || model.opening.value || leave !== null) return;
      leave = hub.followLog(id, model.lastSeq.peek(), {
        lines: (lines) => pace.add(lines),
        event: (event) => {
          // Nothing follows, so the page needs no stream any longer.
          if (event.type === "complete" || event.type === "missing") {
            pace.flush();
            leave?.();
          }
          onEventRef.current?.(event);
        },
      });
    });
    const at = live ? "follow" : fromEnd ? "end" : "start";
    void model.open(brief ? null : parseLines(window.location.hash), at);
    return () => {
      pace.stop();
      forget();
      leave?.();
      model.close();
      search.close();
      if (typing.current !== null) clearTimeout(typing.current);
    };
  }, [id, model, search]);
  useResync(() => {
    if (model.error.peek() !== null) model.retry();
  });

  useLayoutEffect(() => model.setSteps(steps), [model, steps]);

  // The address has changed to other lines of the same log.
  const shownHash = useRef(window.location.hash);
  const { hash } = location.value;
  useEffect(() => {
    if (brief || shownHash.current === hash) return;
    shownHash.current = hash;
    const range = parseLines(hash);
    if (range !== null) void model.jumpTo(range.from, "middle");
  }, [hash, model]);

  const { lines } = model.held.value;
  const view = useViewport(scroller, {
    model,
    wrap,
    live,
    headings: (index) => headingsOf(lines, index, steps).length,
  });
  isShown.current = view.isShown;
  if (handle !== undefined)
    handle.current = {
      toEnd: () => {
        void model.toEnd(live);
        root.current?.scrollIntoView({ block: "nearest" });
      },
      toStep: (step, at) =>
        void model.jumpToStep((line) => pathOf(line, steps).includes(step), Date.parse(at)),
    };

  /** The position before the search, which the end of the search restores. */
  const before = useRef<{ seq: number | null; following: boolean } | null>(null);
  const startSearch = (query: SearchQuery): void => {
    if (query.text !== "")
      before.current ??= { seq: view.topSeq(), following: model.following.peek() };
    setText(query);
    if (typing.current !== null) clearTimeout(typing.current);
    typing.current = setTimeout(
      () => {
        typing.current = null;
        void search.start(query, model.filter.peek(), view.topSeq() ?? 0);
      },
      query.text === "" ? 0 : TYPING_MS,
    );
  };
  const step = (by: 1 | -1): void => void search.step(by, model.filter.peek());
  const changeFilter = (filter: LogFilter): void => {
    void model.setFilter(filter, model.following.peek() ? null : view.topSeq());
    if (text.text !== "") void search.start({ ...text }, filter, view.topSeq() ?? 0);
  };
  const toggleWrap = (): void => {
    remember("log.wrap", wrap ? null : "on");
    setWrap(!wrap);
  };
  const cycleTimes = (): void => {
    remember("log.times", NEXT_TIMES[times]);
    setTimes(NEXT_TIMES[times]);
  };
  useLogKeys(root, brief, {
    search: () => {
      input.current?.focus();
      input.current?.select();
    },
    next: () => step(1),
    before: () => step(-1),
    first: () => void model.toStart(),
    last: () => void model.toEnd(live),
    wrap: toggleWrap,
    times: cycleTimes,
    follow: () => (model.following.peek() ? model.setFollowing(false) : void model.toEnd(live)),
  });
  const onSearchKey = (event: KeyboardEvent): void => {
    if (event.key === "Enter") {
      event.preventDefault();
      const { text: searched } = search.query.peek();
      if (searched === text.text && searched !== "") step(event.shiftKey ? -1 : 1);
      else startSearch({ ...text });
    } else if (event.key === "Escape") {
      event.preventDefault();
      const back = text.text === "" ? null : before.current;
      before.current = null;
      startSearch(NO_SEARCH);
      setList(false);
      scroller.current?.focus();
      if (back?.following === true) void model.toEnd(live);
      else if (back?.seq !== undefined && back.seq !== null) void model.jumpTo(back.seq, "start");
    }
  };
  const fold = useCallback((step: string) => model.toggleFold(step), [model]);
  const unfold = useCallback(
    (line: LogLine) =>
      setUnfolded((old) => {
        const shown = old.get(line.seq) ?? SHOWN_CHARS;
        return new Map(old).set(line.seq, shown === SHOWN_CHARS ? SHOWN_STEP : shown + SHOWN_STEP);
      }),
    [],
  );

  const searched = search.query.value;
  const pattern = useMemo(() => patternOf(searched), [searched]);
  const current = search.matches.value[search.current.value]?.seq ?? null;
  const from = zeroOf(startedAt, lines[0]);
  const announcement = useAnnouncement(model, live);
  const error = model.error.value;
  const opening = model.opening.value;
  const empty = !opening && lines.length === 0 && error === null && !model.busy.value;
  const digits = String(model.lastSeq.value).length;

  const rows = [];
  for (let index = view.from; index < view.to; index += 1) {
    const line = lines[index];
    if (line === undefined) continue;
    rows.push(
      <LogRow
        key={line.seq}
        line={line}
        headings={headingsOf(lines, index, steps)}
        depth={pathOf(line, steps).length}
        path={path}
        times={times}
        from={from}
        pattern={pattern}
        shown={unfolded.get(line.seq) ?? SHOWN_CHARS}
        selected={selected !== null && line.seq >= selected.from && line.seq <= selected.to}
        current={line.seq === current}
        onMore={unfold}
        {...(brief ? {} : { onSelect: select })}
        onFold={fold}
      />,
    );
  }
  return (
    <section
      ref={root}
      class="log"
      aria-label="Log"
      data-wrap={wrap || undefined}
      data-digits={Math.min(9, Math.max(3, digits))}
    >
      <Toolbar
        model={model}
        search={search}
        text={text}
        input={input}
        live={live}
        wrap={wrap}
        times={times}
        list={list}
        brief={brief}
        downloadUrl={source.downloadUrl}
        onText={startSearch}
        onKey={onSearchKey}
        onStep={step}
        onFilter={changeFilter}
        onWrap={toggleWrap}
        onTimes={cycleTimes}
        onList={() => setList(!list)}
      />
      {list && search.matches.value.length > 0 && (
        <SearchMatches
          search={search}
          pattern={pattern}
          path={path}
          times={times}
          from={from}
          onMore={() => void search.more(model.filter.peek())}
        />
      )}
      {error !== null && (
        <ErrorBox error={error} retry={() => model.retry()} title="Cannot load the log" />
      )}
      <div class="log-frame">
        <div
          ref={scroller}
          class="log-scroll"
          tabIndex={0}
          role="region"
          aria-label="Lines of the log"
          data-busy={model.busy || undefined}
        >
          <div class="log-space" style={{ height: `${view.above}px` }} />
          {rows}
          <div class="log-space" style={{ height: `${view.below}px` }} />
          {opening && error === null && <Loading rows={6} />}
          {empty && (placeholder ?? <Empty title={emptyText(model, live)} />)}
        </div>
        {!model.following.value && model.newLines.value > 0 && (
          <Button class="log-pill" icon="down" onClick={() => void model.toEnd(true)}>
            {count(model.newLines.value, "new line")}
          </Button>
        )}
      </div>
      {unfinished !== null && (
        <p class="log-unfinished" title="This line is still being written">
          {plainText(unfinished)}
          <i aria-hidden="true" />
        </p>
      )}
      <p class="unseen" role="status">
        {announcement}
      </p>
    </section>
  );
}

/** Returns a line without colours, and of a meter its last state. */
function plainText(line: string): string {
  return parseAnsi(line)
    .map((span) => span.text)
    .join("");
}

function emptyText(model: LogModel, live: boolean): string {
  const { level, streams } = model.filter.value;
  if (level !== null || streams.length > 0) return "No lines match the filter";
  return live ? "No output yet" : "No output";
}
