import { describe, expect, test } from "vitest";

import type { Step } from "../api/types";
import { BARS_MAX, type ChildState, type TimelineInput, timeline } from "./timeline";

const at = (seconds: number) => new Date(1_700_000_000_000 + seconds * 1000).toISOString();
const step = (id: string, parent: string | null, from: number, duration: number | null): Step => ({
  id,
  parent,
  name: `step ${id}`,
  started_at: at(from),
  duration,
  outcome: duration === null ? null : "succeeded",
});
const base: TimelineInput = {
  attempts: [
    { number: 1, granted_at: at(0), started_at: at(0), ended_at: at(10), status: "succeeded" },
  ],
  steps: [],
  children: [],
  states: new Map(),
  now: Date.parse(at(20)),
  running: false,
};

describe("the timeline", () => {
  test("nests steps below steps and attempts", () => {
    const { bars, seconds } = timeline({
      ...base,
      steps: [step("1.1", null, 0, 8), step("1.2", "1.1", 2, 4), step("1.3", null, 8, 2)],
    });
    expect(bars.map(({ label, depth }) => [label, depth])).toEqual([
      ["Attempt 1", 0],
      ["step 1.1", 1],
      ["step 1.2", 2],
      ["step 1.3", 1],
    ]);
    expect(bars[2]).toMatchObject({ from: 0.2, to: 0.6, seconds: 4, outcome: "succeeded" });
    expect(seconds).toBe(10);
  });

  test("extends running bars until now", () => {
    const attempts = [
      {
        ...base.attempts[0],
        number: 1,
        granted_at: at(0),
        started_at: at(0),
        ended_at: null,
        status: null,
      },
    ];
    const { bars } = timeline({
      ...base,
      attempts,
      running: true,
      steps: [step("1.1", null, 5, null)],
    });
    expect(bars.map(({ to, outcome }) => [to, outcome])).toEqual([
      [1, "pending"],
      [1, "pending"],
    ]);
  });

  test("ends a step without an end with its attempt", () => {
    const { bars } = timeline({ ...base, steps: [step("1.1", null, 5, null)] });
    expect(bars[1]).toMatchObject({ from: 0.5, to: 1, outcome: "unknown" });
  });

  test("places children below their steps, with their times", () => {
    const states = new Map<string, ChildState>([
      [
        "c1",
        {
          status: "failed",
          accepted_at: at(1),
          started_at: at(2),
          finished_at: at(4),
          attempts: 3,
        },
      ],
    ]);
    const children = [
      { execution_id: "c1", action_name: "one", span: "1.1" },
      { execution_id: "c2", action_name: "two", span: null },
    ];
    const { bars } = timeline({ ...base, steps: [step("1.1", null, 0, 8)], children, states });
    expect(bars.map(({ label, depth }) => [label, depth])).toEqual([
      ["Attempt 1", 0],
      ["step 1.1", 1],
      ["one", 2],
      ["two", 1],
    ]);
    expect(bars[2]).toMatchObject({
      outcome: "failed",
      attempts: 3,
      seconds: 2,
      executionId: "c1",
    });
    expect(bars[3]).toMatchObject({ from: null, outcome: "unknown" });
  });

  test("is bounded", () => {
    const steps = Array.from({ length: 2_000 }, (_, index) =>
      step(`1.${index + 1}`, null, index, 1),
    );
    const { bars, left } = timeline({ ...base, steps });
    expect(bars.length).toBe(BARS_MAX);
    expect(left).toBe(2_001 - BARS_MAX);
  });

  test("is empty before the first attempt", () => {
    expect(timeline({ ...base, attempts: [] })).toEqual({ bars: [], left: 0, seconds: 0 });
  });
});
