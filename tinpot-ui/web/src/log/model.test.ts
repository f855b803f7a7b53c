import { beforeEach, describe, expect, test } from "vitest";
import type { PageAt } from "../api/client";
import type { LogFilter, LogLine, LogMatches, LogPage } from "../api/types";
import { passes } from "./line-filter";
import { LINES_MAX } from "./line-window";
import { LogModel } from "./model";
import { LogSearch } from "./search";
import type { LogSource } from "./source";
import type { LogSteps } from "./step-headings";

/** A log as the server stores it; every hundredth number belongs to no line. */
class FakeLog implements LogSource {
  downloadUrl = "";
  asked: PageAt[] = [];
  fail = false;

  constructor(public last: number) {}

  line(seq: number): LogLine {
    const level = seq % 1_000 === 1 ? "ERROR" : "INFO";
    return {
      seq,
      timestamp: "2026-01-01T00:00:00Z",
      level,
      message: seq % 777 === 0 ? "needle" : "hay",
      stream: "stdout",
    };
  }

  private readonly cache = new Map<string, LogLine[]>();

  all(filter: LogFilter): LogLine[] {
    const key = JSON.stringify([this.last, filter]);
    const known = this.cache.get(key);
    if (known !== undefined) return known;
    const lines = Array.from({ length: this.last }, (_, at) => this.line(at + 1)).filter(
      (line) => line.seq % 100 !== 0 && passes(line, filter),
    );
    this.cache.set(key, lines);
    return lines;
  }

  page(at: PageAt, limit: number, filter: LogFilter): Promise<LogPage> {
    this.asked.push(at);
    if (this.fail) return Promise.reject(new Error("gone"));
    const all = this.all(filter);
    const from =
      "tail" in at
        ? Math.max(0, all.length - limit)
        : "before" in at
          ? Math.max(0, all.findIndex((line) => line.seq >= at.before) - limit)
          : all.findIndex((line) => line.seq > at.after);
    const stop = "before" in at ? all.findIndex((line) => line.seq >= at.before) : from + limit;
    const lines = from < 0 ? [] : all.slice(from, stop);
    return Promise.resolve({
      lines,
      next: from >= 0 && stop < all.length ? (lines[lines.length - 1]?.seq ?? 0) : null,
      previous: from > 0 ? (lines[0]?.seq ?? null) : null,
      last_seq: this.last,
    });
  }

  search(): Promise<LogMatches> {
    const matches = this.all({ level: null, streams: [] }).filter(
      (line) => line.message === "needle",
    );
    return Promise.resolve({
      matches: matches.map((line) => ({ seq: line.seq, line, before: [], after: [] })),
      next: null,
      total: matches.length,
    });
  }
}

let log: FakeLog;
let model: LogModel;
const held = () => model.held.value.lines.map((line) => line.seq);

beforeEach(() => {
  log = new FakeLog(50_000);
  model = new LogModel(log);
});

describe("the model of a log", () => {
  test("begins with the first line, or with the end of a live log", async () => {
    await model.open(null, "start");
    expect(held()[0]).toBe(1);
    expect(model.held.value.atStart).toBe(true);
    expect(model.following.value).toBe(false);
    const live = new LogModel(log);
    await live.open(null, "follow");
    expect(live.held.value.lines[live.held.value.lines.length - 1]?.seq).toBe(49_999);
    expect([live.held.value.atEnd, live.following.value]).toEqual([true, true]);
  });

  test("jumps to any line, without a request for a held one", async () => {
    await model.open({ from: 25_000, to: 25_000 }, "start");
    expect(held()).toContain(24_999);
    expect(held()).toContain(25_001);
    expect([model.held.value.atStart, model.held.value.atEnd]).toEqual([false, false]);
    const asked = log.asked.length;
    await model.jumpTo(25_050, "middle");
    expect(log.asked.length).toBe(asked);
    expect(model.target.value).toEqual({ seq: 25_050, align: "middle" });
  });

  test("pages from the first line to the last, each line once, within its bound", async () => {
    await model.open(null, "start");
    const seen = new Set(held());
    while (!model.held.value.atEnd) {
      await model.more();
      for (const seq of held()) seen.add(seq);
      expect(held().length).toBeLessThanOrEqual(LINES_MAX);
    }
    expect(seen.size).toBe(49_500);
    while (!model.held.value.atStart) await model.less();
    expect(held()[0]).toBe(1);
    expect(held().length).toBeLessThanOrEqual(LINES_MAX);
  });

  test("appends live lines at the end, and counts them for a reader further up", async () => {
    await model.open(null, "follow");
    model.receive([log.line(50_001), log.line(50_002)]);
    expect(held().slice(-2)).toEqual([50_001, 50_002]);
    expect(model.newLines.value).toBe(0);
    model.setFollowing(false);
    model.receive([log.line(50_002), log.line(50_003)]);
    expect(model.newLines.value).toBe(1);
    expect(held().slice(-1)).toEqual([50_003]);
    expect(model.lastSeq.value).toBe(50_003);
  });

  test("does not append live lines after a gap", async () => {
    await model.open(null, "start");
    model.receive([log.line(50_001)]);
    expect(held()).not.toContain(50_001);
    expect(model.newLines.value).toBe(1);
    log.last = 50_001;
    await model.toEnd(true);
    expect(held().slice(-1)).toEqual([50_001]);
    expect(model.newLines.value).toBe(0);
  });

  test("keeps the lines on the screen while many more arrive", async () => {
    await model.open(null, "follow");
    model.setFollowing(false);
    const top = held()[0];
    for (let seq = 50_001; seq < 60_000; seq += 500)
      model.receive(Array.from({ length: 500 }, (_, at) => log.line(seq + at)));
    expect(held()[0]).toBe(top);
    expect(held().length).toBeLessThanOrEqual(LINES_MAX);
    expect(model.held.value.atEnd).toBe(false);
  });

  test("filters pages and live lines by level alike", async () => {
    await model.open(null, "follow");
    await model.setFilter({ level: "error", streams: [] }, null);
    expect(held()).toEqual(log.all({ level: "error", streams: [] }).map((line) => line.seq));
    model.receive([log.line(50_001), log.line(50_002), log.line(51_001)]);
    expect(held().slice(-2)).toEqual([50_001, 51_001]);
  });

  test("reports a failed request and repeats it", async () => {
    log.fail = true;
    await model.open(null, "start");
    expect(model.error.value).toBeInstanceOf(Error);
    log.fail = false;
    model.retry();
    await expect.poll(() => held()[0]).toBe(1);
    expect(model.error.value).toBeNull();
  });

  test("ends at a page without progress, even if it names a next one", async () => {
    log.page = (at) => {
      log.asked.push(at);
      return Promise.resolve({
        lines: log.asked.length === 1 ? [log.line(1)] : [],
        next: 1,
        previous: null,
        last_seq: 5,
      });
    };
    await model.open(null, "start");
    await model.more();
    expect(model.held.value.atEnd).toBe(true);
  });
});

describe("folded steps", () => {
  const steps: LogSteps = {
    steps: new Map(
      [
        ["1.1", null],
        ["1.2", "1.1"],
      ].map(([id, parent]) => [
        id as string,
        {
          name: id as string,
          parent: parent as string | null,
          started_at: "",
          duration: null,
          outcome: null,
        },
      ]),
    ),
    attempts: [],
  };
  /** A log of which the step 1.1 wrote the lines 1,001 to 40,000, and 1.2 within it the last half. */
  beforeEach(() => {
    const line = log.line.bind(log);
    log.line = (seq) => ({
      ...line(seq),
      timestamp: new Date(Date.UTC(2026, 0, 1) + seq * 1_000).toISOString(),
      ...(seq > 1_000 && seq <= 40_000 ? { span: seq > 20_000 ? "1.2" : "1.1" } : {}),
    });
    model.setSteps(steps);
  });

  test("are one line each, however long they are", async () => {
    await model.open({ from: 1_001, to: 1_001 }, "start");
    model.toggleFold("1.1");
    expect(held().filter((seq) => seq > 1_000)).toEqual([1_001]);
    while (!held().includes(40_001)) await model.more();
    const at = held().indexOf(1_001);
    expect(held()[at + 1]).toBe(40_001);
    expect(model.held.value.lines[at]?.folded?.last).toBeGreaterThanOrEqual(39_999);
    expect(held()).toContain(999);
    model.toggleFold("1.1");
    await expect.poll(() => held()).toContain(1_002);
  });

  test("unfold for a jump to a line within them", async () => {
    await model.open({ from: 1_001, to: 1_001 }, "start");
    model.toggleFold("1.2");
    model.toggleFold("1.1");
    await model.jumpTo(20_500 + 1, "middle");
    expect(held()).toContain(20_501);
    expect(model.folds.value.size).toBe(0);
  });

  test("are found by the time at which they began", async () => {
    await model.open(null, "start");
    await model.jumpToStep(({ span }) => span === "1.2", Date.UTC(2026, 0, 1) + 20_001 * 1_000);
    expect(model.target.value).toEqual({ seq: 20_001, align: "start" });
    expect(held()).toContain(20_001);
    expect(log.asked.length).toBeLessThan(20);
  });
});

describe("a search", () => {
  test("begins at the position of the reader and wraps around", async () => {
    const shown: number[] = [];
    const search = new LogSearch(log, (seq) => shown.push(seq));
    const filter = { level: null, streams: [] };
    await search.start({ text: "needle", regex: false, matchCase: false }, filter, 1_000);
    expect(shown).toEqual([1_554]);
    expect(search.total.value).toBe(64);
    await search.step(-1, filter);
    await search.step(-1, filter);
    expect(shown.slice(1)).toEqual([777, 49_728]);
    await search.step(1, filter);
    expect(shown[3]).toBe(777);
  });

  test("requests each page once, even for a fast reader", async () => {
    const asked: number[] = [];
    const source = Object.create(log) as LogSource;
    source.search = (_query, after) => {
      asked.push(after);
      return Promise.resolve({
        matches: [{ seq: after + 1, line: log.line(after + 1), before: [], after: [] }],
        next: after + 1,
        total: null,
      });
    };
    const search = new LogSearch(source, () => undefined);
    const filter = { level: null, streams: [] };
    await search.start({ text: "needle", regex: false, matchCase: false }, filter, 0);
    await Promise.all([search.step(1, filter), search.step(1, filter), search.more(filter)]);
    expect(asked).toEqual([0, 1]);
    expect(search.matches.value.map((hit) => hit.seq)).toEqual([1, 2]);
  });

  test("has no matches for an empty text", async () => {
    const search = new LogSearch(log, () => undefined);
    await search.start(
      { text: "", regex: false, matchCase: false },
      { level: null, streams: [] },
      0,
    );
    expect([search.matches.value.length, search.current.value, search.running.value]).toEqual([
      0,
      -1,
      false,
    ]);
  });
});
