import {
  useCallback,
  useEffect,
  useLayoutEffect,
  useMemo,
  useReducer,
  useRef,
  useState,
} from "preact/hooks";
import type { ExecutionEvent, LogFilter, LogLine, SearchQuery } from "../api/types";
import { location, navigate } from "../app/router";
import { recall, remember } from "../app/storage";
import { hub, useResync } from "../stream";
import { Button, Empty, ErrorBox, Loading } from "../ui";
import { useAnnouncement } from "./announcer";
import { patternOf } from "./highlight";
import { useLogKeys } from "./keys";
import { extended, type LineRange, linesHash, parseLines } from "./line-links";
import { Row, SHOWN_CHARS, SHOWN_STEP, type Times } from "./log-row";
import { LogModel } from "./model";
import { LogSearch, NO_SEARCH } from "./search";
import { Hits } from "./search-hits";
import { logSource } from "./source";
import { beginsStep, pathOf, type StepNames } from "./step-headings";
import { NEXT_TIMES, Toolbar } from "./toolbar";
import { useViewport } from "./viewport";
import "./log.css";

interface LogViewerProps {
  id: string;
  /** It is still written. */
  live: boolean;
  /** When the execution began; times are told from there. */
  startedAt: string | null;
  steps: StepNames;
  /** Everything else that the stream says of this execution. */
  onEvent?: (event: ExecutionEvent) => void;
}

/** Typing pauses for so long before it is searched for. */
const TYPING_MS = 50;

export function LogViewer({ id, live, startedAt, steps, onEvent }: LogViewerProps) {
  const source = useMemo(() => logSource(id), [id]);
  const model = useMemo(() => new LogModel(source), [source]);
  const search = useMemo(
    () => new LogSearch(source, (seq) => void model.jumpTo(seq, "middle")),
    [source, model],
  );
  const [, redraw] = useReducer<number, void>((count) => count + 1, 0);
  const [wrap, setWrap] = useState(() => recall("log.wrap") === "on");
  const [times, setTimes] = useState<Times>(() => (recall("log.times") as Times | null) ?? "off");
  const [list, setList] = useState(false);
  const [text, setText] = useState<SearchQuery>(NO_SEARCH);
  const [unfolded, setUnfolded] = useState<ReadonlyMap<number, number>>(new Map());
  const scroller = useRef<HTMLDivElement>(null);
  const input = useRef<HTMLInputElement>(null);
  const typing = useRef<ReturnType<typeof setTimeout> | null>(null);
  const heard = useRef(onEvent);
  heard.current = onEvent;

  const [selected, pick] = useSelection();
  const path = location.value.path;

  useLayoutEffect(() => search.subscribe(() => redraw()), [search]);
  useLayoutEffect(() => {
    let leave: (() => void) | null = null;
    // Lines come from where the first look ended; if that failed, from where it ends when it is done again.
    const follow = (): void => {
      if (leave !== null || model.opening) return;
      leave = hub.followLog(id, model.lastSeq, {
        lines: (lines) => model.receive(lines as unknown as LogLine[]),
        event: (event) => heard.current?.(event),
      });
    };
    const forget = model.subscribe(follow);
    void model.open(parseLines(window.location.hash), live);
    return () => {
      forget();
      leave?.();
      model.close();
      search.close();
      if (typing.current !== null) clearTimeout(typing.current);
    };
  }, [id, model, search]);

  useResync(() => {
    if (model.error !== null) model.retry();
  });

  // A link to other lines of the same log.
  const aimed = useRef(window.location.hash);
  const { hash } = location.value;
  useEffect(() => {
    if (aimed.current === hash) return;
    aimed.current = hash;
    const range = parseLines(hash);
    if (range !== null) void model.jumpTo(range.from, "middle");
  }, [hash, model]);

  const { lines } = model.held;
  const view = useViewport(scroller, {
    model,
    wrap,
    live,
    hasHeading: (index) => beginsStep(lines, index),
  });

  const startSearch = (query: SearchQuery): void => {
    setText(query);
    if (typing.current !== null) clearTimeout(typing.current);
    typing.current = setTimeout(
      () => {
        typing.current = null;
        void search.start(query, model.filter, view.topSeq() ?? 0);
      },
      query.text === "" ? 0 : TYPING_MS,
    );
  };
  const step = (by: 1 | -1): void => void search.step(by, model.filter);
  const changeFilter = (filter: LogFilter): void => {
    void model.setFilter(filter, model.following ? null : view.topSeq());
    if (text.text !== "") void search.start({ ...text }, filter, view.topSeq() ?? 0);
  };
  const flipWrap = (): void => {
    remember("log.wrap", wrap ? null : "on");
    setWrap(!wrap);
  };
  const turnTimes = (): void => {
    remember("log.times", NEXT_TIMES[times]);
    setTimes(NEXT_TIMES[times]);
  };
  const root = useRef<HTMLElement>(null);
  useLogKeys(root, {
    search: () => {
      input.current?.focus();
      input.current?.select();
    },
    next: () => step(1),
    before: () => step(-1),
    first: () => void model.toStart(),
    last: () => void model.toEnd(live),
    wrap: flipWrap,
    times: turnTimes,
    follow: () => (model.following ? model.setFollowing(false) : void model.toEnd(live)),
  });
  const inSearch = (event: KeyboardEvent): void => {
    if (event.key === "Enter") {
      event.preventDefault();
      if (search.query.text === text.text && search.query.text !== "")
        step(event.shiftKey ? -1 : 1);
      else startSearch({ ...text });
    } else if (event.key === "Escape") {
      event.preventDefault();
      startSearch(NO_SEARCH);
      setList(false);
      scroller.current?.focus();
    }
  };
  const unfold = useCallback(
    (line: LogLine) =>
      setUnfolded((old) => {
        const shown = old.get(line.seq) ?? SHOWN_CHARS;
        return new Map(old).set(line.seq, shown === SHOWN_CHARS ? SHOWN_STEP : shown + SHOWN_STEP);
      }),
    [],
  );

  const pattern = useMemo(() => patternOf(search.query), [search.query]);
  const current = search.hits[search.current]?.seq ?? null;
  const from = startedAt === null ? Date.parse(lines[0]?.timestamp ?? "") : Date.parse(startedAt);
  const spoken = useAnnouncement(model, live);
  const empty = !model.opening && lines.length === 0 && model.error === null && !model.busy;
  const digits = String(model.lastSeq).length;

  const rows = [];
  for (let index = view.from; index < view.to; index += 1) {
    const line = lines[index];
    if (line === undefined) continue;
    rows.push(
      <Row
        key={line.seq}
        line={line}
        heading={headingOf(lines, index, steps)}
        path={path}
        times={times}
        from={from}
        pattern={pattern}
        shown={unfolded.get(line.seq) ?? SHOWN_CHARS}
        selected={selected !== null && line.seq >= selected.from && line.seq <= selected.to}
        current={line.seq === current}
        onMore={unfold}
        onPick={pick}
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
        downloadUrl={source.downloadUrl}
        onText={startSearch}
        onKey={inSearch}
        onStep={step}
        onFilter={changeFilter}
        onWrap={flipWrap}
        onTimes={turnTimes}
        onList={() => setList(!list)}
      />
      {list && search.hits.length > 0 && (
        <Hits
          search={search}
          pattern={pattern}
          path={path}
          times={times}
          from={from}
          onMore={() => void search.more(model.filter)}
        />
      )}
      {model.error !== null && (
        <ErrorBox error={model.error} retry={() => model.retry()} title="The log cannot be read" />
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
          {model.opening && model.error === null && <Loading rows={6} />}
          {empty && <Empty title={emptyText(model, live)} />}
        </div>
        {!model.following && model.fresh > 0 && (
          <Button class="log-pill" icon="down" onClick={() => void model.toEnd(true)}>
            {model.fresh.toLocaleString("en")} new {model.fresh === 1 ? "line" : "lines"}
          </Button>
        )}
      </div>
      <p class="unseen" role="status">
        {spoken}
      </p>
    </section>
  );
}

function emptyText(model: LogModel, live: boolean): string {
  if (model.filter.level !== null || model.filter.streams.length > 0)
    return "No line passes the filter";
  return live ? "Nothing is written yet" : "It has written nothing";
}

const headings = new WeakMap<StepNames, Map<string, readonly string[]>>();

/** The same array for the same step, so that rows need not be drawn again. */
function headingOf(
  lines: readonly LogLine[],
  index: number,
  steps: StepNames,
): readonly string[] | null {
  if (!beginsStep(lines, index)) return null;
  const span = lines[index]?.span ?? "";
  let known = headings.get(steps);
  if (known === undefined) {
    known = new Map();
    headings.set(steps, known);
  }
  let path = known.get(span);
  if (path === undefined) {
    path = pathOf(span, steps);
    known.set(span, path);
  }
  return path;
}

/** The lines that the address names; a click on a number changes it without moving anything. */
function useSelection(): [LineRange | null, (seq: number, extend: boolean) => void] {
  const { hash } = location.value;
  const selected = useMemo(() => parseLines(hash), [hash]);
  const anchor = useRef<number | null>(selected?.from ?? null);
  const latest = useRef(selected);
  latest.current = selected;
  const pick = useCallback((seq: number, extend: boolean) => {
    const range = extended(latest.current, anchor.current, seq, extend);
    if (!extend || anchor.current === null) anchor.current = seq;
    const { path, query } = location.peek();
    const text = query.toString();
    navigate(path + (text === "" ? "" : `?${text}`) + linesHash(range), { replace: true });
  }, []);
  return [selected, pick];
}
