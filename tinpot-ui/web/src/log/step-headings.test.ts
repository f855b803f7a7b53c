import { expect, test } from "vitest";
import type { LogLine } from "../api/types";
import { headingsOf, type LogSteps, pathOf, type StepInfo } from "./step-headings";

const line = (seq: number, span?: string): LogLine => ({
  seq,
  message: "",
  level: "INFO",
  stream: "stdout",
  timestamp: "2026-01-31T14:30:00Z",
  ...(span === undefined ? {} : { span }),
});

const step = (name: string, parent: string | null): StepInfo => ({
  name,
  parent,
  started_at: "2026-01-31T14:30:00Z",
  duration: 1,
  outcome: "succeeded",
});

const all: LogSteps = {
  steps: new Map([
    ["1.1", step("collect", null)],
    ["1.2", step("inner", "1.1")],
    ["1.3", step("store", null)],
  ]),
  attempts: [],
};

const named = (lines: LogLine[], index: number, steps = all): string[] =>
  headingsOf(lines, index, steps).map(({ depth, id, info }) => `${depth} ${info?.name ?? id}`);

test("a heading precedes the first line of each step, and none the rest of the step around it", () => {
  const lines = [line(1), line(2, "1.1"), line(3, "1.2"), line(4, "1.1"), line(5), line(6, "1.3")];
  expect(lines.map((_, index) => named(lines, index))).toEqual([
    [],
    ["0 collect"],
    ["1 inner"],
    [],
    [],
    ["0 store"],
  ]);
});

test("lines that begin within a step have the headings of all steps around it", () => {
  expect(named([line(3, "1.2")], 0)).toEqual(["0 collect", "1 inner"]);
  expect(named([line(1, "1.3"), line(3, "1.2")], 1)).toEqual(["0 collect", "1 inner"]);
});

test("an unknown step, and steps that contain each other, have headings too", () => {
  expect(named([line(1, "9.9")], 0)).toEqual(["0 9.9"]);
  const steps = new Map([
    ["1.1", step("a", "1.2")],
    ["1.2", step("b", "1.1")],
  ]);
  expect(pathOf(line(1, "1.1"), { steps, attempts: [] })).toEqual(["1.2", "1.1"]);
});

test("the lines of several attempts are separated", () => {
  const steps: LogSteps = {
    ...all,
    attempts: [
      { ...step("Attempt 1", null), number: 1, from: 1 },
      { ...step("Attempt 2", null), number: 2, from: 3 },
    ],
  };
  const lines = [line(1, "1.1"), line(2), line(3), line(4, "1.3")];
  expect(lines.map((_, index) => named(lines, index, steps))).toEqual([
    ["0 Attempt 1", "1 collect"],
    [],
    ["0 Attempt 2"],
    ["1 store"],
  ]);
});

test("the same headings are the same array", () => {
  const lines = [line(1), line(2, "1.1")];
  expect(headingsOf(lines, 1, all)).toBe(headingsOf(lines, 1, all));
});
